import math

import pytest
import torch
import torchvision
from mmcv.ops import RoIAlign, roi_align
from torch.autograd import gradcheck

from plugins.ops import roi_align as module
from plugins.ops.roi_sampling import bin_points

SCALE = 1 / 8


@pytest.fixture
def features():
    return torch.randn(2, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def loop_align(features, rois, size, ratio, mode, aligned, read):
    """Definition of the operator, one sample at a time."""
    result = torch.zeros(len(rois), features.size(1), size, size, dtype=torch.float64)
    shift = 0.5 if aligned else 0
    for r, (image, *box) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (side * SCALE - shift for side in box)
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        per_column = ratio if ratio > 0 else math.ceil(width / size)
        per_row = ratio if ratio > 0 else math.ceil(height / size)
        for channel, plane in enumerate(features[int(image)]):
            for row in range(size):
                for column in range(size):
                    samples = [
                        read(
                            plane,
                            y1 + (row + (i + 0.5) / per_row) * height / size,
                            x1 + (column + (j + 0.5) / per_column) * width / size,
                        )
                        for i in range(per_row)
                        for j in range(per_column)
                    ]
                    if mode == 'avg':
                        value = sum(samples) / max(len(samples), 1)
                    else:
                        value = max(samples, default=-10000)
                    result[r, channel, row, column] = value
    return result


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
def test_bins_hold_the_samples_of_the_definition(
    features, rois, mode, ratio, aligned, read_pixel_blend, device
):
    expected = loop_align(features, rois, 3, ratio, mode, aligned, read_pixel_blend)
    output = roi_align(features.to(device), rois.to(device), 3, SCALE, ratio, mode, aligned)
    torch.testing.assert_close(output.cpu(), expected)


@pytest.mark.parametrize('ratio', [-1, 0, 2])
def test_average_is_torchvisions_bit_by_bit(features, rois, ratio):
    features, rois = features.float().requires_grad_(), rois.float()
    ours = RoIAlign((7, 5), SCALE, ratio)(features, rois)
    theirs = torchvision.ops.roi_align(features, rois, (7, 5), SCALE, ratio, aligned=True)
    assert torch.equal(ours, theirs)
    weight = torch.randn_like(ours)
    grads = [torch.autograd.grad((out * weight).sum(), features)[0] for out in (ours, theirs)]
    assert torch.equal(*grads)


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
def test_gradient_of_the_features(features, rois, mode, ratio, aligned):
    features = features[:, :2].clone().requires_grad_()
    assert gradcheck(lambda x: roi_align(x, rois, 2, SCALE, ratio, mode, aligned), features)


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
def test_deterministic_gradient_is_the_same(features, rois, ratio, aligned):
    # On CUDA it replaces torchvision's kernel, which refuses deterministic mode.
    features.requires_grad_()
    output = roi_align(features, rois, 3, SCALE, ratio, 'avg', aligned)
    grad = torch.randn_like(output)
    expected = torch.autograd.grad(output, features, grad)[0]
    points = bin_points(rois, (3, 3), SCALE, ratio, aligned=aligned)
    torch.testing.assert_close(module._average_grad(grad, points, features.shape), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_deterministic_mode_trains_on_cuda(features, rois):
    features, rois = features.cuda().requires_grad_(), rois.cuda()
    torch.use_deterministic_algorithms(True)
    try:
        roi_align(features, rois, 3, SCALE, 2).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert features.grad.isfinite().all()


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_only_rois_without_extent(features, mode):
    rois = torch.tensor([[0.0, 20, 20, 20, 20], [1, 30, 30, 20, 20]], dtype=torch.float64)
    features.requires_grad_()
    output = roi_align(features, rois, 2, SCALE, 0, mode)
    assert torch.equal(output, torch.full_like(output, 0 if mode == 'avg' else -10000))
    output.sum().backward()
    assert features.grad.abs().max() == 0
