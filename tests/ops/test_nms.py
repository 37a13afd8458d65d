import numpy as np
import pytest
import torch
from mmcv import _ext
from mmcv.ops import batched_nms, nms, nms_match, soft_nms

from plugins.ops.suppression_loops import compiled


def iou(a, b, offset=0, kind=np.float64):
    a, b, offset = a.astype(kind), b.astype(kind), kind(offset)
    width = max(kind(0), min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(kind(0), min(a[3], b[3]) - max(a[1], b[1]) + offset)
    overlap = width * height
    area = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return overlap / (area[0] + area[1] - overlap)


def naive_nms(boxes, scores, threshold, offset):
    kept = []
    for i in np.argsort(-scores, kind='stable'):
        if all(iou(boxes[j], boxes[i], offset) <= threshold for j in kept):
            kept.append(i)
    return [int(i) for i in kept]


def naive_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    scores, alive, kept = scores.copy(), list(range(len(boxes))), []
    while alive:
        best = max(alive, key=lambda i: scores[i])
        alive.remove(best)
        kept.append((best, scores[best]))
        for i in alive:
            overlap = iou(boxes[best], boxes[i], offset)
            if method == 'gaussian':
                scores[i] *= np.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                scores[i] *= 0 if method == 'naive' else 1 - overlap
        alive = [i for i in alive if scores[i] >= min_score]
    return kept


@pytest.fixture
def crowd():
    """300 boxes around a few centres, and distinct scores."""
    rng = np.random.default_rng(0)
    centre = rng.uniform(0, 200, (12, 2))[rng.integers(12, size=300)] + rng.normal(0, 6, (300, 2))
    side = rng.uniform(10, 60, (300, 2))
    boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=1)
    return boxes, rng.permutation(300) / 300 + 0.001


@pytest.mark.parametrize('threshold', [0.3, 0.5, 0.7])
@pytest.mark.parametrize('offset', [0, 1])
def test_nms_keeps_what_the_definition_keeps(crowd, threshold, offset, device):
    boxes, scores = crowd
    tensors = (torch.tensor(values, device=device) for values in crowd)
    kept = nms(*tensors, threshold, offset=offset)[1]
    assert kept.tolist() == naive_nms(boxes, scores, threshold, offset)
    assert 10 < len(kept) < 290


def test_nms_keeps_a_box_at_exactly_the_threshold():
    boxes = torch.tensor([[0.0, 0, 4, 2], [0, 0, 2, 2]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.5)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.4999)[1].tolist() == [0]


def test_nms_takes_equal_scores_in_input_order():
    boxes = torch.tensor([[10.0, 0, 20, 10], [0, 0, 10, 10], [0, 0, 10, 9]])
    assert nms(boxes, torch.ones(3), 0.5)[1].tolist() == [0, 1]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_nms_takes_half_precision_boxes_with_any_scores(crowd, dtype, device):
    boxes = torch.tensor(crowd[0], device=device).to(dtype)
    scores = torch.tensor(crowd[1], device=device, dtype=torch.float32)
    expected = nms(boxes.float(), scores, 0.5)[1]
    assert _ext.nms(boxes, scores, 0.5).tolist() == expected.tolist()
    dets, kept = nms(boxes, scores.to(dtype), 0.5)
    assert dets.dtype == dtype and kept.dtype == torch.long


def test_boxes_without_area_and_nan_scores_do_not_stop_nms():
    boxes = torch.tensor([[5.0, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]])
    assert sorted(nms(boxes, torch.tensor([0.3, 0.2, 0.9]), 0.5)[1].tolist()) == [0, 1, 2]
    assert len(_ext.nms(boxes, torch.tensor([0.3, float('nan'), 0.9]), 0.5)) == 3


def test_no_boxes_keep_nothing(device):
    boxes, scores = torch.zeros(0, 4, device=device), torch.zeros(0, device=device)
    dets, kept = nms(boxes, scores, 0.5)
    assert dets.shape == (0, 5) and kept.dtype == torch.long
    dets, kept = soft_nms(boxes, scores)
    assert dets.shape == (0, 5) and kept.dtype == torch.long
    dets, kept = batched_nms(
        boxes, scores, scores.long(), {'type': 'nms', 'iou_threshold': 0.5}, class_agnostic=True
    )
    assert dets.shape == (0, 5)
    assert nms_match(torch.zeros(0, 5), 0.5) == []


@pytest.mark.parametrize('split_thr', [10000, 50])
@pytest.mark.parametrize('kind', ['nms', 'soft_nms'])
def test_batched_nms_treats_classes_apart(crowd, split_thr, kind, device):
    boxes, scores = (torch.tensor(values, device=device) for values in crowd)
    labels = torch.arange(300, device=device) % 5
    config = {'type': kind, 'iou_threshold': 0.5, 'split_thr': split_thr}
    dets, kept = batched_nms(boxes, scores, labels, config)
    function = nms if kind == 'nms' else soft_nms
    expected = []
    for label in range(5):
        mine = (labels == label).nonzero()[:, 0]
        own_dets, own = function(boxes[mine], scores[mine], 0.5)
        expected += [(int(i), float(s)) for i, s in zip(mine[own], own_dets[:, 4], strict=True)]
    expected.sort(key=lambda pair: -pair[1])
    assert kept.tolist() == [index for index, _ in expected]
    torch.testing.assert_close(
        dets[:, 4].cpu(), torch.tensor([score for _, score in expected], dtype=torch.float64)
    )


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
def test_soft_nms_decays_like_the_definition(crowd, method, offset, dtype):
    boxes, scores = (torch.tensor(values, dtype=dtype) for values in crowd)
    before = boxes.clone(), scores.clone()
    dets, kept = soft_nms(boxes, scores, 0.4, 0.6, 0.05, method, offset)
    expected = naive_soft_nms(
        boxes.double().numpy(), scores.double().numpy(), 0.4, 0.6, 0.05, method, offset
    )
    assert kept.tolist() == [index for index, _ in expected]
    torch.testing.assert_close(
        dets[:, 4].double(),
        torch.tensor([score for _, score in expected], dtype=torch.float64),
        rtol=1e-5,
        atol=1e-7,
    )
    assert torch.equal(dets[:, :4], boxes[kept])
    assert torch.equal(before[0], boxes) and torch.equal(before[1], scores)


def test_soft_nms_acts_at_exactly_the_threshold():
    boxes = np.array([[0, 0, 4, 2], [0, 0, 2, 2]], np.float32)
    scores = np.array([0.9, 0.8], np.float32)
    dets, kept = soft_nms(boxes, scores, 0.5, method='linear')
    assert isinstance(dets, np.ndarray) and kept.tolist() == [0, 1]
    assert dets[1, 4] == pytest.approx(0.4)
    assert soft_nms(boxes, scores, 0.5, method='naive')[1].tolist() == [0]


def test_soft_nms_survives_boxes_without_area_and_half_precision():
    boxes = torch.tensor([[5.0, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]])
    scores = torch.tensor([0.5, 0.25, 0.75])
    assert soft_nms(boxes, scores)[1].tolist() == [2, 0, 1]
    for dtype in (torch.float16, torch.bfloat16):
        dets, kept = soft_nms(boxes.to(dtype), scores.to(dtype))
        assert dets.dtype == dtype and kept.tolist() == [2, 0, 1]


def test_nms_match_groups_each_box_with_the_best_it_overlaps(crowd):
    boxes, scores = crowd
    dets = torch.tensor(np.concatenate([boxes, scores[:, None]], axis=1))
    free, expected = list(np.argsort(-scores, kind='stable')), []
    while free:
        group = [j for j in free if j == free[0] or iou(boxes[free[0]], boxes[j]) >= 0.5]
        expected.append([int(j) for j in group])
        free = [j for j in free if j not in group]
    groups = nms_match(dets, 0.5)
    assert [group.tolist() for group in groups] == expected
    assert [group.tolist() for group in nms_match(dets.numpy(), 0.5)] == expected


def test_loops_run_without_a_cache_where_none_can_be_written():
    # numba finds no place for the cache of a function that has no source file.
    scope = {}
    exec('def double(x):\n    return 2 * x', scope)
    assert compiled(scope['double'])(4) == 8


def test_compiled_loops_are_cached():
    from plugins.ops.suppression_loops import soft_suppress

    assert type(soft_suppress._cache).__name__ == 'FunctionCache'
