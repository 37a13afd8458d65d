"""Files in the layout of the released classifiers, made here from weights of known origin."""

import pickle

import pytest
import torch
from mmengine.config import ConfigDict

from mmdet.models.backbones import SwinTransformer
from plugins.backbones import FusedSwinTransformer
from plugins.backbones.swin_weights import resize_bias_table
from plugins.errors import UserError

TINY = dict(embed_dims=8, depths=(2, 1, 2, 1), num_heads=(1, 2, 2, 4), window_size=7)
RENAMED = [
    ('stages.', 'layers.'),
    ('attn.w_msa.', 'attn.'),
    ('ffn.layers.0.0.', 'mlp.fc1.'),
    ('ffn.layers.1.', 'mlp.fc2.'),
    ('patch_embed.projection', 'patch_embed.proj'),
]


def _released(**options):
    """State of a classifier as it was released: no output norms, masks in shifted blocks."""
    torch.manual_seed(0)
    model = SwinTransformer(**{**TINY, **options})
    state = {}
    for key, value in model.state_dict().items():
        if key.startswith('norm'):
            continue
        for mine, theirs in RENAMED:
            key = key.replace(mine, theirs)
        state[key] = value if 'index' in key else torch.randn_like(value)
    state['layers.0.blocks.1.attn_mask'] = torch.zeros(4, 49, 49)
    state['norm.weight'] = torch.ones(64)
    state['head.weight'] = torch.randn(10, 64)
    return state


def _write(path, state, wrapper='model'):
    torch.save({wrapper: state, 'epoch': 3} if wrapper else state, path)
    return str(path)


def _load(cls, source, **options):
    init_cfg = ConfigDict(type='Pretrained', checkpoint=source)
    model = cls(**{**TINY, 'convert_weights': True, **options}, init_cfg=init_cfg)
    model.init_weights()
    return model.state_dict()


@pytest.mark.parametrize('window', [7, 12])
def test_released_weights_arrive_as_in_stock(tmp_path, window):
    """Files for images of 384 pixels have windows of 12, which stock cannot put into 7."""
    state = _released(window_size=window)
    source = _write(tmp_path / 'swin.pth', state)
    mine = _load(FusedSwinTransformer, source)
    own = FusedSwinTransformer(**TINY).state_dict()
    if window != 7:
        state = {k: v for k, v in state.items() if 'relative_position_index' not in k}
        source = _write(tmp_path / 'without_index.pth', state)
    stock = _load(SwinTransformer, source)
    assert mine.keys() == stock.keys()
    for key, value in stock.items():
        assert torch.equal(mine[key], value), key
        drawn = key.startswith('norm') or 'index' in key
        assert drawn == torch.equal(value, own[key]), key


def test_index_of_the_file_is_the_one_that_is_computed():
    """The released files carry it, and it is not read."""
    window = 3
    rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
    places = torch.stack([rows.flatten(), columns.flatten()])
    offset = places[:, :, None] - places[:, None] + window - 1
    model = FusedSwinTransformer(**{**TINY, 'window_size': window})
    index = model.stages[0].blocks[0].attn.w_msa.relative_position_index
    assert torch.equal(offset[0] * (2 * window - 1) + offset[1], index)


@pytest.mark.parametrize('prefix', ['', 'backbone.', 'module.backbone.', 'module.'])
@pytest.mark.parametrize('wrapper', ['state_dict', None])
def test_backbone_is_found_in_files_of_mmdet(tmp_path, prefix, wrapper):
    torch.manual_seed(1)
    trained = SwinTransformer(**TINY)
    torch.nn.init.normal_(trained.norm3.weight)
    state = {prefix + key: value for key, value in trained.state_dict().items()}
    if prefix.endswith('backbone.'):
        state[prefix.replace('backbone', 'neck') + 'weight'] = torch.zeros(2)
    mine = _load(
        FusedSwinTransformer, _write(tmp_path / 'a.pth', state, wrapper), convert_weights=False
    )
    assert all(torch.equal(mine[key], value) for key, value in trained.state_dict().items())


def test_table_is_interpolated_to_another_window_alone():
    ramp = torch.arange(23.0)
    table = torch.stack([ramp[:, None] + 2 * ramp, torch.ones(23, 23)], -1).flatten(0, 1)
    assert resize_bias_table(table, torch.zeros(23 * 23, 2)) is table
    small = resize_bias_table(table, torch.zeros(13 * 13, 2))
    assert small.shape == (169, 2) and small.is_contiguous()
    ramps = small[:, 0].view(13, 13)
    assert ramps[6, 6] == pytest.approx(33) and ramps[6, 5] < ramps[5, 6] < ramps[6, 6]
    assert torch.allclose(ramps + ramps.flip(0, 1), torch.tensor(66.0))
    assert torch.allclose(small[:, 1], torch.ones(169))


def test_names_of_the_release_ask_for_conversion(tmp_path):
    source = _write(tmp_path / 'swin.pth', _released())
    with pytest.raises(UserError, match=r'swin\.pth holds no .*set backbone\.convert_weights=True'):
        _load(FusedSwinTransformer, source, convert_weights=False)


@pytest.mark.parametrize('state', [{}, {'conv1.weight': torch.zeros(3)}, {'norm3.weight': 3}])
@pytest.mark.parametrize('convert', [True, False])
def test_file_without_anything_that_fits_is_one_clear_error(tmp_path, state, convert):
    with pytest.raises(UserError, match=r'other\.pth holds no weights of a Swin transformer'):
        _load(FusedSwinTransformer, _write(tmp_path / 'other.pth', state), convert_weights=convert)


def test_file_that_is_no_dict_is_one_clear_error(tmp_path):
    source = _write(tmp_path / 'list.pth', [torch.zeros(2)], 'model')
    with pytest.raises(UserError, match=r'list\.pth holds no weights by name'):
        _load(FusedSwinTransformer, source)


@pytest.mark.parametrize(
    ('file', 'message'),
    [
        (dict(embed_dims=16), r'is of another Swin: patch_embed.* has the shape \(16, 3, 4, 4\)'),
        (dict(num_heads=(2, 2, 2, 4)), r'is of another Swin: .*bias_table has the shape \(169, 2'),
        (dict(depths=(2, 1, 1, 1)), r'no weights for stages\.2\.blocks\.1\..*backbone\.depths'),
        (dict(depths=(2, 1, 3, 1)), r'more blocks than the backbone \(stages\.2\.blocks\.2\)'),
    ],
    ids=['width', 'heads', 'shallower', 'deeper'],
)
def test_file_of_another_swin_is_refused(tmp_path, file, message):
    with pytest.raises(UserError, match=message):
        _load(FusedSwinTransformer, _write(tmp_path / 'swin.pth', _released(**file)))


class _RunsCode:
    def __reduce__(self):
        return print, ('code of the file ran',)


def test_file_that_carries_code_is_refused(tmp_path, capsys):
    path = tmp_path / 'code.pth'
    path.write_bytes(pickle.dumps(_RunsCode(), protocol=2))
    with pytest.raises(UserError, match=r'code\.pth'):
        _load(FusedSwinTransformer, str(path))
    assert 'ran' not in capsys.readouterr().out
