"""Axes of an experiment combine freely: the same lines at the same address in every model.

Every value of every axis meets every value of every other axis in at least one combination
(pairwise coverage), at a fraction of the width.
"""

import copy
import itertools

import pytest
import torch
from mmengine.config import Config

from tests.shrink import shrink
from tests.steps import build_detector, make_batch, test_step, train_step, without_gradient

NUM_CLASSES = 7

TIMM = dict(type='TimmBackbone', model_name='resnet18', pretrained=True, frozen_norm=True)
SWIN = dict(
    embed_dims=96,
    depths=[2, 2, 6, 2],
    num_heads=[3, 6, 12, 24],
    window_size=7,
    drop_path_rate=0.2,
)
CARAFE = dict(
    type='carafe',
    scale_factor=2,
    up_kernel=5,
    up_group=1,
    encoder_kernel=3,
    encoder_dilation=1,
    compressed_channels=64,
)


def _loss(kind, **options):
    return dict(loss_cls=dict(_delete_=True, type=kind, **options))


def _box(**values):
    return dict(roi_head=dict(bbox_head=values))


def _mask(**values):
    return dict(roi_head=dict(mask_head=values))


def _last(**values):
    return dict(roi_head=dict(last_mask_head=values))


def _context(**options):
    head = dict(type='FederatedContextHead', in_channels=256, conv_out_channels=256)
    return dict(roi_head=dict(context_head=dict(head, **options)))


def _composite(**backbone):
    return dict(type='CompositeDetector', backbone=backbone)


def _second(**options):
    return dict(
        type='RetrainedDetector',
        trained=['roi_head.bbox_head.second_classifier'],
        **_box(type='TwoClassifierShared2FCBBoxHead', second_classifier=options),
    )


def _calibrated(**options):
    sampler = dict(rcnn=dict(sampler=dict(type='ClassDrawRoISampler')))
    return dict(_second(**options), train_cfg=sampler)


AXES = dict(
    model={name: name for name in ('mask-rcnn', 'cascade-mask-rcnn', 'htc', 'htc-lite')},
    loss=dict(
        softmax=_box(**_loss('SoftmaxLoss')),
        sigmoid=_box(**_loss('SigmoidLoss')),
        focal=_box(**_loss('MultiClassFocalLoss')),
        margin=_box(**_loss('ClassAwareMarginLoss')),
        reweighted=_box(**_loss('InverseFrequencyLoss')),
        seesaw=_box(**_loss('SyncSeesawLoss')),
        eql=_box(**_loss('EqualizationLoss')),
        eqlv2=_box(**_loss('EqualizationLossV2')),
        federated=_box(**_loss('FederatedLoss', num_sampled=4)),
        bags=_box(**_loss('BalancedGroupSoftmaxLoss')),
        objectness=_box(**_loss('ObjectnessLoss', loss_cls=dict(type='SoftmaxLoss'))),
    ),
    classifier=dict(
        linear={}, normalized=_box(cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20))
    ),
    backbone=dict(
        r50={},
        x101_dcn=dict(
            backbone=dict(
                type='ResNeXt',
                depth=101,
                groups=32,
                base_width=8,
                dcn=dict(type='DCN', deform_groups=1, fallback_on_stride=False),
                stage_with_dcn=(False, True, True, True),
            )
        ),
        timm=dict(backbone=dict(_delete_=True, **TIMM)),
        swin=dict(backbone=dict(_delete_=True, type='SwinTransformer', **SWIN)),
        cb_swin=_composite(_delete_=True, type='CBSwinTransformer', **SWIN),
        cb_resnet=_composite(type='CBResNet'),
    ),
    neck=dict(
        fpn={},
        efpg=dict(neck=dict(type='EnhancedFPG')),
    ),
    context=dict(as_model={}, all=_context(), federated=_context(targets='federated')),
    boxes=dict(class_wise=_box(reg_class_agnostic=False), agnostic=_box(reg_class_agnostic=True)),
    masks=dict(
        plain={},
        agnostic=_mask(class_agnostic=True),
        normalized=_mask(predictor_cfg=dict(type='NormalizedConv2d', temperature=20)),
        carafe=_mask(upsample_cfg=CARAFE),
    ),
    last_masks=dict(
        same={},
        refine=_last(type='RefineMaskHead'),
        simple_refine=_last(type='SimpleRefineMaskHead'),
    ),
    mask_scores=dict(
        boxes={}, predicted=dict(roi_head=dict(mask_iou_head=dict(type='LabelMaskIoUHead')))
    ),
    phase=dict(
        whole={},
        classifier=dict(
            type='RetrainedDetector', trained=['roi_head.bbox_head.fc_cls'], reinitialize=True
        ),
        averaged=_second(hidden_fcs=0, merge='average'),
        selected=_calibrated(hidden_fcs=2, init='copy', match='own', merge='select'),
    ),
    box_head=dict(shared={}, tsd=_box(pc_cls=False)),
)


def _pairs(choice):
    return set(itertools.combinations(sorted(choice.items()), 2))


def cover_pairs(axes):
    """Choose combinations in which any two values of different axes meet at least once.

    Greedy: every combination starts from a pair that is still missing and takes, axis by axis, the
    value that adds the most missing pairs.

    Args:
        axes: Names of the axes, each with the names of its values.

    Returns:
        One dict per combination, from axis to value.
    """
    missing = {
        tuple(sorted([(a, x), (b, y)]))
        for a, b in itertools.combinations(axes, 2)
        for x in axes[a]
        for y in axes[b]
    }
    chosen = []
    while missing:
        choice = dict(min(missing))
        for axis in [name for name in axes if name not in choice]:
            options = [{**choice, axis: value} for value in axes[axis]]
            choice = max(options, key=lambda option: len(_pairs(option) & missing))
        missing -= _pairs(choice)
        chosen.append(choice)
    return chosen


COMBINATIONS = cover_pairs(AXES)


def test_every_two_values_meet():
    met = set().union(*map(_pairs, COMBINATIONS))
    for a, b in itertools.combinations(AXES, 2):
        for x, y in itertools.product(AXES[a], AXES[b]):
            assert tuple(sorted([(a, x), (b, y)])) in met
    everything = 1
    for values in AXES.values():
        everything *= len(values)
    assert len(COMBINATIONS) < everything / 50


def _compose(root, choice):
    base = AXES['model'][choice['model']]
    cfg = Config.fromfile(root / f'configs/_base_/models/{base}_r50_fpn.py')
    cfg.merge_from_dict(dict(model=_box(num_classes=NUM_CLASSES)))
    cfg.merge_from_dict(dict(model=_mask(num_classes=NUM_CLASSES)))
    for axis in [name for name in AXES if name != 'model']:
        # Merging takes `_delete_` out of what it is given.
        cfg.merge_from_dict(dict(model=copy.deepcopy(AXES[axis][choice[axis]])))
    if choice['box_head'] == 'tsd':
        _disentangle(cfg.model)
    return shrink(cfg.model)


def _disentangle(model):
    """Take the TSD variant of the box head, with or without a second classifier."""
    head = model.roi_head.bbox_head
    head.type = head.type.replace('Shared2FC', 'TSDShared2FC')
    if trained := model.get('trained'):
        model.trained = [name.replace('.fc_cls', '.TSD_fc_cls') for name in trained]


@pytest.mark.parametrize('choice', COMBINATIONS, ids=lambda choice: '-'.join(choice.values()))
def test_combination_trains_and_tests(root, choice):
    torch.manual_seed(0)
    model = build_detector(_compose(root, choice))
    batch = make_batch(NUM_CLASSES, size=64, num_objects=1, num_images=2)
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(neg_labels=[0, NUM_CLASSES - 1]))
    losses = train_step(model, batch)
    assert 0 < losses['loss'] < float('inf')
    assert not without_gradient(model)
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    expected = {'whole': 'mask_head', 'classifier': 'fc_cls'}.get(choice['phase'], 'second_class')
    assert any(expected in name for name in trained)
    assert choice['phase'] == 'whole' or all(expected in name for name in trained)
    found = test_step(model, make_batch(NUM_CLASSES, size=64))[0].pred_instances
    assert len(found.masks) == len(found) > 0 and found.masks.cpu().shape[1:] == (64, 64)
    assert found.scores.min() >= 0 and found.scores.max() <= 1
    assert ('mask_scores' in found) == (choice['mask_scores'] == 'predicted')
    assert found.labels.min() >= 0 and found.labels.max() < NUM_CLASSES
