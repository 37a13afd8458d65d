import torch

from plugins.roi_heads.mask_heads.boundary_region import boundary_band, enlarge
from plugins.roi_heads.mask_heads.refine_merge import merge_refined

SIZES = (14, 28, 56, 112)


def _logits(seed=0, count=4):
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.randn(count, 1, 5, 5, generator=generator) * 4
    return [
        enlarge(smooth, (s, s)) + torch.randn(count, 1, s, s, generator=generator) for s in SIZES
    ]


def test_merged_masks_are_those_of_the_authors(golden):
    for name in ('refinemask_lvis_a', 'refinemask_simple_a', 'refinemask_loss_a'):
        case = golden(name)
        logits = [case[f'pred.{stage}'] for stage in range(4)]
        for last in (1, 2, 3):
            merged = merge_refined(logits[: last + 1], start_stage=1)
            torch.testing.assert_close(merged, case[f'merged.{last}'], rtol=0, atol=1e-5)


def test_nothing_is_changed_in_place():
    logits = _logits()
    before = [own.clone() for own in logits]
    merge_refined(logits, start_stage=1)
    assert all(torch.equal(*pair) for pair in zip(logits, before, strict=True))


def test_stages_that_agree_are_merged_into_the_same():
    logits = _logits()
    for stage in (2, 3):
        logits[stage] = enlarge(logits[stage - 1], (SIZES[stage],) * 2)
    assert torch.equal(merge_refined(logits, start_stage=1), logits[3])


def test_last_stage_is_believed_near_the_boundary_alone():
    logits = _logits()
    coarse = merge_refined(logits[:3], start_stage=1)
    sure = [*logits[:3], torch.full_like(logits[3], torch.inf)]
    merged = merge_refined(sure, start_stage=1)
    away = enlarge((~boundary_band(coarse.sigmoid() >= 0.5, 1)).float(), (112, 112)) >= 0.5
    assert 0 < away.sum() < away.numel()
    assert torch.equal(merged.isinf(), ~away)
    assert torch.equal(merged[away], enlarge(coarse, (112, 112))[away])


def test_stages_before_the_first_to_merge_do_not_matter():
    logits = _logits()
    changed = [torch.full_like(logits[0], -torch.inf), *logits[1:]]
    assert torch.equal(merge_refined(changed, 1), merge_refined(logits, 1))
    assert torch.equal(merge_refined(logits, 3), logits[3])


def test_no_roi_is_merged_into_no_mask():
    assert merge_refined(_logits(count=0), 1).shape == (0, 1, 112, 112)


def test_half_precision_is_widened_first():
    logits = [own.half() for own in _logits()]
    merged = merge_refined(logits, 1)
    assert merged.dtype == torch.float32
    assert torch.equal(merged, merge_refined([own.float() for own in logits], 1))
