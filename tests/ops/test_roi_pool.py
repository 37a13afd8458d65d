import math

import pytest
import torch
from mmcv.ops import RoIPool, roi_pool
from torch.autograd import gradcheck

SCALE = 1 / 8


@pytest.fixture
def features():
    return torch.randn(2, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def loop_pool(features, rois, size):
    """Definition of the operator: whole pixels that a fractional bin touches."""
    result = torch.zeros(len(rois), features.size(1), size, size, dtype=torch.float64)
    bounds = features.shape[2:]
    for r, (image, *box) in enumerate(rois.tolist()):
        x1, y1 = box[0] * SCALE, box[1] * SCALE
        width, height = (box[2] + 1) * SCALE - x1, (box[3] + 1) * SCALE - y1
        if width <= 0 or height <= 0:
            continue
        for row in range(size):
            for column in range(size):
                edges = []
                spans = ((row, y1, height, bounds[0]), (column, x1, width, bounds[1]))
                for k, start, extent, limit in spans:
                    first = math.floor(k * extent / size + start)
                    last = math.ceil((k + 1) * extent / size + start)
                    edges += [min(max(first, 0), limit), min(max(last, 0), limit)]
                window = features[int(image), :, edges[0] : edges[1], edges[2] : edges[3]]
                if window.numel():
                    result[r, :, row, column] = window.amax(dim=(1, 2))
    return result


def test_bins_hold_the_largest_pixel_of_the_definition(features, rois, device):
    backwards = torch.tensor([[1, 40.0, 40, 20, 20]], dtype=torch.float64)
    rois = torch.cat([rois, backwards])
    output = RoIPool(3, SCALE)(features.to(device), rois.to(device))
    assert torch.equal(output.cpu(), loop_pool(features, rois, 3))
    assert output[-1].abs().max() == 0


def test_gradient_goes_to_the_largest_pixel(features, rois):
    features = features[:, :2].clone().requires_grad_()
    assert gradcheck(lambda x: roi_pool(x, rois, 3, SCALE), features)


def test_bins_outside_the_map_get_no_gradient(features):
    features.requires_grad_()
    rois = torch.tensor([[0, 300.0, 300, 340, 330], [0, 40, 40, 20, 20]], dtype=torch.float64)
    roi_pool(features, rois, 2, SCALE).sum().backward()
    assert features.grad.abs().max() == 0


def test_first_of_equal_pixels_is_taken():
    features = torch.ones(1, 1, 4, 4, requires_grad=True)
    roi_pool(features, torch.tensor([[0.0, 0, 0, 3, 3]]), 1, 1.0).sum().backward()
    assert features.grad.nonzero().tolist() == [[0, 0, 0, 0]]
