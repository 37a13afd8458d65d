"""Small models stand for their families; nothing here looks for a network."""

import copy
import pickle

import pytest
import timm
import torch
from mmengine.config import Config
from safetensors.torch import save_file
from torch import nn

from mmdet.registry import MODELS
from plugins.backbones import TimmBackbone
from plugins.backbones.timm_models import feature_levels, outline
from plugins.errors import UserError

SMALL = 'regnety_002'
FAMILIES = dict(
    regnety_002=[24, 56, 152, 368],
    resnet18=[64, 128, 256, 512],
    convnext_atto=[40, 80, 160, 320],
    efficientnet_b0=[24, 40, 112, 320],
    mobilenetv3_small_050=[8, 16, 24, 288],
    mambaout_femto=[48, 96, 192, 288],
    swin_tiny_patch4_window7_224=[16, 32, 64, 128],
)
SMALL_SWIN = dict(embed_dim=16, depths=(2, 1, 1, 1), num_heads=(1, 1, 2, 2))


def _build(name, **options):
    if name.startswith('swin'):
        options.update(SMALL_SWIN)
    return TimmBackbone(name, **options)


def _image(height=96, width=128):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def _trained(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(('name', 'channels'), FAMILIES.items(), ids=FAMILIES)
def test_levels_have_the_strides_and_layout_of_mmdet(name, channels):
    """Swin and MambaOut give channels last; Swin is made for images of 224 pixels."""
    torch.manual_seed(0)
    model = _build(name).train()
    maps = model(_image())
    assert model.out_channels == channels
    assert [tuple(m.shape) for m in maps] == [
        (1, c, 96 // stride, 128 // stride)
        for c, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]
    sum(m.sum() for m in maps).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('name', ['regnety_002', 'efficientnet_b0', 'mobilenetv3_small_050'])
def test_what_no_chosen_level_depends_on_is_not_trained(name):
    model = TimmBackbone(name, out_indices=(0, 2)).train()
    assert len(model.out_channels) == 2
    sum(m.sum() for m in model(_image())).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert _trained(model)


@pytest.mark.parametrize(
    ('name', 'is_channels_last'), [('convnext_atto', False), ('mambaout_femto', True)]
)
def test_values_are_those_of_timm(name, is_channels_last):
    torch.manual_seed(0)
    model = TimmBackbone(name, out_indices=(1, 3)).eval()
    plain = timm.create_model(name, features_only=True, out_indices=(1, 3)).eval()
    plain.load_state_dict(model.model.state_dict())
    with torch.no_grad():
        for mine, theirs in zip(model(_image()), plain(_image()), strict=True):
            assert torch.equal(mine, theirs.permute(0, 3, 1, 2) if is_channels_last else theirs)


def test_options_of_timm_are_passed_on():
    model = MODELS.build(dict(type='TimmBackbone', model_name='convnext_atto', drop_path_rate=0.5))
    rates = [m.drop_prob for m in model.modules() if hasattr(m, 'drop_prob')]
    assert max(rates) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ('name', 'stages', 'frozen', 'trained'),
    [
        ('regnety_002', 0, 'stem.bn.bias', 's1.b1.conv1.conv.weight'),
        ('regnety_002', 2, 's2.b1.conv3.bn.bias', 's3.b1.conv1.conv.weight'),
        ('resnet18', 0, 'bn1.bias', 'layer1.0.conv1.weight'),
        ('resnet18', 1, 'layer1.1.bn2.bias', 'layer2.0.conv1.weight'),
        ('convnext_atto', 0, 'stem_1.bias', 'stages_0.blocks.0.gamma'),
        ('swin_tiny_patch4_window7_224', 1, 'layers_0.blocks.1.mlp.fc2.bias', 'layers_1.'),
        ('efficientnet_b0', 1, 'blocks.1.1.bn3.bias', 'blocks.2.0.conv_pw.weight'),
    ],
)
def test_stem_and_first_stages_are_frozen(name, stages, frozen, trained):
    model = TimmBackbone(name, frozen_stages=stages)
    order = [n for n, _ in model.model.named_parameters()]
    last = order.index(frozen)
    assert order[last + 1].startswith(trained) or order[last + 1].startswith(
        frozen.rsplit('.', 3)[0]
    )
    count = len(order) - len(_trained(model.model))
    assert frozen not in _trained(model.model) and set(order[count:]) == _trained(model.model)
    assert order[count].startswith(trained)


def test_position_embedding_is_part_of_the_stem():
    model = TimmBackbone('vit_tiny_patch16_224', out_indices=(11,), frozen_stages=0)
    left = _trained(model.model)
    assert 'model.pos_embed' not in left and 'model.patch_embed.proj.weight' not in left
    assert 'model.blocks.0.attn.qkv.weight' in left


def test_frozen_stages_stay_in_eval_mode_and_unchanged():
    torch.manual_seed(0)
    model = TimmBackbone(SMALL, frozen_stages=1)
    before = copy.deepcopy(model.state_dict())
    assert model.train() is model and model.training
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    sum(m.mean() for m in model(_image())).backward()
    optimizer.step()
    changed = {key for key, value in model.state_dict().items() if not value.equal(before[key])}
    assert changed and all(key.startswith(('model.s2', 'model.s3', 'model.s4')) for key in changed)
    assert 'model.s2.b1.conv1.bn.running_mean' in changed


def test_frozen_norm_keeps_statistics_and_scales():
    torch.manual_seed(0)
    model = TimmBackbone(SMALL, frozen_norm=True).train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    before = copy.deepcopy([m.state_dict() for m in norms])
    sum(m.mean() for m in model(_image())).backward()
    assert norms and not any(m.training for m in norms)
    assert not any(p.requires_grad for m in norms for p in m.parameters())
    for norm, state in zip(norms, before, strict=True):
        assert all(torch.equal(value, state[key]) for key, value in norm.state_dict().items())
    assert 'model.stem.conv.weight' in _trained(model)


def test_norm_eval_keeps_statistics_and_trains_scales():
    model = TimmBackbone(SMALL, norm_eval=True).train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(m.training for m in norms)
    assert all(p.requires_grad for m in norms for p in m.parameters())


def test_initialisation_of_timm_is_kept():
    model = TimmBackbone(SMALL)
    before = copy.deepcopy(model.state_dict())
    model.init_weights()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
def test_file_of_weights_is_read_when_training_begins(tmp_path, suffix):
    torch.manual_seed(1)
    whole = timm.create_model(SMALL)
    path = str(tmp_path / f'weights{suffix}')
    if suffix == '.pth':
        torch.save(dict(state_dict=whole.state_dict()), path)
    else:
        save_file(whole.state_dict(), path)
    model = TimmBackbone(SMALL, pretrained=path)
    assert not torch.equal(model.model.stem.conv.weight, whole.stem.conv.weight)
    generator_state = torch.random.get_rng_state()
    model.init_weights()
    assert torch.equal(torch.random.get_rng_state(), generator_state)
    state = whole.state_dict()
    for key, value in model.model.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_file_of_another_model_is_refused(tmp_path):
    path = str(tmp_path / 'other.safetensors')
    save_file({'stem.weight': torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"other\.safetensors is not made for 'regnety_002'"):
        TimmBackbone(SMALL, pretrained=path).init_weights()


class _RunsCode:
    def __reduce__(self):
        return print, ('code of the file ran',)


def test_file_that_carries_code_is_refused(tmp_path, capsys):
    path = tmp_path / 'code.pth'
    path.write_bytes(pickle.dumps(_RunsCode(), protocol=2))
    with pytest.raises(UserError, match=r'code\.pth cannot be read as weights'):
        TimmBackbone(SMALL, pretrained=str(path)).init_weights()
    assert 'ran' not in capsys.readouterr().out


def test_missing_file_is_named():
    with pytest.raises(UserError, match='nowhere.pth does not exist'):
        TimmBackbone(SMALL, pretrained='nowhere.pth').init_weights()


def test_without_network_the_error_says_which_file_to_get(tmp_path, monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    model = TimmBackbone('regnety_002.pycls_in1k', pretrained=True)
    with pytest.raises(UserError) as raised:
        model.init_weights()
    message = str(raised.value)
    assert message.startswith("backbone.pretrained: the weights of 'regnety_002.pycls_in1k'")
    assert 'model.safetensors of timm/regnety_002.pycls_in1k' in message
    assert "backbone.pretrained='path/of/model.safetensors'" in message and '\n' not in message


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(model_name='regnety_04'), r"no 'regnety_04'; did you mean .*regnety_040"),
        (dict(model_name='regnety_040.best'), r'cannot build .*tag \(best\)'),
        (dict(model_name=SMALL, wings=2), r"cannot build 'regnety_002' with .*wings"),
        (
            dict(model_name=SMALL, out_indices=(0, 4)),
            r'out_indices is \(0, 4\); .* 3 \(stride 32\)',
        ),
        (dict(model_name=SMALL, out_indices=(2, 1)), r'ascending order'),
        (dict(model_name=SMALL, out_indices=()), r'out_indices is \(\)'),
        (dict(model_name=SMALL, frozen_stages=5), r'frozen_stages is 5, but there are 4 stages'),
        (dict(model_name='hrnet_w18_small', frozen_stages=1), r'frozen_stages: this model'),
        (dict(model_name=SMALL, init_cfg=dict(type='Pretrained')), r'init_cfg is not read'),
    ],
)
def test_wrong_option_is_one_clear_error(options, message):
    with pytest.raises(UserError, match=message):
        TimmBackbone(**options)


def test_model_without_feature_maps_is_refused():
    with pytest.raises(UserError, match="model_name: 'plain' has no feature maps"):
        feature_levels(nn.Identity(), 'plain')


def test_neck_of_the_base_model_fits_its_backbone(root):
    cfg = Config.fromfile(root / 'configs/_base_/models/cascade-mask-rcnn_regnety-4gf_fpn.py')
    backbone = cfg.model.backbone
    levels = feature_levels(outline(backbone.model_name), backbone.model_name)
    assert [levels[i].channels for i in backbone.out_indices] == cfg.model.neck.in_channels
    assert [levels[i].stride for i in backbone.out_indices] == [4, 8, 16, 32]


def test_image_that_a_model_cannot_take_is_one_clear_error():
    model = TimmBackbone('coat_lite_tiny')
    with pytest.raises(UserError, match=r"'coat_lite_tiny' does not take images of \(96, 128\)"):
        model(_image())
