"""Composite backbones start from the weights of a single one, and load what the release holds."""

import pytest
import torch
import torchvision
from mmengine.config import ConfigDict
from mmengine.runner.checkpoint import CheckpointLoader

from mmdet.models.backbones import ResNet, SwinTransformer
from mmdet.registry import MODELS
from plugins.backbones import CBResNet, CBSwinTransformer
from plugins.errors import UserError
from tests.backbones.golden import Golden, of_network

SWIN = dict(embed_dims=8, depths=[1, 2, 1, 2], num_heads=[1, 2, 2, 4], window_size=4)


def _from_file(path, **options):
    # Stock's Swin wants attributes; the composite ones take either.
    return dict(init_cfg=ConfigDict(type='Pretrained', checkpoint=str(path)), **options)


@pytest.fixture
def release(shared, tmp_path):
    """A Swin as it is released: for classification, without the norms of a detector's levels."""
    weights = of_network(Golden(shared / 'golden/models/cbswin_a.npz').state(), 0)
    weights = {n: v for n, v in weights.items() if not n.startswith('norm')}
    weights.update({'norm.weight': torch.ones(64), 'norm.bias': torch.zeros(64)})
    weights.update({'head.weight': torch.zeros(10, 64), 'head.bias': torch.zeros(10)})
    weights['layers.1.blocks.1.attn_mask'] = torch.zeros(4, 16, 16)
    torch.save({'model': weights}, tmp_path / 'swin.pth')
    return tmp_path / 'swin.pth'


@pytest.fixture
def torchvision_file(tmp_path):
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / 'resnet18.pth')
    return tmp_path / 'resnet18.pth'


def _count_reads(monkeypatch):
    reads = []
    original = CheckpointLoader.load_checkpoint

    def load(*args, **kwargs):
        reads.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(CheckpointLoader, 'load_checkpoint', load)
    return reads


def _assert_alike(backbone, single):
    expected = single.state_dict()
    for k, network in enumerate(backbone.cb_modules):
        state = network.state_dict()
        assert state.keys() <= expected.keys() and len(state) > (0 if k else len(expected) - 1)
        for name, value in state.items():
            assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize('options', [dict(), dict(num_backbones=3), dict(cb_del_stages=3)], ids=str)
def test_every_swin_gets_the_released_weights(release, monkeypatch, options):
    settings = _from_file(release, convert_weights=True)
    stock = MODELS.build(dict(SWIN, type='SwinTransformer', **settings))
    stock.init_weights()
    reads = _count_reads(monkeypatch)
    backbone = CBSwinTransformer(**{**SWIN, **options}, **settings)
    backbone.init_weights()
    assert len(reads) == 1
    _assert_alike(backbone, stock)
    assert not any(p.any() for p in backbone.cb_linears.parameters())


@pytest.mark.parametrize(
    'options',
    [dict(), dict(num_backbones=3), dict(cb_del_stages=2), dict(norm_eval=False)],
    ids=str,
)
def test_every_resnet_gets_the_weights_of_torchvision(torchvision_file, monkeypatch, options):
    settings = _from_file(torchvision_file, depth=18)
    stock = ResNet(**settings)
    stock.init_weights()
    reads = _count_reads(monkeypatch)
    backbone = CBResNet(**settings, **options)
    backbone.init_weights()
    assert len(reads) == 1
    _assert_alike(backbone, stock)
    lead = backbone.cb_modules[-1].layer4[1].conv1.weight
    assert torch.equal(lead, torch.load(torchvision_file)['layer4.1.conv1.weight'])


def test_detector_of_mmdet_is_a_source_of_weights_too(tmp_path):
    torch.manual_seed(0)
    single = SwinTransformer(**SWIN)
    single.init_weights()
    path = tmp_path / 'detector.pth'
    state = {f'backbone.{n}': v for n, v in single.state_dict().items()}
    torch.save(dict(state_dict=dict(state, **{'neck.bias': torch.zeros(1)})), path)
    backbone = CBSwinTransformer(**SWIN, **_from_file(path))
    backbone.init_weights()
    _assert_alike(backbone, single)


def test_bias_tables_of_another_window_reach_every_swin(release):
    settings = _from_file(release, convert_weights=True)
    backbone = CBSwinTransformer(**{**SWIN, 'window_size': 7}, **settings)
    backbone.init_weights()
    tables = [b.stages[1].blocks[1].attn.w_msa for b in backbone.cb_modules]
    assert tables[0].relative_position_bias_table.shape == (13 * 13, 2)
    state = tables[0].state_dict()
    assert all(torch.equal(value, state[n]) for n, value in tables[1].state_dict().items())


def test_swin_file_of_which_nothing_fits_is_one_error(release, torchvision_file):
    for settings, message in (
        (_from_file(torchvision_file, convert_weights=True), 'no weights of a Swin'),
        (_from_file(torchvision_file), 'no weights of a Swin'),
        (_from_file(release), 'convert_weights=True'),
        (_from_file(release, convert_weights=True, embed_dims=16), 'is of another Swin'),
    ):
        backbone = CBSwinTransformer(**{**SWIN, **settings})
        with pytest.raises(UserError, match=rf'init_cfg\.checkpoint: .*\.pth .*{message}'):
            backbone.init_weights()


def test_resnet_file_of_which_nothing_fits_is_one_error(release, torchvision_file):
    for settings in (
        _from_file(release, depth=18),
        _from_file(torchvision_file, depth=18, base_channels=8),
    ):
        with pytest.raises(UserError, match=r'init_cfg: .*\.pth have none of the names and shapes'):
            CBResNet(**settings).init_weights()


def test_init_cfg_may_be_a_plain_dict(release):
    init_cfg = dict(type='Pretrained', checkpoint=str(release))
    backbone = CBSwinTransformer(**SWIN, convert_weights=True, init_cfg=init_cfg)
    backbone.init_weights()
    first, lead = backbone.cb_modules
    assert torch.equal(first.stages[3].blocks[0].norm1.bias, lead.stages[3].blocks[0].norm1.bias)


def test_missing_file_is_one_error(tmp_path):
    backbone = CBSwinTransformer(**SWIN, **_from_file(tmp_path / 'no.pth'))
    with pytest.raises(UserError, match='no.pth does not exist'):
        backbone.init_weights()


@pytest.mark.parametrize('family', [dict(), dict(family='ResNeXt', depth=50, groups=4)], ids=str)
def test_init_cfg_of_the_initial_values_reaches_every_network(family):
    constant = dict(type='Constant', val=0.25, layer='Conv2d')
    backbone = CBResNet(**{'depth': 18, 'base_channels': 4, **family}, init_cfg=constant)
    backbone.init_weights()
    for network in backbone.cb_modules:
        assert (network.layer4[0].conv1.weight == 0.25).all()


@pytest.mark.parametrize('inside', ['', 'backbone.'])
def test_names_of_the_release_load_as_the_first_transition(shared, inside):
    file = Golden(shared / 'golden/models/cbresnet_a.npz')
    backbone = CBResNet(num_backbones=3, **file.options())
    model = torch.nn.ModuleDict(dict(backbone=backbone)) if inside else backbone
    state = {inside + name: value for name, value in file.state().items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert unexpected == [] and missing
    assert all(n.startswith((f'{inside}cb_modules.2', f'{inside}cb_linears.1')) for n in missing)
    first = backbone.cb_linears[0][1][0][0].weight
    assert torch.equal(first, file['sd.cb_linears.1.0.0.weight'])


def test_own_checkpoints_load_unchanged():
    torch.manual_seed(0)
    for cls, options in ((CBSwinTransformer, SWIN), (CBResNet, dict(depth=18, base_channels=4))):
        one, other = (cls(num_backbones=3, **options) for _ in range(2))
        other.load_state_dict(one.state_dict())
        expected = one.state_dict()
        assert all(torch.equal(value, expected[n]) for n, value in other.state_dict().items())


def test_foreign_tensors_are_not_swallowed():
    backbone = CBSwinTransformer(**SWIN)
    state = dict(backbone.state_dict())
    state['cb_modules.1.stages.9.weight'] = state['cb_linears.0.7.weight'] = torch.zeros(1)
    with pytest.raises(RuntimeError, match='Unexpected') as error:
        backbone.load_state_dict(state)
    assert 'stages.9' in str(error.value) and 'cb_linears.0.7' in str(error.value)
