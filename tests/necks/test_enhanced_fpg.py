"""The enhanced feature pyramid grid against stock's, at any image size, and how it starts."""

import warnings

import pytest
import torch
from mmcv.ops import ModulatedDeformConv2dPack
from mmengine.config import Config
from mmengine.hub import get_config
from torch import nn

from mmdet.models.necks import FPG
from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.necks import EnhancedFPG
from plugins.necks.carafe_downsample_conv import CarafeDownsampleConv

CHANNELS = [8, 12, 16, 20]
BN = dict(type='BN', requires_grad=True)
PLAIN = dict(  # the transitions of stock's config
    same_up_trans=dict(type='conv', kernel_size=3, stride=2, padding=1),
    across_down_trans=dict(conv_cfg=None),
)


def make(**options):
    torch.manual_seed(0)
    options = {
        **dict(in_channels=CHANNELS, out_channels=8, stack_times=3, norm_cfg=BN),
        **options,
    }
    neck = MODELS.build(dict(type='EnhancedFPG', **options))
    neck.init_weights()
    return neck


def maps_of(height, width, images=2):
    """Make what a backbone gives for an image: every level half of the one before, rounded up."""
    maps = []
    for channels, stride in zip(CHANNELS, (4, 8, 16, 32), strict=True):
        maps.append(torch.randn(images, channels, -(-height // stride), -(-width // stride)))
    return maps


@pytest.fixture(scope='module')
def stock_config() -> Config:
    """Stock's own config of the grid."""
    return get_config('mmdet::fpg/mask-rcnn_r50_fpg_crop640-50e_coco.py').model.neck


def test_defaults_are_stock_but_for_the_resampling(stock_config):
    torch.manual_seed(0)
    options = dict(in_channels=CHANNELS, out_channels=8, inter_channels=8)
    stock = MODELS.build(dict(stock_config, **options))
    ours = MODELS.build(dict(type='EnhancedFPG', norm_cfg=BN, **options, **PLAIN))
    assert type(stock) is FPG and type(ours) is EnhancedFPG
    ours.load_state_dict(stock.state_dict())
    for neck in (stock, ours):
        neck.train()
    maps = maps_of(128, 192)
    for level, expected in zip(ours(maps), stock(maps), strict=True):
        assert torch.equal(level, expected)


@pytest.mark.parametrize('size', [(96, 160), (97, 131), (33, 250), (128, 64)])
def test_image_of_any_size(size):
    neck = make()
    levels = neck(maps_of(*size))
    assert isinstance(levels, tuple) and [level.shape[1] for level in levels] == [8] * 5
    expected = [tuple(-(-length // stride) for length in size) for stride in (4, 8, 16, 32, 64)]
    assert [tuple(level.shape[2:]) for level in levels] == expected


def test_stock_needs_images_of_multiples_of_64_pixels(stock_config):
    """If this fails, stock has learned it, and there is no need to cut."""
    neck = MODELS.build(dict(stock_config, in_channels=CHANNELS, out_channels=8, inter_channels=8))
    with pytest.raises(RuntimeError, match='must match'):
        neck(maps_of(96, 160))


def test_map_that_is_not_half_of_the_one_before_is_named():
    maps = maps_of(96, 160)
    maps[2] = maps[2][:, :, :-1]
    with pytest.raises(UserError, match=r'sizes \[\(24, 40\), \(12, 20\), \(5, 10\), \(3, 5\)\]'):
        make()(maps)


@pytest.mark.parametrize(
    'options', [{}, dict(stack_times=1, norm_cfg=None), dict(stack_times=2, num_outs=4)]
)
@pytest.mark.parametrize('add_extra_convs', [False, True])
def test_every_parameter_gets_a_gradient(options, add_extra_convs):
    neck = make(**{**options, 'add_extra_convs': add_extra_convs})
    sum(level.square().sum() for level in neck(maps_of(96, 96))).backward()
    missing = [
        n for n, p in neck.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ]
    assert not missing


def test_first_offsets_are_zero_and_first_kernels_means():
    neck = make()
    deformable = [m for m in neck.modules() if isinstance(m, ModulatedDeformConv2dPack)]
    samplers = [m for m in neck.modules() if isinstance(m, CarafeDownsampleConv)]
    assert deformable and samplers
    for layer in deformable:
        assert not layer.conv_offset.weight.any() and not layer.conv_offset.bias.any()
        assert layer.weight.any()
    for layer in samplers:
        assert 0 < layer.content_encoder.weight.std() < 0.002
        assert not layer.content_encoder.bias.any()


def test_deformable_convolution_without_offsets_is_half_a_convolution():
    """The factor of every tap starts at sigmoid(0)."""
    neck = make()
    layer = next(m for m in neck.modules() if isinstance(m, ModulatedDeformConv2dPack))
    x = torch.randn(1, 8, 6, 7)
    expected = nn.functional.conv2d(x, layer.weight, padding=1) * 0.5
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_stock_initialisation_spoils_the_offsets():
    """If this fails, there is nothing to repair any more."""
    neck = make()
    neck._is_init = False
    FPG.init_weights(neck)
    layer = next(m for m in neck.modules() if isinstance(m, ModulatedDeformConv2dPack))
    assert layer.conv_offset.weight.abs().mean() > 0.01


def test_a_second_initialisation_leaves_trained_weights_alone():
    neck = make()
    for parameter in neck.parameters():
        nn.init.constant_(parameter, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        neck.init_weights()
    assert all((parameter == 0.5).all() for parameter in neck.parameters())


def test_loaded_weights_are_not_reset(tmp_path):
    trained = make()
    for parameter in trained.parameters():
        nn.init.constant_(parameter, 0.5)
    torch.save(dict(state_dict=trained.state_dict()), tmp_path / 'neck.pth')
    neck = make(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'neck.pth')))
    assert all((parameter == 0.5).all() for parameter in neck.parameters())


def test_options_of_a_transition_are_added_to_its_own():
    neck = make(same_up_trans=dict(down_kernel=3, compressed_channels=4))
    (sampler, *_) = [m for m in neck.modules() if isinstance(m, CarafeDownsampleConv)]
    assert sampler.down_kernel == 3 and sampler.channel_compressor.out_channels == 4
    assert sampler.conv.order == ('act', 'conv', 'norm') and sampler.conv.with_norm


def test_unknown_transition_is_named():
    with pytest.raises(UserError, match=r"neck.same_up_trans.type is 'carafe'"):
        make(same_up_trans=dict(type='carafe'))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_outs=3), 'num_outs is 3, but start_level and end_level choose 4'),
        (dict(num_outs=4, end_level=2), 'num_outs is 4, but start_level and end_level choose 3'),
        (dict(stack_times=0), 'stack_times is 0'),
    ],
)
def test_numbers_that_do_not_fit_are_named(options, message):
    with pytest.raises(UserError, match=message):
        make(**options)


def test_backbone_with_other_levels_is_named():
    with pytest.raises(UserError, match='in_channels has 4 entries, but the backbone gives 3 maps'):
        make()(maps_of(64, 64)[:3])
