import pytest
import torch

from plugins.roi_heads.mask_heads.boundary_region import boundary_band, enlarge
from plugins.roi_heads.mask_heads.refine_loss import semantic_loss, stage_losses

SIZES = (14, 28, 56, 112)
OPTIONS = dict(boundary_width=2, start_stage=1)


def _stages(case, key):
    return [case[f'{key}.{stage}'].float() for stage in range(4)]


@pytest.mark.parametrize('form', ['refine', 'bar'])
def test_losses_and_gradients_are_those_of_the_authors(golden, form):
    case = golden('refinemask_loss_a')
    logits = [own.requires_grad_() for own in _stages(case, 'pred')]
    losses = stage_losses(logits, _stages(case, 'target'), **OPTIONS)
    total = sum(w * own for w, own in zip(case[f'weights.{form}'].tolist(), losses, strict=True))
    torch.testing.assert_close(total, case[f'loss_instance.{form}'], rtol=1e-6, atol=1e-6)
    total.backward()
    for stage, own in enumerate(logits):
        expected = case[f'grad.{form}.{stage}']
        torch.testing.assert_close(own.grad, expected, rtol=1e-5, atol=1e-9)
        assert torch.equal(own.grad == 0, expected == 0)


def test_semantic_loss_is_that_of_the_authors(golden):
    case = golden('refinemask_loss_a')
    loss = semantic_loss(case['semantic_pred'], case['semantic_target'][:, None])
    torch.testing.assert_close(loss, case['loss_semantic'], rtol=1e-6, atol=1e-6)


def _disks(size, radius):
    places = (torch.arange(size) + 0.5) / size - 0.5
    return (places[:, None] ** 2 + places**2 < radius**2).float()[None]


def _sure(masks):
    """Logits of somebody who is sure of masks."""
    return ((masks * 2 - 1) * 5)[:, None]


def test_gradient_away_from_every_boundary_is_zero():
    targets = [_disks(size, 0.3) for size in SIZES]
    logits = [_sure(_disks(size, 0.2)).requires_grad_() for size in SIZES]
    sum(stage_losses(logits, targets, **OPTIONS)).backward()
    for stage in (2, 3):
        coarse, target = logits[stage - 1].detach() >= 0, targets[stage - 1][:, None] >= 0.5
        bands = boundary_band(coarse, 2) | boundary_band(target, 2)
        near = enlarge(bands.float(), (SIZES[stage],) * 2) >= 0.5
        assert torch.equal(logits[stage].grad != 0, near)
    assert all((own.grad != 0).all() for own in logits[:2])


def test_infinite_logits_away_from_the_boundary_do_no_harm():
    targets = [_disks(size, 0.3) for size in SIZES]
    logits = [_sure(target) for target in targets]
    logits[3][..., :3, :3] = torch.inf
    logits[3].requires_grad_()
    losses = stage_losses(logits, targets, **OPTIONS)
    losses[3].backward()
    assert losses[3].isfinite() and logits[3].grad.isfinite().all()


def test_empty_masks_cost_nothing_in_the_later_stages():
    targets = [torch.zeros(2, size, size) for size in SIZES]
    logits = [(own[:, None] - 5).requires_grad_() for own in targets]
    losses = stage_losses(logits, targets, **OPTIONS)
    assert losses[0] > 0 and losses[1] > 0 and losses[2] == losses[3] == 0
    sum(losses).backward()
    assert all(own.grad is not None for own in logits)


def test_no_roi_costs_nothing():
    logits = [torch.zeros(0, 1, size, size, requires_grad=True) for size in SIZES]
    losses = stage_losses(logits, [torch.zeros(0, size, size) for size in SIZES], **OPTIONS)
    assert not torch.stack(losses).any()
    sum(losses).backward()
    assert all(own.grad is not None for own in logits)


def test_start_stage_says_from_where_on_boundaries_count():
    targets = [_disks(size, 0.3) for size in SIZES]
    logits = [_sure(_disks(size, 0.25)) for size in SIZES]
    whole = stage_losses(logits, targets, boundary_width=2, start_stage=3)
    means = [
        torch.nn.functional.binary_cross_entropy_with_logits(own[:, 0], target)
        for own, target in zip(logits, targets, strict=True)
    ]
    torch.testing.assert_close(whole, means)
    banded = stage_losses(logits, targets, boundary_width=2, start_stage=0)
    assert torch.equal(banded[0], whole[0])
    assert all(banded[stage] > whole[stage] for stage in (1, 2, 3)), 'errors are near boundaries'


def test_half_precision_is_widened_first():
    targets = [_disks(size, 0.3) for size in SIZES]
    logits = [_sure(_disks(size, 0.2)).half() for size in SIZES]
    losses = stage_losses(logits, targets, **OPTIONS)
    assert all(loss.dtype == torch.float32 for loss in losses)
    assert torch.equal(
        torch.stack(losses),
        torch.stack(stage_losses([own.float() for own in logits], targets, **OPTIONS)),
    )
