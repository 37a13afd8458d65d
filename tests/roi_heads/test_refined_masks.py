"""RefineMask as the last mask head of every RoI head."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict

from plugins.errors import UserError
from tests.roi_heads.nano import (
    NUM_CLASSES,
    REFINED,
    SCORING,
    nano_model,
    nano_roi_head,
    pyramid,
)
from tests.steps import build_detector, make_batch, test_step, train_step, without_gradient

SIMPLE = dict(REFINED, type='SimpleRefineMaskHead')
STAGES = {'mask-rcnn': 1, 'cascade-mask-rcnn': 3, 'htc': 3}
each_model = pytest.mark.parametrize('name', STAGES)
each_form = pytest.mark.parametrize('form', [REFINED, SIMPLE], ids=lambda form: form['type'])
BOXES = torch.tensor([[4.0, 4, 40, 50], [10, 30, 90, 100], [60, 8, 120, 70]])
LABELS = torch.tensor([0, 3, 1])


def _head(name, form=REFINED, **more):
    torch.manual_seed(0)
    return nano_roi_head(name, roi_head=dict(last_mask_head=form, **more)).eval()


def _detector(name, form=REFINED, **more):
    torch.manual_seed(0)
    return build_detector(nano_model(name, roi_head=dict(last_mask_head=form, **more)))


@each_model
@each_form
@pytest.mark.parametrize('num_objects', [0, 3])
def test_every_parameter_trains_with_and_without_objects(name, form, num_objects):
    model = _detector(name, form, mask_iou_head=SCORING)
    losses = train_step(model, make_batch(NUM_CLASSES, num_objects=num_objects))
    prefix = '' if STAGES[name] == 1 else 's2.'
    assert not without_gradient(model)
    assert 0 < losses['loss'] < float('inf')
    assert (losses[f'{prefix}loss_mask'] > 0) == (num_objects > 0)
    if form is REFINED:
        # Where nothing is, the semantic branch has to learn that.
        assert losses[f'{prefix}loss_mask_semantic'] > 0


@each_model
def test_masks_are_those_of_the_head_for_the_predicted_labels(name):
    head = _head(name)
    x = pyramid()
    (seen,) = head.mask_maps(x, [BOXES], [LABELS])
    assert seen.maps.shape == (3, 112, 112)
    last = head.mask_head[-1] if STAGES[name] > 1 else head.mask_head
    rois = torch.cat([torch.zeros(3, 1), BOXES], 1)
    with torch.no_grad(), last.seeing_images(x), last.seeing_rois(rois, LABELS):
        if name == 'htc':
            extractor, heard = head.mask_roi_extractor[-1], None
            feats = extractor(x, rois)
            for before in head.mask_head[:-1]:
                heard = before(feats, heard, return_logits=False)
            logits = last(feats, heard)
        else:
            extractor = head.mask_roi_extractor
            feats = (extractor[-1] if STAGES[name] > 1 else extractor)(x, rois)
            logits = last(feats)
        expected = last.merge(logits).sigmoid()[:, 0]
    assert torch.equal(seen.maps, expected) and expected.std() > 0


@each_model
def test_masks_depend_on_the_label(name):
    head = _head(name)
    seen = [head.mask_maps(pyramid(), [BOXES], [LABELS * 0 + own])[0].maps for own in (0, 1)]
    assert not torch.equal(*seen)


def test_images_are_looked_at_once_for_all_chunks():
    head = _head('htc')
    looks = []
    head.mask_head[-1].semantic_convs[0].register_forward_hook(lambda *_: looks.append(1))
    maps = []
    for chunk in (1, 256):
        head.test_cfg.mask_chunk = chunk
        looks.clear()
        maps.append(head.mask_maps(pyramid(), [BOXES], [LABELS])[0].maps)
        assert len(looks) == 1
    torch.testing.assert_close(*maps)


@each_model
def test_masks_of_a_test_are_sharp_and_of_the_image_size(name):
    model = _detector(name)
    found = test_step(model, make_batch(NUM_CLASSES))[0].pred_instances
    assert len(found.masks) == len(found) > 0 and found.masks.cpu().shape[1:] == (128, 128)


def test_training_shows_the_labels_of_the_objects_not_others():
    """The gradient of the class-wise predictors is that of the classes in the batch."""
    model = _detector('htc')
    batch = make_batch(NUM_CLASSES)
    for sample in batch['data_samples']:
        sample.gt_instances.labels[:] = 2
    train_step(model, batch)
    gradient = model.roi_head.mask_head[-1].stages[0].instance_logits.weight.grad
    assert gradient[2].abs().sum() > 0
    assert not gradient[[0, 1, 3, 4]].any()


def test_flow_of_masks_reaches_the_refined_head_only_if_it_is_on():
    for flow in (True, False):
        options = dict(last_mask_head=REFINED, mask_info_flow=flow)
        if not flow:
            options['mask_head'] = dict(stage_with_conv_res=[False] * 3)
        head = nano_roi_head('htc', roi_head=options)
        assert head.mask_head[-1].with_conv_res == flow
    assert not hasattr(_head('mask-rcnn').mask_head, 'conv_res')


def test_masks_of_different_sizes_cannot_be_averaged():
    with pytest.raises(UserError, match="mask_merge is 'mean', but the stages' masks differ"):
        _head('cascade-mask-rcnn', mask_merge='mean')


def test_every_stage_can_be_refined_and_averaged():
    head = nano_roi_head(
        'cascade-mask-rcnn',
        roi_head=dict(mask_head=dict(_delete_=True, **REFINED, num_classes=NUM_CLASSES)),
    )
    assert head.eval().mask_merge == 'mean'
    assert head.mask_maps(pyramid(), [BOXES], [LABELS])[0].maps.shape == (3, 112, 112)


def test_mask_head_that_cannot_listen_is_one_error_in_htc():
    with pytest.raises(UserError, match='FCNMaskHead.*HTCMaskHead'):
        nano_roi_head('htc', roi_head=dict(last_mask_head=dict(type='FCNMaskHead')))


def test_refined_head_in_a_stock_roi_head_is_one_error():
    model = nano_model('mask-rcnn')
    model.roi_head.type = 'StandardRoIHead'
    model.roi_head.mask_head = ConfigDict(REFINED, num_classes=NUM_CLASSES)
    with pytest.raises(UserError, match='UniformRoIHead'):
        train_step(build_detector(model), make_batch(NUM_CLASSES))


@each_model
def test_scoring_learns_from_refined_masks_and_leaves_them_alone(name):
    """The loss of the scores has no gradient by the masks that are rated."""
    model = _detector(name, mask_iou_head=SCORING)
    batch = make_batch(NUM_CLASSES)
    model.train()
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    losses = model(**data, mode='loss')
    key = next(key for key in losses if 'loss_mask_iou' in key)
    losses[key].backward()
    heads = model.roi_head.mask_head
    last = heads[-1] if STAGES[name] > 1 else heads
    assert all(p.grad is None or not p.grad.any() for p in last.parameters())
    assert any(p.grad.any() for p in model.roi_head.mask_iou_head.parameters())
