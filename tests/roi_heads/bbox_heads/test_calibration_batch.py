import numpy as np
import pytest
import torch

from plugins.roi_heads.bbox_heads.calibration_batch import balance_ranks, compose_calibration_batch

K = 13


def _compose(labels, sampled, match='own', seed=0):
    labels = torch.as_tensor(labels)
    image_index = torch.arange(len(labels)).repeat_interleave(labels.shape[1])
    weights = compose_calibration_batch(
        labels.flatten(),
        image_index,
        torch.as_tensor(sampled),
        num_classes=K,
        match=match,
        generator=torch.Generator().manual_seed(seed),
    )
    return weights.view(labels.shape).bool()


@pytest.mark.parametrize('case', ['00', '02'])
def test_kept_rois_are_those_of_the_published_code(shared, case):
    golden = np.load(shared / f'golden/longtail/simcal_compose_{case}.npz')
    # There 0 is background; here it is K.
    labels, sampled = golden['roi_labels_per_image'] - 1, golden['sampled_class_per_image'] - 1
    kept = _compose(np.where(labels < 0, K, labels), sampled).numpy().ravel()
    is_foreground = labels.ravel() >= 0
    expected = golden['kept_roi_index']
    expected_foreground = sorted(expected[golden['kept_label'] > 0])
    assert np.flatnonzero(kept & is_foreground).tolist() == expected_foreground
    assert (kept & ~is_foreground).sum() == (golden['kept_label'] == 0).sum()


def test_union_keeps_every_drawn_class_in_every_image():
    labels = [[1, 2, 3, K, K, K, K, K], [1, 2, 3, K, K, K, K, K]]
    own, union = (_compose(labels, [1, 2], match)[:, :3] for match in ('own', 'union'))
    assert own.tolist() == [[True, False, False], [False, True, False]]
    assert union.tolist() == [[True, True, False], [True, True, False]]


def test_an_image_drawn_for_nothing_gives_background_only():
    kept = _compose([[1, 2, K, K], [1, K, K, K]], [-1, 1])
    assert not kept[0, :2].any() and kept[1, 0]
    assert kept[:, 2:].sum() + kept[1, 1] == 1


def test_without_kept_foreground_nothing_is_kept():
    assert not _compose([[1, 2, K, K]], [5]).any()


def test_too_little_background_is_kept_whole():
    assert _compose([[1, 1, 1, K]], [1]).all()


def test_background_comes_from_the_whole_batch_and_every_roi_has_the_same_chance():
    labels = [[1] * 2 + [K] * 6, [1] * 2 + [K] * 6]
    rounds = 600
    kept = torch.stack([_compose(labels, [1, 1], seed=seed) for seed in range(rounds)]).sum(0)
    assert (kept[:, :2] == rounds).all()
    # 4 of 12 each time: binomial with standard deviation 11.5.
    assert ((kept[:, 2:] - rounds / 3).abs() < 55).all()


def test_no_roi_is_no_error():
    assert _compose(torch.zeros(1, 0, dtype=torch.long), [1]).shape == (1, 0)


def test_one_rank_keeps_its_weights():
    weights = torch.tensor([1.0, 0, 1, 1])
    assert torch.equal(balance_ranks(weights), weights)
    assert torch.equal(balance_ranks(torch.zeros(3)), torch.zeros(3))
