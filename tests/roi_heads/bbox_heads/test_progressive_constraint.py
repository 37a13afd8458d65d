import pytest
import torch

from plugins.roi_heads.bbox_heads.progressive_constraint import (
    SampledRoIs,
    classification_constraint,
    localization_constraint,
    shortfall,
)
from tests.roi_heads.bbox_heads.tsd import read_golden, sampled

ROIS = SampledRoIs(totals=[5, 3, 4], positives=[2, 0, 3])
MARGIN = 0.3


def _scene():
    generator = torch.Generator().manual_seed(0)
    logits, sibling = torch.randn(2, 12, 4, generator=generator).unbind()
    labels = torch.tensor([0, 2, 3, 3, 3, 3, 3, 3, 1, 1, 2, 3])
    return logits.requires_grad_(), sibling.requires_grad_(), labels


def _boxes(count, seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 4
    return torch.cat([corner, corner + 6 + torch.rand(count, 2, generator=generator)], dim=1)


def test_published_code_falls_short_by_as_much(shared):
    golden = read_golden(shared, 'tsd_target_a')
    images = range(3)
    rois = SampledRoIs(
        [len(golden[f'pos.{n}']) + len(golden[f'neg.{n}']) for n in images],
        [len(golden[f'pos.{n}']) for n in images],
    )
    logits, sibling = (
        torch.cat([golden[f'{name}.{n}'] for n in images])
        for name in ('tsd_cls_score', 'cls_score')
    )
    loss = classification_constraint(
        logits, sibling, golden['labels'], rois, float(golden['margin'])
    )
    torch.testing.assert_close(loss, golden['loss_pc_cls'], atol=0, rtol=1e-5)


def test_loop_over_the_rois_gives_the_same_loss_and_gradient():
    logits, sibling, labels = _scene()
    classification_constraint(logits, sibling, labels, ROIS, MARGIN).backward()
    other = logits.detach().clone().requires_grad_()
    values, row = [], 0
    for total, positives in zip(ROIS.totals, ROIS.positives, strict=True):
        if positives == 0:
            values.append(torch.zeros(()))
        for n in range(row, row + (total if positives else 0)):
            p, q = (torch.softmax(v[n], 0)[labels[n]] for v in (other, sibling.detach()))
            values.append(torch.relu(q + min(1 - q, MARGIN) - p))
        row += total
    assert len(values) == 10
    torch.stack(values).mean().backward()
    torch.testing.assert_close(logits.grad, other.grad)
    assert logits.grad.any(dim=1).tolist()[5:8] == [False] * 3
    assert sibling.grad is None


def test_mean_of_ious_counts_an_image_without_positives_once():
    boxes, objects = _boxes(5, 1).requires_grad_(), _boxes(5, 2)
    loss = localization_constraint(boxes, objects, objects, ROIS, MARGIN)
    left = torch.max(boxes[:, :2], objects[:, :2])
    right = torch.min(boxes[:, 2:], objects[:, 2:])
    shared_area = (right - left).prod(dim=1)
    areas = [(b[:, 2:] - b[:, :2]).prod(dim=1) for b in (boxes, objects)]
    ious = shared_area / (sum(areas) - shared_area)
    torch.testing.assert_close(loss, (1 - ious).sum() / 6)
    loss.backward()
    assert boxes.grad.any(dim=1).all()


@pytest.mark.parametrize('better_by', [0.3, 0.5])
def test_nothing_is_lost_by_who_is_better_by_the_margin(better_by):
    sibling = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])
    own = (sibling + better_by).clamp(max=1.0)
    assert not shortfall(own, sibling, MARGIN).any()
    assert (shortfall(own - 0.1, sibling, better_by) > 0.09).all()


def test_without_positives_the_constraints_are_zeros_with_a_gradient():
    logits, sibling, labels = _scene()
    nowhere = SampledRoIs(totals=[5, 3, 4], positives=[0, 0, 0])
    boxes = torch.zeros(0, 4, requires_grad=True)
    losses = (
        classification_constraint(logits, sibling, labels, nowhere, MARGIN),
        localization_constraint(boxes, boxes, torch.zeros(0, 4), nowhere, MARGIN),
    )
    for loss in losses:
        assert loss == 0
        loss.backward()
    assert logits.grad is not None and not logits.grad.any()
    assert boxes.grad is not None


def test_nothing_sampled_is_zero():
    logits = torch.zeros(0, 4, requires_grad=True)
    labels = torch.zeros(0, dtype=torch.long)
    for rois in (SampledRoIs([0], [0]), SampledRoIs([0, 0], [0, 0])):
        loss = classification_constraint(logits, logits, labels, rois, MARGIN)
        assert loss == 0 and loss.requires_grad


def test_numbers_and_rows_of_positives_follow_the_sampler():
    rois = SampledRoIs.of(sampled((4, 0, 2), negatives=5))
    assert rois == ([9, 5, 7], [4, 0, 2])
    assert rois.positive_rows().tolist() == [0, 1, 2, 3, 14, 15]
