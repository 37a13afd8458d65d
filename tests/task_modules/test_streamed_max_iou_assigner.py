import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData

from mmdet.models.task_modules import AnchorGenerator, MaxIoUAssigner
from mmdet.models.task_modules.assigners import BboxOverlaps2D
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import HorizontalBoxes
from plugins.task_modules import StreamedMaxIoUAssigner, streamed_max_iou_assigner
from plugins.task_modules.overlap_stream import box_overlaps

RPN = dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of a few priors, so that small inputs are many blocks."""
    monkeypatch.setattr(streamed_max_iou_assigner, 'CPU_BLOCK', 7)


def both(options, priors, boxes, ignore=None):
    """Results of stock and ours as (gt_inds, max_overlaps, labels)."""
    results = []
    for kind in (MaxIoUAssigner, StreamedMaxIoUAssigner):
        torch.manual_seed(0)
        ground_truth = InstanceData(bboxes=boxes.clone(), labels=torch.arange(len(boxes)) * 3 + 5)
        ignored = None if ignore is None else InstanceData(bboxes=ignore.clone())
        result = kind(**options).assign(InstanceData(priors=priors.clone()), ground_truth, ignored)
        assert result.num_gts == len(boxes)
        results.append((result.gt_inds, result.max_overlaps, result.labels))
    return results


def assert_same(options, priors, boxes, ignore=None):
    for stock, ours in zip(*both(options, priors, boxes, ignore), strict=True):
        assert stock.dtype == ours.dtype
        torch.testing.assert_close(ours, stock, rtol=0, atol=0, equal_nan=True)


def random_boxes(count, seed, *, grid=None, side=40.0):
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(count, 2, generator=generator) * 100
    boxes = torch.cat([start, start + torch.rand(count, 2, generator=generator) * side], dim=1)
    return boxes if grid is None else (boxes / grid).round() * grid  # a coarse grid makes ties


OPTIONS = [
    RPN,
    dict(RPN, gt_max_assign_all=False),
    dict(RPN, match_low_quality=False),
    dict(RPN, neg_iou_thr=(0.1, 0.3)),
    dict(RPN, neg_iou_thr=1),
    dict(RPN, min_pos_iou=0.0),
    dict(RPN, min_pos_iou=0.0, gt_max_assign_all=False),
    dict(RPN, min_pos_iou=-2.0),
    dict(RPN, min_pos_iou=-2.0, gt_max_assign_all=False),
    dict(RPN, pos_iou_thr=0.0, min_pos_iou=0.0),
    dict(RPN, ignore_iof_thr=0.3),
    dict(RPN, ignore_iof_thr=0.3, ignore_wrt_candidates=False),
    dict(RPN, ignore_iof_thr=0.3, min_pos_iou=-2.0),
    dict(RPN, ignore_iof_thr=0.3, min_pos_iou=-2.0, gt_max_assign_all=False),
    dict(RPN, gpu_assign_thr=2),
    dict(RPN, iou_calculator=dict(type='BboxOverlaps2D', dtype='fp16', scale=4.0)),
    dict(RPN, perm_repeat_gt_cfg=dict(iou_thr=0.7, perm_range=0.01)),
]


@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('grid', [None, 10], ids=['any', 'ties'])
def test_every_option_gives_the_result_of_stock(options, grid):
    for seed in range(6):
        priors = random_boxes(120, seed, grid=grid)
        boxes = random_boxes(1 + 4 * seed, 100 + seed, grid=grid)
        assert_same(options, priors, boxes, random_boxes(3, 200 + seed, grid=grid))


@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize(('priors', 'boxes'), [(0, 3), (20, 0), (0, 0), (1, 1), (7, 1), (8, 1)])
def test_few_or_no_boxes_and_priors(options, priors, boxes):
    assert_same(options, random_boxes(priors, 0), random_boxes(boxes, 1), random_boxes(2, 2))


COORDINATE = st.sampled_from([0.0, 5.0, 10.0, 12.5, 20.0, 1e-4, -3.0, float('nan'), float('inf')])
ANY_BOXES = st.lists(st.tuples(*[COORDINATE] * 4), min_size=1, max_size=30)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    priors=ANY_BOXES,
    boxes=ANY_BOXES,
    min_pos_iou=st.sampled_from([0.3, 0.0, -1.0]),
    assign_all=st.booleans(),
    half=st.booleans(),
)
def test_degenerate_boxes_give_the_result_of_stock(priors, boxes, min_pos_iou, assign_all, half):
    calculator = dict(type='BboxOverlaps2D', dtype='fp16' if half else None)
    options = dict(
        RPN, min_pos_iou=min_pos_iou, gt_max_assign_all=assign_all, iou_calculator=calculator
    )
    assert_same(options, torch.tensor(priors), torch.tensor(boxes))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    exponents=st.lists(st.integers(-20, 19), min_size=8, max_size=8),
    dtype=st.sampled_from([torch.half, torch.float, torch.double]),
    mode=st.sampled_from(['iou', 'iof']),
)
def test_overlaps_have_the_bits_of_stock_at_any_size(exponents, dtype, mode):
    """Areas that overflow or vanish in the type are part of it."""
    values = torch.tensor(exponents).double().exp2()
    ends = torch.stack([values[:4], values[4:]])
    boxes = torch.cat([torch.zeros_like(ends[:, :2]), ends[:, :2]], dim=1).to(dtype)
    priors = torch.cat([-ends[:, 2:], ends[:, 2:]], dim=1).to(dtype)
    stock = BboxOverlaps2D()(boxes, priors, mode=mode)
    ours = box_overlaps(boxes.t(), priors.t(), mode)
    torch.testing.assert_close(ours, stock, rtol=0, atol=0, equal_nan=True)


def test_half_precision_thresholds_are_compared_in_single_precision_as_in_stock():
    # An overlap of 0.1 is 0.09998 in half precision: just below a threshold of 0.1.
    priors = torch.tensor([[0.0, 0, 10, 10]]).repeat(20, 1)
    boxes = torch.tensor([[0.0, 0, 1, 10]])
    options = dict(
        pos_iou_thr=0.1,
        neg_iou_thr=0.05,
        match_low_quality=False,
        iou_calculator=dict(type='BboxOverlaps2D', dtype='fp16'),
    )
    assert_same(options, priors, boxes)
    assert (both(options, priors, boxes)[1][0] == -1).all()


def test_of_identical_boxes_the_last_wins_a_low_quality_match():
    priors = random_boxes(50, 0)
    boxes = random_boxes(1, 1).repeat(4, 1)
    options = dict(RPN, min_pos_iou=0.01)
    assert_same(options, priors, boxes)
    gt_inds = both(options, priors, boxes)[1][0]
    assert set(gt_inds[gt_inds > 0].tolist()) == {4}


@pytest.mark.parametrize('block', [1, 7, 64, 1000, 100_000])
def test_block_size_changes_nothing_on_the_anchors_of_an_image(monkeypatch, block):
    monkeypatch.setattr(streamed_max_iou_assigner, 'CPU_BLOCK', block)
    anchors = AnchorGenerator(strides=[8, 16, 32], ratios=[0.5, 1.0, 2.0], scales=[4])
    priors = torch.cat(anchors.grid_priors([(16, 20), (8, 10), (4, 5)], device='cpu'))
    boxes = random_boxes(25, 3)
    assert_same(RPN, priors, torch.cat([boxes, boxes[:5].round()]))


def test_pairs_that_cannot_overlap_are_not_computed(monkeypatch):
    computed = []

    def counting(boxes, priors, *args):
        computed.append(boxes.shape[1] * priors.shape[1])
        return box_overlaps(boxes, priors, *args)

    monkeypatch.setattr('plugins.task_modules.overlap_stream.box_overlaps', counting)
    monkeypatch.setattr(streamed_max_iou_assigner, 'CPU_BLOCK', 10)
    starts = torch.arange(200).float() * 10  # a row of priors, ten to a block
    priors = torch.stack([starts, starts * 0, starts + 10, starts * 0 + 10], dim=1)
    boxes = torch.tensor([[5.0, 0, 15, 10], [1005, 0, 1015, 10]])
    assert_same(RPN, priors, boxes)
    assert sum(computed) == 2 * 2 * 10  # two boxes, one block each, two sweeps


def test_boxes_of_mmdets_box_class_and_boxes_with_scores_are_accepted():
    boxes, priors = random_boxes(5, 0), random_boxes(60, 1)
    scored = torch.cat([priors, torch.rand(60, 1)], dim=1)
    assert_same(RPN, HorizontalBoxes(scored[:, :4]), HorizontalBoxes(boxes))
    assert_same(RPN, scored, boxes)


def test_other_calculators_and_mixed_types_are_left_to_stock(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('streamed')

    monkeypatch.setattr(StreamedMaxIoUAssigner, '_match', refuse)
    boxes, priors = random_boxes(5, 0), random_boxes(60, 1)
    assert_same(dict(RPN, iou_calculator=dict(type='BboxOverlaps2D_GLIP')), priors, boxes)
    assert_same(RPN, priors.double(), boxes)
    assert_same(RPN, priors.long(), boxes.long())


def test_it_is_built_from_a_config_and_leaves_its_inputs_alone():
    assigner = TASK_UTILS.build(dict(type='StreamedMaxIoUAssigner', **RPN, ignore_iof_thr=0.5))
    priors, boxes, ignore = random_boxes(60, 1), random_boxes(5, 0), random_boxes(5, 2)
    before = [tensor.clone() for tensor in (priors, boxes, ignore)]
    assigner.assign(
        InstanceData(priors=priors),
        InstanceData(bboxes=boxes, labels=torch.arange(5)),
        InstanceData(bboxes=ignore),
    )
    for tensor, copy in zip((priors, boxes, ignore), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_results_on_a_gpu_are_those_of_stock(monkeypatch):
    monkeypatch.setattr(streamed_max_iou_assigner, 'GPU_BLOCK', 7)
    monkeypatch.setattr(streamed_max_iou_assigner, 'GPU_PAIRS', 7)
    for options, grid in itertools.product(OPTIONS, (None, 10)):
        inputs = [random_boxes(n, n, grid=grid).cuda() for n in (120, 9, 3)]
        assert_same(options, *inputs)
