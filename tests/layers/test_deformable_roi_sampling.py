import numpy as np
import pytest
import torch

from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from plugins.layers.deformable_roi_sampling import choose_levels, sample_rois

STRIDES = (4, 8, 16, 32)
OPTIONS = dict(strides=STRIDES, sampling_ratio=2, gamma=0.1, finest_scale=56)


def _pyramid(num_images=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(num_images, 3, 256 // s, 320 // s, generator=generator, dtype=dtype)
        for s in STRIDES
    )


def _rois(count=40):
    """RoIs of all sizes, some over the border of an image of 256 x 320 pixels."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 2, (count, 1), generator=generator)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([300.0, 230.0]) - 20
    size = torch.exp2(torch.rand(count, 2, generator=generator) * 7 + 2)
    return torch.cat([image, corner, corner + size], dim=1)


def _extractor(size=7):
    return SingleRoIExtractor(
        roi_layer=dict(type='RoIAlign', output_size=size, sampling_ratio=2),
        out_channels=3,
        featmap_strides=STRIDES,
    )


def _offset(count, size=7):
    return torch.randn(count, 2, size, size, generator=torch.Generator().manual_seed(2))


def test_values_and_offset_gradients_of_the_published_formula(shared):
    with np.load(shared / 'golden' / 'models' / 'deform_roi_pool_a.npz') as arrays:
        golden = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    stride = round(1 / float(golden['spatial_scale']))
    options = dict(OPTIONS, strides=[stride], gamma=float(golden['gamma']))
    offset = golden['offset'].requires_grad_()
    pooled = sample_rois([golden['feat']], golden['rois'], offset, **options)
    torch.testing.assert_close(pooled, golden['out.sr2'], atol=1e-5, rtol=1e-5)
    (pooled[:3] * golden['grad_w']).sum().backward()
    torch.testing.assert_close(offset.grad[:3], golden['grad_offset_sr2_fd'], atol=1e-4, rtol=1e-4)


def test_levels_are_those_of_stock():
    rois = _rois(500)
    rois[0, 3:] = rois[0, 1:3]  # without area
    levels = choose_levels(rois, len(STRIDES), 56)
    assert levels.bincount().min() > 0
    assert torch.equal(levels, _extractor().map_roi_levels(rois, len(STRIDES)))


def test_without_offset_it_is_the_extractor_of_stock():
    x, rois = _pyramid(), _rois()
    pooled = sample_rois(x, rois, torch.zeros(len(rois), 2, 7, 7), **OPTIONS)
    torch.testing.assert_close(pooled, _extractor()(x, rois), atol=1e-5, rtol=1e-5)


def test_common_offset_moves_the_roi_and_keeps_its_level():
    x, rois = _pyramid(), _rois()
    offset = torch.tensor([1.5, -2.0]).view(1, 2, 1, 1).expand(len(rois), 2, 7, 7)
    moved = rois.clone()
    moved[:, 1:] += (0.1 * offset[:, :, 0, 0] * (rois[:, 3:] - rois[:, 1:3])).repeat(1, 2)
    pooled = sample_rois(x, rois, offset, **OPTIONS)
    torch.testing.assert_close(pooled, _extractor()(x, moved), atol=1e-4, rtol=1e-4)


def test_rois_are_independent_of_each_other():
    x, rois, offset = _pyramid(), _rois(), _offset(40)
    pooled = sample_rois(x, rois, offset, **OPTIONS)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    assert torch.equal(sample_rois(x, rois[order], offset[order], **OPTIONS), pooled[order])


@pytest.mark.parametrize('count', [0, 1])
def test_levels_without_rois_and_offsets_get_a_gradient_of_zero(count):
    x = [level.requires_grad_() for level in _pyramid()]
    rois = torch.tensor([[1.0, 10, 10, 40, 40]])[:count]
    offset = _offset(count).requires_grad_()
    pooled = sample_rois(x, rois, offset, **OPTIONS)
    assert pooled.shape == (count, 3, 7, 7)
    pooled.square().sum().backward()
    assert offset.grad is not None
    assert [bool(level.grad.any()) for level in x] == [count > 0, False, False, False]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_maps_are_sampled_at_exact_coordinates(dtype):
    """In half precision pixel 2000.7 would be 2000 or 2001."""
    x = tuple(torch.randn(1, 3, 4, 2048 // s).to(dtype) for s in STRIDES)
    rois = torch.tensor([[0, 2000.7, 3.3, 2024.1, 20.9], [0, 1500.3, 2.0, 1700.9, 15.0]])
    pooled = sample_rois(x, rois, _offset(2), **OPTIONS)
    expected = sample_rois([level.float() for level in x], rois, _offset(2), **OPTIONS)
    assert pooled.dtype == torch.float32
    assert torch.equal(pooled, expected)


def test_samples_are_not_kept_for_the_backward_pass():
    """Memory depends on the bins, not on how often each is sampled."""
    kept = {}
    for ratio in (1, 4):
        kept[ratio] = 0

        def keep(tensor, ratio=ratio):
            kept[ratio] += tensor.nbytes
            return tensor

        offset = _offset(40).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            sample_rois(_pyramid(), _rois(), offset, **{**OPTIONS, 'sampling_ratio': ratio})
    assert 0 < kept[4] == kept[1]


def test_roi_that_is_not_finite_gives_nan_and_harms_no_other():
    x, rois, offset = _pyramid(), _rois(4), _offset(4)
    expected = sample_rois(x, rois, offset, **OPTIONS)
    rois[2, 3] = float('nan')
    pooled = sample_rois(x, rois, offset, **OPTIONS)
    assert pooled[2].isnan().all()
    assert torch.equal(pooled[[0, 1, 3]], expected[[0, 1, 3]])
