import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import SimpleRoIAlign, roi_align

from plugins.roi_heads.mask_heads.semantic_fusion import (
    MultiBranchFusion,
    pool_rois,
    sample_rois,
)

# The last two reach out of maps of 20 x 24 pixels, stride 4; in the order of the images.
ROIS = torch.tensor(
    [
        [0, 3.0, 5.0, 40.0, 60.0],
        [0, 10.0, 2.0, 90.0, 20.0],
        [1, 0.0, 0.0, 96.0, 80.0],
        [1, -30.0, -20.0, 50.0, 30.0],
        [1, 60.0, 50.0, 150.0, 110.0],
    ]
)


def _maps():
    return torch.randn(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))


def test_sampled_rois_are_those_of_point_sampling():
    maps = _maps()
    expected = SimpleRoIAlign((14, 14), 1 / 4)(maps, ROIS)
    torch.testing.assert_close(sample_rois(maps, ROIS, (14, 14), 4), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize('read', [pool_rois, sample_rois])
def test_boxes_keep_their_precision_beside_half_maps(read):
    maps = torch.randn(1, 1, 4, 600, generator=torch.Generator().manual_seed(0)).half()
    rois = torch.tensor([[0, 2001.3, 1.0, 2040.9, 15.0]])
    found = read(maps, rois, (7, 7), 4)
    assert found.dtype == torch.float16
    exact = read(maps.float(), rois, (7, 7), 4)
    assert torch.equal(found, exact.half())
    rounded = read(maps.float(), rois.half(), (7, 7), 4)
    assert (exact - rounded).abs().max() > 0.01


@pytest.mark.parametrize('read', [pool_rois, sample_rois])
def test_no_roi_reads_nothing_and_keeps_the_graph(read):
    maps = _maps().requires_grad_()
    found = read(maps, torch.zeros(0, 5), (7, 7), 4)
    assert found.shape == (0, 3, 7, 7)
    found.sum().backward()
    assert maps.grad is not None and not maps.grad.any()


def test_pooled_rois_are_those_of_roi_align():
    maps = _maps()
    expected = roi_align(maps, ROIS, (14, 14), 1 / 4, 0, 'avg', True)
    assert torch.equal(pool_rois(maps, ROIS, (14, 14), 4), expected)


@pytest.mark.parametrize('with_average', [False, True])
def test_branches_are_summed_before_they_are_merged(with_average):
    torch.manual_seed(0)
    fusion = MultiBranchFusion(4, (1, 3, 5), with_average=with_average)
    x = torch.randn(2, 4, 14, 14)
    total = x.mean((2, 3), keepdim=True) if with_average else 0
    for number, dilation in enumerate((1, 3, 5), 1):
        branch = getattr(fusion, f'dilation_conv_{number}').conv
        total = (
            total
            + F.conv2d(x, branch.weight, branch.bias, padding=dilation, dilation=dilation).relu()
        )
    merge = fusion.merge_conv.conv
    expected = F.conv2d(total, merge.weight, merge.bias)
    torch.testing.assert_close(fusion(x), expected)
    assert (expected < 0).any(), 'there is no activation after it'
