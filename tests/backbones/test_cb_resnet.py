import copy

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from plugins.backbones import CBResNet
from plugins.errors import UserError
from tests.backbones.composites import backward, image
from tests.backbones.golden import Golden
from tests.steps import without_gradient

SMALL = dict(depth=18, base_channels=4, norm_eval=False)
DEFORMABLE = dict(
    dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
    stage_with_dcn=(False, True, True, True),
)


def _small(*, is_random=True, **options):
    torch.manual_seed(0)
    backbone = CBResNet(**{**SMALL, **options})
    backbone.init_weights()
    # Norms of zeros would hide what flows through them.
    for parameter in backbone.cb_linears.parameters() if is_random else ():
        nn.init.normal_(parameter, std=0.3)
    return backbone.eval()


@pytest.fixture(scope='module')
def golden(shared):
    file = Golden(shared / 'golden/models/cbresnet_a.npz')
    backbone = CBResNet(**file.options())
    backbone.load_state_dict(file.state())
    return file, backbone.eval()


@torch.no_grad()
def test_maps_of_both_backbones_are_those_of_the_reference(golden):
    file, backbone = golden
    for k, maps in enumerate(backbone.forward_all(file['x'])):
        for i, level in enumerate(maps):
            torch.testing.assert_close(level, file[f'out.{k}.{i}'], rtol=0, atol=1e-5)


@torch.no_grad()
def test_what_the_lead_is_fed_is_that_of_the_reference(golden):
    file, backbone = golden
    maps = [file[f'out.0.{i}'] for i in range(4)]
    for i in (1, 2, 3):
        feed = backbone.compose(0, i, maps, maps[i - 1].shape[-2:])
        torch.testing.assert_close(feed, file[f'cb_feat.{i}'], rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('del_stages', [0, 1, 2])
def test_lead_starts_as_the_plain_network_on_the_first_ones_stem(del_stages):
    backbone = _small(is_random=False, cb_del_stages=del_stages)
    first, lead = backbone.cb_modules
    plain = ResNet(**SMALL)
    plain.load_state_dict({**first.state_dict(), **lead.state_dict()})
    plain.eval()
    for level, expected in zip(backbone(image(65, 97)), plain(image(65, 97)), strict=True):
        assert torch.equal(level, expected)


@torch.no_grad()
def test_first_backbone_depends_on_nothing_that_comes_after_it():
    backbone = _small()
    before = backbone.forward_all(image())
    for parameter in (*backbone.cb_linears.parameters(), *backbone.cb_modules[1].parameters()):
        parameter.add_(0.5)
    after = backbone.forward_all(image())
    plain = ResNet(**SMALL)
    plain.load_state_dict(backbone.cb_modules[0].state_dict())
    plain.eval()
    for old, new, expected in zip(before[0], after[0], plain(image()), strict=True):
        assert torch.equal(old, new) and torch.equal(new, expected)
    # Stage 1 of the lead is that of the first backbone.
    assert torch.equal(before[1][0], after[1][0])
    assert not any(torch.equal(a, b) for a, b in zip(before[1][1:], after[1][1:], strict=True))


@torch.no_grad()
def test_backbones_without_a_stage_take_what_the_first_makes_of_it():
    """Two deleted stages are one, if the second is the same everywhere and gets no feed."""
    one, two = _small(num_backbones=3), _small(num_backbones=3, cb_del_stages=2)
    one.load_state_dict(two.state_dict(), strict=False)
    for later in one.cb_modules[1:]:
        later.layer2.load_state_dict(two.cb_modules[0].layer2.state_dict())
    for transition in one.cb_linears:
        for connection in transition[1]:
            connection[1].weight.zero_()
            connection[1].bias.zero_()
    for maps, others in zip(one.forward_all(image()), two.forward_all(image()), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(maps, others, strict=True))


@pytest.mark.parametrize('lead_only', [True, False])
@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(num_backbones=3),
        dict(cb_del_stages=0),
        dict(cb_del_stages=2),
        dict(cb_del_stages=3, num_backbones=3),
        dict(out_indices=(1, 2, 3)),
        dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
        dict(frozen_stages=1),
        dict(frozen_stages=2, norm_eval=True, norm_cfg=dict(type='BN', requires_grad=False)),
        dict(with_cp=[True, False]),
        dict(norm_cfg=dict(type='GN', num_groups=2)),
        dict(family='ResNetV1d'),
        dict(family='ResNeXt', depth=50, groups=4, base_width=2),
        dict(depth=50, **DEFORMABLE),
        dict(family='ResNeSt', depth=50, stem_channels=8, reduction_factor=1),
        dict(family='Res2Net', depth=50, scales=2, base_width=4),
    ],
    ids=str,
)
def test_everything_that_trains_gets_a_gradient(options, lead_only):
    backbone = _small(**options).train()
    images = image(50, 71, count=2)
    pyramids = [backbone(images)] if lead_only else backbone.forward_all(images)
    assert len(pyramids[-1]) == len(options.get('out_indices', range(4)))
    backward(pyramids)
    assert without_gradient(backbone) == []
    assert all(p.requires_grad for p in backbone.cb_linears.parameters())


@pytest.mark.parametrize('with_cp', [True, [True, False], [False, True]])
def test_recomputed_activations_give_the_same_gradients(with_cp):
    gradients = []
    for flag in (False, with_cp):
        # Recomputing a batch norm moves its statistics twice, in stock too.
        backbone = _small(with_cp=flag, norm_eval=True).train()
        backward(backbone.forward_all(image(count=2)))
        gradients.append([p.grad for p in backbone.parameters()])
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('norm_eval', [True, False])
def test_statistics_of_the_connections_never_move(norm_eval):
    backbone = _small(norm_eval=norm_eval).train()
    own = [m for m in backbone.cb_modules.modules() if isinstance(m, _BatchNorm)]
    assert {norm.training for norm in own} == {not norm_eval}
    before = copy.deepcopy(backbone.cb_linears.state_dict())
    backbone.forward_all(image(count=2))
    for name, value in backbone.cb_linears.state_dict().items():
        assert torch.equal(value, before[name])


def test_frozen_stages_are_frozen_in_every_backbone_that_has_them():
    backbone = _small(frozen_stages=2).train()
    frozen = {n for n, p in backbone.named_parameters() if not p.requires_grad}
    parts = {tuple(n.split('.')[1:3]) for n in frozen}
    stem = {('0', 'conv1'), ('0', 'bn1'), ('0', 'layer1')}
    assert parts == {*stem, ('0', 'layer2'), ('1', 'layer2')}
    assert not backbone.cb_modules[1].layer2.training and backbone.cb_modules[1].layer3.training


def test_connections_without_zero_init_pass_something_on():
    torch.manual_seed(0)
    backbone = CBResNet(**SMALL, cb_zero_init=False)
    backbone.init_weights()
    backbone.eval()
    _, lead = backbone.forward_all(image())
    with torch.no_grad():
        for parameter in backbone.cb_linears.parameters():
            parameter.zero_()
    assert not torch.equal(backbone(image())[1], lead[1])


def test_modes_chain():
    backbone = _small()
    assert backbone.train() is backbone and backbone.eval() is backbone


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(family='VGG'), "family is 'VGG'; it can be ResNet, ResNetV1d, ResNeXt"),
        (dict(num_backbones=0), 'num_backbones is 0; a composite backbone has at least 2'),
        (dict(cb_del_stages=-1), 'cb_del_stages is -1; with 4 stages it can be 0 to 3'),
        (dict(cb_del_stages=4), 'cb_del_stages is 4; with 4 stages it can be 0 to 3'),
    ],
)
def test_option_without_meaning_is_one_error(options, message):
    with pytest.raises(UserError, match=message):
        MODELS.build(dict(type='CBResNet', **{**SMALL, **options}))
