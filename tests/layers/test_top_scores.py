import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plugins.layers import top_scores as module
from plugins.layers.top_scores import BLOCK, top_scores

few_values = st.sampled_from(
    [-1.5, -0.25, -0.0, 0.0, 1e-40, 0.1, 0.5, 1.0, np.nan, np.inf, -np.inf]
)


def _sorted_completely(scores, thresholds, count):
    scores = scores.numpy()
    valid = np.isfinite(scores) & (scores > thresholds.numpy())
    index = np.flatnonzero(valid)
    return index[np.argsort(-scores.reshape(-1)[index], kind='stable')][:count].tolist()


@pytest.fixture(params=['read once', 'compare all'])
def either_way(request, monkeypatch):
    """The way of the CPU, then that of other devices, on tensors of the CPU."""
    if request.param == 'compare all':
        monkeypatch.setattr(module, '_read_once', lambda *a: module._compare_all(*a).numpy())


@settings(max_examples=200, deadline=None)
@given(
    values=st.integers(0, 6).flatmap(
        lambda rows: st.integers(1, 5).flatmap(
            lambda columns: arrays(np.float32, (rows, columns), elements=few_values)
        )
    ),
    threshold=st.sampled_from([-np.inf, -0.25, 0.0, 0.1, 2.0]),
    count=st.integers(1, 40),
)
def test_both_ways_find_what_complete_sorting_finds(values, threshold, count):
    scores = torch.from_numpy(values)
    thresholds = torch.full((values.shape[1],), threshold)
    expected = _sorted_completely(scores, thresholds, count)
    assert top_scores(scores, thresholds, count).tolist() == expected
    if scores.numel():
        keys = module._compare_all(scores, thresholds, min(count, scores.numel()))
        assert (module._LAST_INDEX - (keys & module._LAST_INDEX)).tolist() == expected


@pytest.mark.parametrize('order', ['random', 'rising', 'falling', 'equal'])
def test_many_scores_through_a_short_buffer(order, either_way):
    """More rounds of throwing away than any image needs, in the worst order too."""
    scores = torch.rand(200 * 77, generator=torch.Generator().manual_seed(0))
    if order in ('rising', 'falling'):
        scores = scores.sort(descending=order == 'falling').values
    if order == 'equal':
        scores = torch.full_like(scores, 0.25)
    scores, thresholds = scores.view(200, 77), torch.linspace(0, 0.2, 77)
    expected = _sorted_completely(scores, thresholds, 50)
    assert top_scores(scores, thresholds, 50).tolist() == expected
    assert len(expected) == 50


def test_every_column_has_its_threshold(either_way):
    columns = 2 * BLOCK + 3
    scores = torch.full((4, columns), 0.5)
    thresholds = torch.ones(columns)
    thresholds[[0, BLOCK, columns - 1]] = 0.4
    columns_found = top_scores(scores, thresholds, 100) % columns
    assert columns_found.tolist() == [0, BLOCK, columns - 1] * 4


def test_scores_beside_the_background_column_are_read_in_place(either_way):
    with_background = torch.rand(30, 8, generator=torch.Generator().manual_seed(0))
    thresholds = torch.full((7,), 0.2)
    for scores in (with_background[:, :-1], with_background[1:, :-1], with_background.t()[:, :7]):
        expected = _sorted_completely(scores.contiguous(), thresholds, 20)
        assert top_scores(scores, thresholds, 20).tolist() == expected


def test_no_scores_give_no_index(device):
    for shape in ((0, 5), (4, 0)):
        found = top_scores(torch.zeros(shape, device=device), torch.zeros(shape[1]), 3)
        assert found.tolist() == [] and found.dtype == torch.int64


def test_devices_agree(device):
    scores = torch.rand(100, 40, generator=torch.Generator().manual_seed(0)).round(decimals=2)
    thresholds = torch.full((40,), 0.3)
    found = top_scores(scores.to(device), thresholds, 300)
    assert found.device.type == device
    assert found.tolist() == _sorted_completely(scores, thresholds, 300)
