"""The parts of the 2021 champion in every combination, each switched on by its own address.

(Composite Swin, composite ResNet, plain ResNet) x (HTC, Cascade, Mask R-CNN) x (FCN, RefineMask
last) x (masks scored or not), at a fraction of the width.
"""

import copy
import itertools

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import MMDistributedDataParallel

from plugins.test_time import MaskTTAModel
from tests.shrink import shrink
from tests.steps import build_detector, make_batch, test_step, train_step, without_gradient
from tests.two_processes import distributed_step, on_two_processes

NUM_CLASSES = 5
SIZE = 64
NOTHING = 10**6  # pixels; no proposal is that large

BACKBONES = dict(
    plain={},
    cb_swin=dict(
        type='CompositeDetector',
        backbone=dict(_delete_=True, type='CBSwinTransformer', embed_dims=96, depths=[2, 2, 6, 2]),
    ),
    cb_resnet=dict(type='CompositeDetector', backbone=dict(type='CBResNet')),
)
MODELS = ('mask-rcnn', 'cascade-mask-rcnn', 'htc')
BOTH_HEADS = dict(
    bbox_head=dict(
        num_classes=NUM_CLASSES,
        cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20.0),
        loss_cls=dict(_delete_=True, type='SyncSeesawLoss'),
    ),
    mask_head=dict(num_classes=NUM_CLASSES),
)
LAST = dict(fcn={}, refine=dict(last_mask_head=dict(type='RefineMaskHead')))
SCORING = dict(unscored={}, scored=dict(mask_iou_head=dict(type='LabelMaskIoUHead')))
COMBINATIONS = list(itertools.product(BACKBONES, MODELS, LAST, SCORING))

# Each of these needs something that the others do not.
DISTRIBUTED = [
    ('cb_swin', 'htc', 'refine', 'scored'),
    ('cb_resnet', 'cascade-mask-rcnn', 'refine', 'scored'),
    ('cb_swin', 'mask-rcnn', 'refine', 'unscored'),
    ('cb_resnet', 'htc', 'fcn', 'scored'),
]


def _compose(root, backbone, name, last, scoring):
    cfg = Config.fromfile(root / f'configs/_base_/models/{name}_r50_fpn.py')
    roi_head = dict(BOTH_HEADS, **LAST[last], **SCORING[scoring])
    for part in (BACKBONES[backbone], dict(roi_head=roi_head)):
        # Merging takes `_delete_` out of what it is given.
        cfg.merge_from_dict(dict(model=copy.deepcopy(part)))
    return shrink(cfg.model)


def _build(*choice):
    torch.manual_seed(0)
    return build_detector(_compose(*choice))


def _optimizer(model):
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4)


def _view(batch, *, flip):
    """The batch as a view of test-time augmentation shows it."""
    batch = copy.deepcopy(batch)
    for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
        sample.set_metainfo(dict(flip=flip, flip_direction='horizontal' if flip else None))
        if flip:
            image.copy_(image.flip(-1))
    return batch


def _augmented(model, batch):
    views = [_view(batch, flip=flip) for flip in (False, True)]
    merged = MaskTTAModel(module=model, tta_cfg=ConfigDict(boxes='average')).eval()
    with torch.no_grad():
        return merged.test_step({key: [view[key] for view in views] for key in batch})


def _check(found, scoring):
    assert len(found.masks) == len(found) and found.masks.cpu().shape[1:] == (SIZE, SIZE)
    assert torch.isfinite(found.bboxes).all() and found.bboxes.shape == (len(found), 4)
    assert ((found.labels >= 0) & (found.labels < NUM_CLASSES)).all()
    assert ('mask_scores' in found) == (scoring == 'scored')
    if scoring == 'scored':
        assert ((found.mask_scores >= 0) & (found.mask_scores <= found.scores)).all()


def test_there_are_all_of_them():
    assert len(set(COMBINATIONS)) == 36
    assert set(DISTRIBUTED) <= set(COMBINATIONS)


@pytest.mark.parametrize('choice', COMBINATIONS, ids='-'.join)
def test_combination_trains_and_tests(root, choice):
    model = _build(root, *choice)
    batch = make_batch(NUM_CLASSES, size=SIZE, num_objects=2, num_images=2)
    optimizer = _optimizer(model)
    for _ in range(2):
        losses = train_step(model, copy.deepcopy(batch))
        assert 0 < losses['loss'] < float('inf')
        assert not without_gradient(model)
        optimizer.step()
    _, name, last, scoring = choice
    stage = '' if name == 'mask-rcnn' else 's2.'
    assert (f'{stage}loss_mask_semantic' in losses) == (last == 'refine')
    assert (f'{stage}loss_mask_iou' in losses) == (scoring == 'scored')
    for predict in (test_step, _augmented):
        for sample in predict(model, copy.deepcopy(batch)):
            assert len(sample.pred_instances) > 0
            _check(sample.pred_instances, scoring)


@pytest.mark.parametrize('choice', COMBINATIONS, ids='-'.join)
def test_combination_lives_on_nothing(root, choice):
    """No objects, then no proposals, then neither, and nothing found."""
    model = _build(root, *choice)
    for num_objects, smallest in ((0, 0), (2, NOTHING), (0, NOTHING)):
        model.train_cfg.rpn_proposal.min_bbox_size = smallest
        batch = make_batch(NUM_CLASSES, size=SIZE, num_objects=num_objects)
        losses = train_step(model, batch)
        assert 0 <= losses['loss'] < float('inf')
        assert not without_gradient(model)
    model.test_cfg.rpn.min_bbox_size = NOTHING
    for predict in (test_step, _augmented):
        (sample,) = predict(model, make_batch(NUM_CLASSES, size=SIZE))
        assert len(sample.pred_instances) == 0
        _check(sample.pred_instances, choice[-1])


def _train_in_turns(rank, root, choice):
    detector = _build(root, *choice)
    model = MMDistributedDataParallel(detector, broadcast_buffers=False)
    model.train()
    optimizer = _optimizer(detector)
    torch.manual_seed(rank)
    for step in range(3):
        # One has an image with objects, the other has none and, once, no proposals either.
        has_objects = step % 2 == rank
        detector.train_cfg.rpn_proposal.min_bbox_size = 0 if has_objects or step == 0 else NOTHING
        batch = make_batch(NUM_CLASSES, size=SIZE, num_objects=2 * has_objects)
        distributed_step(model, optimizer, batch)
    return dict(detector.named_parameters())


@pytest.mark.parametrize('choice', DISTRIBUTED, ids='-'.join)
def test_two_processes_wait_for_no_parameter(root, choice, tmp_path):
    """Without ``find_unused_parameters``, while empty images come to them in turn."""
    weights, others = on_two_processes(tmp_path, _train_in_turns, root, choice)
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name
    started = dict(_build(root, *choice).named_parameters())
    moved = {n.split('.')[0] for n, v in weights.items() if not torch.equal(v, started[n])}
    assert moved == {'backbone', 'neck', 'rpn_head', 'roi_head'}
