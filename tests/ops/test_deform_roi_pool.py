import numpy as np
import pytest
import torch
from mmcv.ops import DeformRoIPoolPack, ModulatedDeformRoIPoolPack, deform_roi_pool, roi_align
from torch.autograd import gradcheck


@pytest.fixture
def golden(shared):
    with np.load(shared / 'golden' / 'models' / 'deform_roi_pool_a.npz') as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def pool(golden, ratio, dtype, count=None):
    tensors = (golden[key].to(dtype) for key in ('feat', 'rois', 'offset'))
    features, rois, offset = tensors
    offset = offset[:count].requires_grad_()
    options = int(golden['output_size']), float(golden['spatial_scale']), ratio
    return deform_roi_pool(features, rois[:count], offset, *options, float(golden['gamma'])), offset


@pytest.mark.parametrize('ratio', [0, 2])
def test_values_of_the_published_formula(golden, ratio):
    output, _ = pool(golden, ratio, torch.float32)
    torch.testing.assert_close(output, golden[f'out.sr{ratio}'], atol=1e-5, rtol=1e-5)


def test_offset_gradient_is_the_finite_difference_of_the_formula(golden):
    output, offset = pool(golden, 2, torch.float64, 3)
    (output * golden['grad_w']).sum().backward()
    expected = golden['grad_offset_sr2_fd'].double()
    torch.testing.assert_close(offset.grad, expected, atol=1e-5, rtol=1e-5)


@pytest.fixture
def features():
    return torch.randn(2, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('ratio', [0, 2])
def test_without_offset_it_is_roi_align(features, rois, ratio, device):
    features, rois = features.to(device), rois.to(device)
    expected = roi_align(features, rois, 3, 1 / 8, ratio, 'avg', True)
    torch.testing.assert_close(deform_roi_pool(features, rois, None, 3, 1 / 8, ratio), expected)


def test_a_common_offset_moves_the_roi(features, rois, device):
    features, rois = features.to(device), rois.to(device)[:3]
    offset = torch.ones(3, 2, 3, 3, dtype=torch.float64, device=device)
    offset[:, 1] = -2
    size = rois[:, 3:] - rois[:, 1:3]
    moved = rois.clone()
    moved[:, [1, 3]] += 0.1 * size[:, :1]
    moved[:, [2, 4]] -= 0.2 * size[:, 1:]
    expected = roi_align(features, moved, 3, 1 / 8, 2, 'avg', True)
    torch.testing.assert_close(deform_roi_pool(features, rois, offset, 3, 1 / 8, 2, 0.1), expected)


@pytest.mark.parametrize('ratio', [0, 2])
def test_gradients_of_features_and_offset(features, rois, ratio):
    generator = torch.Generator().manual_seed(1)
    features = features[:, :2].clone().requires_grad_()
    offset = torch.randn(len(rois), 2, 2, 2, dtype=torch.float64, generator=generator)
    inputs = features, offset.requires_grad_()
    assert gradcheck(lambda x, o: deform_roi_pool(x, rois, o, 2, 1 / 8, ratio, 0.1), inputs)


@pytest.mark.parametrize('pack', [DeformRoIPoolPack, ModulatedDeformRoIPoolPack])
def test_packs_of_mmcv_train(features, rois, pack):
    layer = pack(3, 3, deform_fc_channels=8, spatial_scale=1 / 8, sampling_ratio=2)
    layer(features.float().requires_grad_(), rois.float()).sum().backward()
    assert layer.offset_fc[-1].weight.grad.abs().sum() > 0
