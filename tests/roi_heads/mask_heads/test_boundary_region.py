import pytest
import torch

from plugins.roi_heads.mask_heads.boundary_region import boundary_band


def _band_by_counting(mask, width):
    """Look into every window, pixel by pixel."""
    height, columns = mask.shape
    band = torch.zeros_like(mask)
    for y in range(height):
        for x in range(columns):
            others = 0
            for v in range(y - width, y + width + 1):
                for u in range(x - width, x + width + 1):
                    inside = 0 <= v < height and 0 <= u < columns
                    others += (inside and bool(mask[v, u])) != bool(mask[y, x])
            band[y, x] = others / (2 * width + 1) ** 2 > 0.1
    return band


@pytest.mark.parametrize('width', [1, 2, 3])
def test_band_is_that_of_the_authors(golden, width):
    case = golden('refinemask_loss_a')
    band = boundary_band(case['target.1'][:, None].bool(), width)
    assert torch.equal(band[:, 0], case[f'block.{width}'] == 1)
    assert band[0].any() and not band[1].any(), 'mask 1 is empty'


@pytest.mark.parametrize('width', [1, 2, 3])
def test_band_is_where_a_window_is_mixed(width):
    generator = torch.Generator().manual_seed(width)
    mask = torch.rand(9, 11, generator=generator) < 0.2
    assert torch.equal(boundary_band(mask[None, None], width)[0, 0], _band_by_counting(mask, width))


@pytest.mark.parametrize('width', [1, 2])
def test_empty_mask_has_no_boundary_and_a_full_one_has_the_frame(width):
    empty, full = torch.zeros(1, 1, 14, 14).bool(), torch.ones(1, 1, 14, 14).bool()
    assert not boundary_band(empty, width).any()
    frame = full.clone()
    # A row of a window of 5 x 5 is a fifth of it, of 3 x 3 a third.
    frame[..., width:-width, width:-width] = False
    assert torch.equal(boundary_band(full, width), frame)


def test_no_mask_has_no_band():
    assert boundary_band(torch.zeros(0, 1, 14, 14).bool(), 2).shape == (0, 1, 14, 14)
