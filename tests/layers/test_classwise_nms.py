import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mmcv.ops import batched_nms, nms, soft_nms

from mmdet.models.layers import multiclass_nms
from plugins.layers import classwise_nms, labelled_nms
from plugins.layers import top_scores as selection
from tests.layers.boxes import crowd, naive_classwise, naive_nms, naive_soft_nms

corners = st.integers(0, 3).map(float)
few_scores = st.sampled_from([0.0, 0.1, 0.1, 0.2, 0.5, 0.9])


@st.composite
def scenes(draw):
    """Boxes on a grid, without area or with negative sides too, and scores with many ties."""
    rows, classes = draw(st.integers(0, 9)), draw(st.integers(1, 4))
    columns = 4 * (classes if draw(st.booleans()) else 1)
    boxes = draw(arrays(np.float32, (rows, columns), elements=corners))
    scores = draw(arrays(np.float32, (rows, classes), elements=few_scores))
    return torch.from_numpy(boxes), torch.from_numpy(scores)


def _listed(found):
    return list(
        zip(found.index.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
    )


def _random_scores(rows, classes, seed=0):
    """All different, so that the order is the same in any implementation."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randperm(rows * classes, generator=generator) + 1).view(rows, classes) / (
        rows * classes + 1
    )


@settings(max_examples=200, deadline=None)
@given(
    scenes(), st.sampled_from([0, 0.3, 0.5, 1]), st.sampled_from([-1, 0, 0.1]), st.integers(-1, 6)
)
def test_detections_are_the_best_of_complete_suppression(scene, iou_threshold, score_thr, limit):
    boxes, scores = scene
    found = classwise_nms(
        boxes, scores, iou_threshold=iou_threshold, score_thr=score_thr, max_per_img=limit
    )
    suppress = functools.partial(naive_nms, threshold=iou_threshold)
    expected = naive_classwise(boxes, scores, suppress, [score_thr] * scores.shape[1], limit)
    assert _listed(found) == [(row, label, pytest.approx(s)) for row, label, s in expected]


@settings(max_examples=200, deadline=None)
@given(
    scenes(),
    st.sampled_from(['naive', 'linear', 'gaussian']),
    st.sampled_from([0, 0.3, 0.5]),
    st.sampled_from([0, 0.05, 0.3]),
    st.integers(-1, 6),
)
def test_soft_detections_are_the_best_of_complete_lowering(
    scene, method, iou_threshold, min_score, limit
):
    boxes, scores = scene
    soft = dict(method=method, min_score=min_score)
    find = functools.partial(classwise_nms, boxes, scores, iou_threshold=iou_threshold, soft=soft)
    found = find(max_per_img=limit)
    suppress = functools.partial(naive_soft_nms, threshold=iou_threshold, **soft)
    everything = naive_classwise(boxes, scores, suppress, [0.0] * scores.shape[1], -1)
    expected = everything[:limit] if limit > 0 else everything
    assert [s for _, _, s in _listed(found)] == pytest.approx([s for _, _, s in expected])
    # exp() of two libraries may order scores differently that should be equal.
    if method != 'gaussian':
        assert [d[:2] for d in _listed(found)] == [d[:2] for d in expected]
    assert _listed(found) == _listed(find(max_per_img=-1))[: limit if limit > 0 else None]


@pytest.mark.parametrize('specific', [False, True])
@pytest.mark.parametrize('threshold', [0, 0.01, 0.4])
def test_detections_equal_stocks_where_stock_is_exact(specific, threshold):
    rows, classes = 300, 6
    boxes = crowd(rows * (classes if specific else 1)).view(rows, -1)
    scores = _random_scores(rows, classes)
    stock, labels = multiclass_nms(
        boxes,
        torch.cat([scores, torch.zeros(rows, 1)], 1),
        threshold,
        dict(type='nms', iou_threshold=0.5),
        50,
    )
    found = classwise_nms(boxes, scores, iou_threshold=0.5, max_per_img=50, score_thr=threshold)
    assert torch.equal(found.boxes, stock[:, :4]) and torch.equal(found.labels, labels)
    assert torch.equal(found.scores, stock[:, 4]) and len(labels) == 50


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('limit', [20, -1])
def test_soft_detections_equal_those_of_mmcv_on_every_class(method, limit):
    rows, classes = 120, 5
    boxes, scores = crowd(rows), _random_scores(rows, classes)
    options = dict(iou_threshold=0.3, sigma=0.4, min_score=0.1, method=method)
    dets, labels = [], []
    for label in range(classes):
        dets.append(soft_nms(boxes, scores[:, label], **options)[0])
        labels += [label] * len(dets[-1])
    dets = torch.cat(dets)
    order = dets[:, 4].argsort(descending=True, stable=True)[: limit if limit > 0 else None]
    soft = {key: options[key] for key in ('sigma', 'min_score', 'method')}
    found = classwise_nms(boxes, scores, iou_threshold=0.3, max_per_img=limit, soft=soft)
    assert torch.equal(found.boxes, dets[order, :4]) and torch.equal(found.scores, dets[order, 4])
    assert torch.equal(found.labels, torch.tensor(labels)[order])
    assert len(order) == 20 if limit > 0 else 20 < len(order) < rows * classes


def test_soft_nms_takes_more_candidates_until_no_other_can_be_better():
    """1000 equal boxes: linear lowering leaves the best of them, then boxes far below."""
    boxes = torch.tensor([0.0, 0, 10, 10]).repeat(1000, 1)
    boxes[-1] += 100
    scores = torch.linspace(1, 0.5, 1000)[:, None]
    find = functools.partial(
        classwise_nms, boxes, scores, iou_threshold=0.5, soft=dict(method='linear', min_score=0)
    )
    assert find(max_per_img=2).index.tolist() == [0, 999]
    assert classwise_nms(boxes, scores, iou_threshold=0.5, max_per_img=2).index.tolist() == [0, 999]


def test_decisions_do_not_depend_on_the_class():
    """Stock's do: it moves the boxes of class 1200 by 1.2 million pixels, in steps of 1/8."""
    pair = torch.tensor([[10.0, 10, 14, 14], [11.3, 10, 15.3, 14], [990, 990, 1000, 1000]])
    kept, stock = [], []
    for label in (0, 1200):
        scores = torch.zeros(3, 1202)
        scores[:, label] = torch.tensor([0.9, 0.8, 0.7])
        found = classwise_nms(pair, scores[:, :-1], iou_threshold=0.51, max_per_img=10)
        kept.append(found.index.tolist())
        options = dict(type='nms', iou_threshold=0.51)
        stock.append(multiclass_nms(pair, scores, 0.1, options, 10)[1].tolist())
    assert nms(pair, scores[:, 1200].contiguous(), 0.51)[1].tolist() == kept[0] == kept[1]
    assert len(stock[0]) != len(stock[1]), 'should this fail, stock has become exact'


def test_the_way_of_other_devices_gives_the_same(monkeypatch):
    boxes, scores = crowd(200), _random_scores(200, 30).round(decimals=2)
    for soft in (None, dict(method='linear')):
        find = functools.partial(
            classwise_nms, boxes, scores, iou_threshold=0.5, max_per_img=100, soft=soft
        )
        with monkeypatch.context() as patch:
            patch.setattr(selection, '_read_once', lambda *a: selection._compare_all(*a).numpy())
            other = find()
        assert all(map(torch.equal, find(), other))


def test_devices_agree(device):
    boxes, scores = crowd(200), _random_scores(200, 30)
    options = dict(iou_threshold=0.5, max_per_img=100, score_thr=torch.linspace(0, 0.9, 30))
    expected = classwise_nms(boxes, scores, **options)
    found = classwise_nms(boxes.to(device), scores.to(device), **options)
    assert found.boxes.device.type == device
    assert all(torch.equal(a.cpu(), b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize('kind', [list, torch.tensor])
def test_thresholds_of_the_classes(kind):
    boxes = torch.tensor([[0.0, 0, 4, 4], [8, 8, 9, 9]])
    scores = torch.tensor([[0.3, 0.3, 0.3], [0.6, 0.6, 0.6]])
    thresholds = kind([0.0, 0.3, 0.7])
    found = classwise_nms(boxes, scores, iou_threshold=0.5, max_per_img=10, score_thr=thresholds)
    assert _listed(found) == [
        (1, 0, pytest.approx(0.6)),
        (1, 1, pytest.approx(0.6)),
        (0, 0, pytest.approx(0.3)),
    ]


def test_number_of_thresholds_and_boxes_must_fit():
    scores = torch.rand(2, 3)
    with pytest.raises(ValueError, match='2 entries for 3 classes'):
        classwise_nms(torch.rand(2, 4), scores, iou_threshold=0.5, max_per_img=1, score_thr=[0, 0])
    with pytest.raises(ValueError, match=r'boxes \(2, 8\) do not fit scores \(2, 3\)'):
        classwise_nms(torch.rand(2, 8), scores, iou_threshold=0.5, max_per_img=1)


@pytest.mark.parametrize('soft', [None, dict(method='linear')])
def test_what_is_not_finite_is_left_out(soft):
    boxes = torch.tensor([0.0, 0, 10, 10]).repeat(6, 1)
    boxes[0, 2], boxes[1, 0], boxes[2, 3] = torch.nan, -torch.inf, torch.inf
    scores = torch.tensor([0.9, 0.8, 0.7, torch.nan, torch.inf, 0.5])[:, None]
    found = classwise_nms(boxes, scores, iou_threshold=0.5, max_per_img=1, soft=soft)
    assert _listed(found) == [(5, 0, 0.5)]


@pytest.mark.parametrize('soft', [None, dict(method='gaussian')])
@pytest.mark.parametrize('rows, classes', [(0, 7), (3, 1), (3, 7)])
def test_nothing_above_the_threshold(soft, rows, classes, device):
    boxes = torch.zeros(rows, 4, device=device)
    scores = torch.zeros(rows, classes, device=device)
    found = classwise_nms(boxes, scores, iou_threshold=0.5, max_per_img=5, soft=soft)
    assert [tuple(values.shape) for values in found] == [(0, 4), (0,), (0,), (0,)]
    assert found.labels.dtype == found.index.dtype == torch.int64


def test_one_class_for_all_if_asked():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    scores = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.3, 0.4]])
    options = dict(iou_threshold=0.5, max_per_img=10)
    assert len(classwise_nms(boxes, scores, **options).index) == 4
    for soft in (None, dict(method='naive')):
        found = classwise_nms(boxes, scores, class_agnostic=True, soft=soft, **options)
        assert [d[:2] for d in _listed(found)] == [(0, 0), (2, 1)]


def test_half_precision_is_compared_in_float32_and_returned():
    boxes, scores = crowd(100).half(), _random_scores(100, 3).half()
    found = classwise_nms(boxes, scores, iou_threshold=0.5, max_per_img=40)
    wide = classwise_nms(boxes.float(), scores.float(), iou_threshold=0.5, max_per_img=40)
    assert found.boxes.dtype == found.scores.dtype == torch.float16
    assert torch.equal(found.index, wide.index) and torch.equal(found.labels, wide.labels)


def test_views_are_merged_as_batched_nms_does():
    boxes, labels = crowd(800), torch.arange(800) % 4
    scores = _random_scores(800, 1)[:, 0]
    dets, keep = batched_nms(boxes, scores, labels, dict(type='nms', iou_threshold=0.5))
    found = labelled_nms(boxes, scores, labels, iou_threshold=0.5, max_per_img=100)
    assert torch.equal(found.index, keep[:100]) and torch.equal(found.labels, labels[keep[:100]])
    assert torch.equal(found.boxes, dets[:100, :4]) and torch.equal(found.scores, dets[:100, 4])
    everything = labelled_nms(boxes, scores, labels, iou_threshold=0.5, max_per_img=-1)
    assert torch.equal(everything.index, keep)


def test_labelled_boxes_keep_scores_of_zero_and_obey_thresholds():
    boxes = torch.tensor([[0.0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5]])
    scores, labels = torch.tensor([0.0, 0.5, 0.5]), torch.tensor([0, 0, 2])
    find = functools.partial(labelled_nms, boxes, scores, labels, iou_threshold=0.5, max_per_img=5)
    assert find().index.tolist() == [1, 2, 0]
    assert find(score_thr=0.0).index.tolist() == [1, 2]
    assert find(score_thr=[0.0, 0.0, 0.6]).index.tolist() == [1]
    assert find(score_thr=torch.tensor([0.7, 0.0, 0.1])).index.tolist() == [2]


def test_labels_below_zero_are_an_error():
    with pytest.raises(ValueError, match='labels are 0 or more, not -1'):
        labelled_nms(
            torch.rand(2, 4), torch.rand(2), torch.tensor([0, -1]), iou_threshold=0.5, max_per_img=5
        )


def test_no_labelled_boxes():
    empty = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    for soft in (None, dict(method='linear')):
        found = labelled_nms(*empty, iou_threshold=0.5, max_per_img=5, soft=soft)
        assert found.boxes.shape == (0, 4) and found.index.shape == (0,)
