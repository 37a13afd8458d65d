import copy
import functools

import pytest
import torch
from torch import nn

from mmdet.models.backbones import SwinTransformer
from plugins.backbones import CBSwinTransformer
from plugins.errors import UserError
from tests.backbones.composites import backward, image
from tests.backbones.golden import Golden, in_stock_names, of_network
from tests.steps import without_gradient

SMALL = dict(embed_dims=8, depths=[1, 2, 1, 1], num_heads=[1, 2, 2, 4], window_size=4)
FILES = {'cbswin_a': 2, 'cbswin_triple_a': 3}


def _small(**options):
    torch.manual_seed(0)
    backbone = CBSwinTransformer(**{**SMALL, **options})
    backbone.init_weights()
    # Connections of zeros would hide what flows through them.
    for parameter in backbone.cb_linears.parameters():
        nn.init.normal_(parameter, std=0.3)
    return backbone.eval()


def _assert_equal(maps, others):
    for level, other in zip(maps, others, strict=True):
        torch.testing.assert_close(level, other, rtol=1e-5, atol=1e-5)


@pytest.fixture(params=FILES, scope='module')
def golden(request, shared):
    file = Golden(shared / 'golden/models' / f'{request.param}.npz')
    backbone = CBSwinTransformer(num_backbones=FILES[request.param], **file.options())
    backbone.load_state_dict(in_stock_names(file.state()))
    return file, backbone.eval()


@torch.no_grad()
def test_maps_of_all_backbones_are_those_of_the_reference(golden):
    file, backbone = golden
    pyramids = backbone.forward_all(file['x'])
    assert len(pyramids) == len(backbone.cb_modules)
    for k, maps in enumerate(pyramids):
        for i, level in enumerate(maps):
            torch.testing.assert_close(level, file[f'out.{k}.{i}'], rtol=0, atol=2e-5)
    for level, lead in zip(backbone(file['x']), pyramids[-1], strict=True):
        assert torch.equal(level, lead)


@pytest.fixture(scope='module')
def pair(shared):
    file = Golden(shared / 'golden/models/cbswin_a.npz')
    backbone = CBSwinTransformer(**file.options())
    backbone.load_state_dict(in_stock_names(file.state()))
    return file, backbone.eval()


@torch.no_grad()
def test_what_the_lead_is_fed_is_that_of_the_reference(pair):
    file, backbone = pair
    maps = [file[f'out.0.{i}'] for i in range(4)]
    for i, level in enumerate(maps):
        feed = backbone.compose(0, i, maps, level.shape[-2:])
        expected = file[f'cb_feat.{i}']
        torch.testing.assert_close(feed.flatten(2).transpose(1, 2), expected, rtol=0, atol=2e-5)


@torch.no_grad()
def test_connections_of_zeros_leave_the_map_of_the_stage_itself(pair):
    file, backbone = pair
    zeroed = copy.deepcopy(backbone)
    for parameter in zeroed.cb_linears.parameters():
        parameter.zero_()
    _assert_equal(zeroed(file['x']), [file[f'zero_out.{i}'] for i in range(4)])


@torch.no_grad()
def test_lead_without_a_feed_is_a_plain_swin_on_the_patches_of_the_first(pair):
    file, backbone = pair
    state = in_stock_names(file.state())
    plain = SwinTransformer(**{k: v for k, v in file.options().items() if k != 'cb_del_stages'})
    plain.load_state_dict({**of_network(state, 0), **of_network(state, 1)})
    plain.eval()
    expected = [file[f'lead_nocomposite.{i}'] for i in range(4)]
    _assert_equal(plain(file['x']), expected)
    alone = copy.deepcopy(backbone)
    alone._add = lambda entry, feed: entry
    _assert_equal(alone(file['x']), expected)


@torch.no_grad()
def test_first_backbone_depends_on_nothing_that_comes_after_it():
    backbone = _small()
    before = backbone.forward_all(image())
    for parameter in (*backbone.cb_linears.parameters(), *backbone.cb_modules[1].parameters()):
        parameter.add_(0.5)
    after = backbone.forward_all(image())
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(before[1], after[1], strict=True))
    plain = SwinTransformer(**SMALL)
    plain.load_state_dict(backbone.cb_modules[0].state_dict())
    plain.eval()
    _assert_equal(plain(image()), after[0])


@torch.no_grad()
def test_backbones_without_a_stage_take_what_the_first_makes_of_it():
    """Two deleted stages are one, if the second is the same everywhere and gets no feed."""
    one, two = _small(), _small(cb_del_stages=2)
    assert not list(two.cb_modules[1].stages[0].parameters())
    first = two.cb_modules[0]
    first.norm0.weight.zero_()
    first.norm0.bias.zero_()
    one.cb_modules[0].load_state_dict(first.state_dict())
    one.cb_modules[1].load_state_dict(two.cb_modules[1].state_dict(), strict=False)
    one.cb_modules[1].stages[0].load_state_dict(first.stages[0].state_dict())
    one.cb_modules[1].norm0.load_state_dict(first.norm0.state_dict())
    one.cb_linears.load_state_dict(two.cb_linears.state_dict(), strict=False)
    for parameter in one.cb_linears[0][0].parameters():
        parameter.zero_()
    for maps, others in zip(one.forward_all(image()), two.forward_all(image()), strict=True):
        _assert_equal(maps, others)


@pytest.mark.parametrize('size', [(50, 70), (61, 45), (32, 33)])
@pytest.mark.parametrize('num_backbones', [2, 3])
def test_images_of_any_size_give_maps_of_the_usual_strides(size, num_backbones):
    backbone = _small(num_backbones=num_backbones)
    with torch.no_grad():
        pyramids = backbone.forward_all(image(*size))
    height, width = (-(-side // 4) for side in size)
    assert len(pyramids) == num_backbones
    for i in range(4):
        assert {maps[i].shape for maps in pyramids} == {(1, 8 * 2**i, height, width)}
        height, width = -(-height // 2), -(-width // 2)


@pytest.mark.parametrize('lead_only', [True, False])
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(num_backbones=3),
        dict(cb_del_stages=2),
        dict(cb_del_stages=4, num_backbones=3),
        dict(out_indices=(1, 2, 3)),
        dict(out_indices=(1, 2, 3), cb_del_stages=2),
        dict(frozen_stages=0),
        dict(frozen_stages=2, cb_del_stages=2),
        dict(with_cp=[True, False]),
    ],
    ids=str,
)
def test_everything_that_trains_gets_a_gradient(options, lead_only):
    backbone = _small(**options).train()
    pyramids = [backbone(image())] if lead_only else backbone.forward_all(image())
    assert len(pyramids[-1]) == len(options.get('out_indices', range(4)))
    backward(pyramids)
    assert without_gradient(backbone) == []
    assert any(p.requires_grad for p in backbone.cb_modules[-1].parameters())


@pytest.mark.parametrize(
    'options',
    [
        dict(with_cp=True),
        dict(with_cp=[True, False]),
        dict(with_cp=(False, True)),
        dict(activations='lean'),
        dict(activations='lean', with_cp=[True, False]),
        dict(attention='stock'),
    ],
    ids=str,
)
def test_recomputed_activations_give_the_same_gradients(options):
    gradients = []
    for more in ({}, options):
        backbone = _small(drop_path_rate=0.3, **more).train().double()
        torch.manual_seed(3)
        backward(backbone.forward_all(image(count=2).double()))
        gradients.append([p.grad for p in backbone.parameters()])
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_with_cp_reaches_the_blocks_of_the_right_backbone():
    backbone = _small(with_cp=[False, True])
    flags = [
        {block.with_cp for block in b.modules() if hasattr(block, 'ffn')}
        for b in backbone.cb_modules
    ]
    assert flags == [{False}, {True}]


def test_frozen_stages_are_frozen_in_every_backbone_that_has_them():
    backbone = _small(frozen_stages=1).train()
    frozen = {n for n, p in backbone.named_parameters() if not p.requires_grad}
    parts = {tuple(n.split('.')[1:3]) for n in frozen}
    assert parts == {('0', 'patch_embed'), *((k, m) for k in '01' for m in ('stages', 'norm0'))}
    assert not backbone.cb_modules[1].stages[0].training
    assert backbone.cb_modules[1].stages[1].training
    assert all(p.requires_grad for p in backbone.cb_linears.parameters())


def test_zero_init_starts_with_connections_of_zeros():
    for zero_init in (True, False):
        backbone = CBSwinTransformer(**SMALL, cb_zero_init=zero_init)
        backbone.init_weights()
        values = [p.any().item() for p in backbone.cb_linears.parameters()]
        assert values == [not zero_init] * len(values) and len(values) == 12


def test_backbones_start_different_without_a_file():
    backbone = CBSwinTransformer(**SMALL)
    backbone.init_weights()
    first, lead = (b.stages[0].blocks[0].attn.w_msa.qkv.weight for b in backbone.cb_modules)
    assert not torch.equal(first, lead)


def test_modes_chain_and_copies_are_whole():
    backbone = _small()
    assert backbone.train() is backbone and backbone.training
    assert backbone.eval() is backbone
    assert not any(module.training for module in backbone.modules())
    twin = copy.deepcopy(backbone)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.zero_()
        assert all(level.abs().sum() > 0 for level in twin(image()))


def test_two_large_swins_have_as_many_parameters_as_the_release(monkeypatch):
    # Stock reads numbers off this one tensor, which the meta device cannot give.
    monkeypatch.setattr(torch, 'linspace', functools.partial(torch.linspace, device='cpu'))
    with torch.device('meta'):
        backbone = CBSwinTransformer(
            embed_dims=192, depths=[2, 2, 18, 2], num_heads=[6, 12, 24, 48]
        )
    counts = [
        sum(p.numel() for p in part.parameters())
        for part in (backbone, backbone.cb_modules[0], backbone.cb_linears)
    ]
    assert [round(count / 1e6, 2) for count in counts] == [392.57, 195.0, 2.58]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_backbones=1), 'num_backbones is 1; a composite backbone has at least 2'),
        (dict(with_cp=[True]), 'with_cp has 1 values for 2 backbones'),
        (dict(cb_del_stages=0), 'cb_del_stages is 0; with 4 stages it can be 1 to 4'),
        (dict(cb_del_stages=5), 'cb_del_stages is 5; with 4 stages it can be 1 to 4'),
        (dict(out_indices=(3, 4)), r'out_indices is \(3, 4\), but there are 4 stages'),
    ],
)
def test_option_without_meaning_is_one_error(options, message):
    with pytest.raises(UserError, match=message):
        CBSwinTransformer(**{**SMALL, **options})
