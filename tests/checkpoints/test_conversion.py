import pytest
import torch

from plugins.checkpoints import CheckpointError
from plugins.checkpoints.conversion import (
    compare,
    convert_names,
    data_set_meta,
    detector_weights,
    repeat_backbone,
)
from plugins.errors import UserError
from tests.backbones.golden import Golden, in_stock_names, of_network
from tests.roi_heads.nano import nano_model
from tests.steps import build_detector

SWIN = dict(embed_dims=8, depths=[1, 2, 1, 2], num_heads=[1, 2, 2, 4], window_size=4)


def detector_config(backbone, name='cascade-mask-rcnn', **more):
    """A nano detector on one of the golden backbones or a single network of it."""
    options = dict(_delete_=True, **SWIN) if 'Swin' in backbone else dict(base_channels=4)
    more = dict(backbone=dict(type=backbone, **options), **more)
    return nano_model(name, neck=dict(in_channels=_widths(backbone)), **more)


def _widths(backbone):
    return [(8 if 'Swin' in backbone else 4) * 2**i for i in range(4)]


def released(file, detector, single=False):
    """The checkpoint of a detector as the reference would have saved it."""
    state = file.state()
    if single:
        state = of_network(state, 0)
    weights = {f'backbone.{name}': value for name, value in state.items()}
    weights.update(
        {n: v for n, v in detector.state_dict().items() if not n.startswith('backbone.')}
    )
    return weights


@pytest.fixture(scope='module')
def swin(shared):
    return Golden(shared / 'golden/models/cbswin_a.npz')


@pytest.fixture(scope='module')
def resnet(shared):
    return Golden(shared / 'golden/models/cbresnet_a.npz')


def _load_whole(detector, tensors):
    """Every tensor has a place and every place a tensor."""
    fit = compare(tensors, detector.state_dict())
    assert (fit.missing, fit.reshaped, fit.foreign) == ([], [], [])
    detector.load_state_dict(tensors)
    return detector.eval()


@torch.no_grad()
@pytest.mark.parametrize('wrapper', ['', 'module.'])
def test_composite_swin_detector_of_the_release_computes_the_same(swin, wrapper):
    detector = build_detector(detector_config('CBSwinTransformer', type='CompositeDetector'))
    weights = {wrapper + n: v for n, v in released(swin, detector).items()}
    result = convert_names(weights)
    assert result.unknown == [] and result.left_out == {}
    assert set(result.renamed) == {
        'Swin in the layout of its release',
        'connections of two Swins',
        *(['inside a wrapper'] if wrapper else []),
    }
    _load_whole(detector, result.tensors)
    for k, maps in enumerate(detector.backbone.forward_all(swin['x'])):
        for i, level in enumerate(maps):
            torch.testing.assert_close(level, swin[f'out.{k}.{i}'], rtol=0, atol=2e-5)


@torch.no_grad()
def test_composite_resnet_detector_of_the_release_computes_the_same(resnet):
    detector = build_detector(detector_config('CBResNet', type='CompositeDetector'))
    result = convert_names(released(resnet, detector))
    [(what, names)] = result.left_out.items()
    assert 'norms of a stem' in what
    assert {n.rsplit('.', 1)[0] for n in names} == {'backbone.cb_modules.1.bn1'}
    assert set(result.renamed) == {'connections of two ResNets'}
    _load_whole(detector, result.tensors)
    for k, maps in enumerate(detector.backbone.forward_all(resnet['x'])):
        for i, level in enumerate(maps):
            torch.testing.assert_close(level, resnet[f'out.{k}.{i}'], rtol=0, atol=2e-5)


@torch.no_grad()
def test_swin_detector_in_the_layout_of_the_release_computes_the_same(swin):
    detector = build_detector(detector_config('SwinTransformer'))
    weights = released(swin, detector, single=True)
    weights['backbone.layers.1.blocks.1.attn_mask'] = torch.zeros(4, 16, 16)
    result = convert_names(weights)
    [names] = result.left_out.values()
    assert names == ['backbone.layers.1.blocks.1.attn_mask'] and result.unknown == []
    _load_whole(detector, result.tensors)
    for i, level in enumerate(detector.backbone(swin['x'])):
        torch.testing.assert_close(level, swin[f'out.0.{i}'], rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ('backbone', 'type_'),
    [
        ('CBSwinTransformer', 'CompositeDetector'),
        ('CBResNet', 'CompositeDetector'),
        ('SwinTransformer', 'MaskRCNN'),
        ('ResNet', 'MaskRCNN'),
    ],
)
def test_names_of_mmdet_3_and_of_this_repository_stay(backbone, type_):
    config = detector_config(backbone, 'mask-rcnn', type=type_)
    weights = build_detector(config).state_dict()
    result = convert_names(weights)
    assert result.tensors.keys() == weights.keys()
    assert (result.renamed, result.left_out, result.unknown) == ({}, {}, [])
    again = convert_names(result.tensors)
    assert all(torch.equal(value, weights[n]) for n, value in again.tensors.items())


def test_three_backbones_keep_their_three_indices(shared):
    state = in_stock_names(Golden(shared / 'golden/models/cbswin_triple_a.npz').state())
    result = convert_names({f'backbone.{n}': v for n, v in state.items()})
    assert result.tensors.keys() == {f'backbone.{n}' for n in state}


def test_names_of_the_refine_mask_head_stay(shared):
    for file in ('refinemask_lvis_a', 'refinemask_simple_a'):
        names = Golden(shared / f'golden/models/{file}.npz').state()
        for place in ('roi_head.mask_head.', 'roi_head.mask_head.2.'):
            result = convert_names({place + n: v for n, v in names.items()})
            assert [n.removeprefix(place) for n in result.tensors] == list(names)


def test_what_nobody_knows_is_reported_and_not_passed_on():
    one = torch.zeros(1)
    weights = {
        'backbone.conv1.weight': one,
        'backbone.bogus': one,
        'backbone.stages.0.blocks.0.attn.qkv.weight': one,
        'bbox_head.0.fc_cls.weight': one,
        'ema_backbone_conv1_weight': one,
    }
    result = convert_names(weights)
    assert list(result.tensors) == ['backbone.conv1.weight']
    assert result.unknown == list(weights)[1:4]
    assert list(result.left_out.values()) == [['ema_backbone_conv1_weight']]


def test_two_tensors_of_one_name_are_one_error():
    one = torch.zeros(1)
    weights = {'backbone.conv1.weight': one, 'module.backbone.conv1.weight': one}
    with pytest.raises(CheckpointError, match='has already'):
        convert_names(weights)


@torch.no_grad()
@pytest.mark.parametrize('del_stages', [1, 2])
@pytest.mark.parametrize('num_backbones', [2, 3])
@pytest.mark.parametrize('kind', ['swin', 'resnet'])
def test_every_network_gets_the_weights_of_a_single_backbone(
    request, kind, num_backbones, del_stages
):
    file = request.getfixturevalue(kind)
    single, composite = (
        ('SwinTransformer', 'CBSwinTransformer') if kind == 'swin' else ('ResNet', 'CBResNet')
    )
    detector = build_detector(detector_config(single))
    weights = convert_names(released(file, detector, single=True)).tensors
    repeated = repeat_backbone(weights, num_backbones, del_stages)
    config = detector_config(composite, type='CompositeDetector')
    config.backbone.update(num_backbones=num_backbones, cb_del_stages=del_stages)
    detector = build_detector(config)
    fit = compare(repeated, detector.state_dict())
    assert fit.reshaped == fit.foreign == []
    assert all(n.startswith('backbone.cb_linears.') for n in fit.missing) and fit.missing
    detector.load_state_dict(repeated, strict=False)
    detector.eval()
    first, *_, lead = detector.backbone.forward_all(file['x'])
    for i, level in enumerate(first):
        torch.testing.assert_close(level, file[f'out.0.{i}'], rtol=0, atol=2e-5)
    if kind == 'resnet':  # its connections start with nothing
        assert all(torch.equal(a, b) for a, b in zip(first, lead, strict=True))


@pytest.mark.parametrize(
    ('names', 'count', 'message'),
    [
        (['backbone.cb_modules.0.conv1.weight'], 2, 'composite already; leave out --num-backbones'),
        (['backbone.model.stem.weight', 'neck.bias'], 2, 'for Swin and ResNet'),
        (['backbone.layer1.0.conv1.weight'], 1, 'is 1; a composite backbone has at least 2'),
    ],
)
def test_backbone_that_cannot_be_repeated_is_one_error(names, count, message):
    with pytest.raises(UserError, match=message):
        repeat_backbone(dict.fromkeys(names, torch.zeros(1)), count)


@pytest.mark.parametrize(
    ('kind', 'del_stages', 'message'),
    [
        ('layer{}', 4, 'is 4; with 4 stages it can be 0 to 3'),
        ('layer{}', -1, 'can be 0 to 3'),
        ('stages.{}.blocks', 5, 'is 5; with 4 stages it can be 1 to 4'),
        ('stages.{}.blocks', 0, 'can be 1 to 4'),
    ],
)
def test_later_backbones_keep_a_stage(kind, del_stages, message):
    names = [f'backbone.{kind.format(i)}.0.weight' for i in range(4)]
    with pytest.raises(UserError, match=message):
        repeat_backbone(dict.fromkeys(names, torch.zeros(1)), 2, del_stages)


@pytest.mark.parametrize('shape', [(3,), (2, 7), (8,)])
def test_patch_merging_of_another_shape_is_one_error(shape):
    name = 'backbone.layers.0.downsample.reduction.weight'
    with pytest.raises(CheckpointError, match=f'{name} has the shape'):
        convert_names({name: torch.zeros(shape)})


@pytest.mark.parametrize(
    ('checkpoint', 'message'),
    [
        ([1, 2], 'holds no weights'),
        ({}, 'holds no weights'),
        ({'state_dict': {}, 'meta': {}}, 'holds no weights'),
        ({'epoch': 3}, 'holds no weights'),
        ({'model': {'patch_embed.proj.weight': torch.zeros(1)}}, 'none of a detector: .*init_cfg'),
        ({'conv1.weight': torch.zeros(1)}, 'none of a detector: .* first is conv1.weight'),
    ],
)
def test_what_is_no_detector_checkpoint_is_one_error(checkpoint, message):
    with pytest.raises(CheckpointError, match=message):
        detector_weights(checkpoint, 'x.pth')


def test_weights_are_found_where_they_are_kept():
    weights = {'module.backbone.conv1.weight': torch.zeros(1)}
    for checkpoint in (weights, {'state_dict': weights}, {'model': weights, 'epoch': 1}):
        assert detector_weights(checkpoint, 'x.pth').keys() == weights.keys()


@pytest.mark.parametrize(
    ('meta', 'expected'),
    [
        (
            dict(CLASSES=('a', 'b'), PALETTE=[(0, 0, 0)]),
            dict(classes=('a', 'b'), palette=[(0, 0, 0)]),
        ),
        (dict(CLASSES=('a',), PALETTE=None), dict(classes=('a',))),
        (dict(dataset_meta=dict(classes=('a',)), CLASSES=('b',)), dict(classes=('a',))),
        (dict(dataset_meta=['a'], CLASSES=('b',)), dict(classes=('b',))),
        (dict(CLASSES=torch.ones(2), PALETTE='random'), dict()),
        (dict(), dict()),
        (None, dict()),
    ],
)
def test_class_names_are_kept(meta, expected):
    assert data_set_meta(dict(meta=meta)) == expected


def test_comparison_names_what_differs():
    wanted = {n: torch.zeros(2) for n in ('a', 'b', 'c', 'bn.num_batches_tracked')}
    tensors = {'a': torch.ones(2), 'b': torch.zeros(3), 'd': torch.zeros(2)}
    fit = compare(tensors, wanted)
    assert (fit.missing, fit.reshaped, fit.foreign) == (['c'], ['b'], ['d'])
