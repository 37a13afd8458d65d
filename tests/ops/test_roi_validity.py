import math

import pytest
import torch
from mmcv.ops import deform_roi_pool, roi_align, roi_pool


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    'pool',
    [
        lambda x, r: roi_align(x, r, 2, 0.5, 0),
        lambda x, r: roi_align(x, r, 2, 0.5, 2),
        lambda x, r: roi_align(x, r, 2, 0.5, 0, 'max'),
        lambda x, r: roi_pool(x, r, 2, 0.5),
        lambda x, r: deform_roi_pool(x, r, None, 2, 0.5, 0),
    ],
)
def test_a_roi_that_is_not_finite_gives_nan_and_leaves_the_others_alone(pool, value, device):
    features = torch.rand(1, 2, 8, 8, device=device, requires_grad=True)
    rois = torch.tensor([[0, 1, 1, 9, 9], [0, value, 1, 9, 9], [0, 1, 1, 9, value]], device=device)
    output = pool(features, rois)
    assert output[1:].isnan().all()
    assert torch.equal(output[:1], pool(features, rois[:1]))
    output[:1].sum().backward()
    assert features.grad.isfinite().all() and features.grad.abs().sum() > 0
