"""The vector of the image in the features of its RoIs, in every RoI head, and HTC-Lite."""

import copy

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.roi_heads.image_context import ContextPyramid
from plugins.test_time import MaskTTAModel
from tests.roi_heads.nano import (
    NUM_CLASSES,
    REFINED,
    SCORING,
    assert_same_detections,
    nano_model,
    nano_roi_head,
    pyramid,
)
from tests.steps import build_detector, make_batch, test_step, train_step, without_gradient

CONTEXT = dict(type='FederatedContextHead', num_convs=2, in_channels=16, conv_out_channels=16)
NAMES = ('mask-rcnn', 'cascade-mask-rcnn', 'htc', 'htc-lite')
each_model = pytest.mark.parametrize('name', NAMES)


def _model(name, context=CONTEXT, **more):
    options = dict(context_head=context, **more) if context else more
    if name == 'htc-lite':
        return nano_model(
            'cascade-mask-rcnn', roi_head=dict(type='UniformHTCLiteRoIHead', **options)
        )
    return nano_model(name, roi_head=options)


def _detector(name, **more):
    torch.manual_seed(0)
    return build_detector(_model(name, **more))


@each_model
@pytest.mark.parametrize('num_objects', [0, 3])
def test_every_parameter_trains_and_the_context_has_a_loss(name, num_objects):
    model = _detector(name)
    losses = train_step(model, make_batch(NUM_CLASSES, num_objects=num_objects, num_images=2))
    assert 0 < losses['loss_context'] < losses['loss'] < float('inf')
    assert not without_gradient(model)
    # The vector is taught by what boxes and masks need, too.
    if num_objects:
        model.roi_head.context_head.loss_weight = 0.0
        train_step(model, make_batch(NUM_CLASSES, num_objects=num_objects))
        assert model.roi_head.context_head.convs[0].conv.weight.grad.abs().sum() > 0


@each_model
def test_vector_of_zeros_changes_nothing(name):
    model = _detector(name).eval()
    for parameter in model.roi_head.context_head.convs.parameters():
        nn.init.zeros_(parameter)
    plain = MODELS.build(_model(name, context=None)).eval()
    weights = model.state_dict()
    plain.load_state_dict({k: v for k, v in weights.items() if 'context_head' not in k})
    batch = make_batch(NUM_CLASSES)
    found = test_step(model, copy.deepcopy(batch))[0].pred_instances
    assert_same_detections(found, test_step(plain, batch)[0].pred_instances)


@each_model
def test_vector_reaches_boxes_and_masks(name):
    head = _roi_head(name)
    boxes, labels = torch.tensor([[4.0, 4, 40, 50]]), torch.tensor([1])
    x = pyramid()
    seen = []
    for value in (0.0, 5.0):
        shown = ContextPyramid(x, torch.full((1, 16), value))
        rois = torch.cat([torch.zeros(1, 1), boxes], 1)
        with torch.no_grad():
            args = (shown, rois) if name == 'mask-rcnn' else (0, shown, rois)
            scores = head._bbox_forward(*args)['cls_score']
        seen.append((scores, head.mask_maps(shown, [boxes], [labels])[0].maps))
    for calm, moved in zip(*seen, strict=True):
        assert not torch.allclose(calm, moved)


def _roi_head(name):
    torch.manual_seed(0)
    if name == 'htc-lite':
        model = _model(name)
        model.roi_head.update(train_cfg=model.train_cfg.rcnn, test_cfg=model.test_cfg.rcnn)
        return MODELS.build(model.roi_head).eval()
    return nano_roi_head(name, roi_head=dict(context_head=CONTEXT)).eval()


def test_rois_get_the_vector_of_their_own_image(shared):
    with np.load(shared / 'golden/models/context_a.npz') as arrays:
        golden = {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays}
    head = _roi_head('mask-rcnn')
    x = ContextPyramid((golden['x'],), golden['vec'].flatten(1))
    fused = head._add_context(golden['roi'], x, golden['rois'])
    torch.testing.assert_close(fused, golden['fused'])
    order = torch.randperm(len(golden['rois']))
    turned = head._add_context(golden['roi'][order], x, golden['rois'][order])
    assert torch.equal(turned, fused[order])


@each_model
def test_image_is_encoded_once_in_a_test(name):
    model = _detector(name).eval()
    calls = []
    model.roi_head.context_head.register_forward_hook(lambda *_: calls.append(1))
    assert len(test_step(model, make_batch(NUM_CLASSES))[0].pred_instances) > 0
    assert len(calls) == 1


@each_model
def test_every_view_has_a_vector_of_its_own(name):
    model = _detector(name).eval()
    view = make_batch(NUM_CLASSES)
    for sample in view['data_samples']:
        sample.set_metainfo(dict(flip=False, scale_factor=(1.0, 1.0)))
    plain = test_step(model, copy.deepcopy(view))[0].pred_instances
    tta = MaskTTAModel(module=model, tta_cfg=ConfigDict()).eval()
    with torch.no_grad():
        found = tta.test_step({key: [view[key]] for key in view})[0].pred_instances
    assert_same_detections(found, plain)


def test_other_width_than_that_of_the_features_is_one_error():
    model = _detector('mask-rcnn', context=dict(CONTEXT, conv_out_channels=8))
    with pytest.raises(UserError, match='conv_out_channels is 8'):
        train_step(model, make_batch(NUM_CLASSES))


def test_htc_lite_computes_plain_outputs_where_operations_are_counted():
    model = _detector('htc-lite').eval()
    batch = model.data_preprocessor(make_batch(NUM_CLASSES, num_images=2))
    calls = []
    model.roi_head.context_head.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        *_, (logits, deltas, masks) = model(**batch, mode='tensor')
    assert len(logits) == len(deltas) == len(masks) == 2 and len(calls) == 1
    for rated, drawn in zip(logits, masks, strict=True):
        assert drawn.shape == (len(rated), NUM_CLASSES, 28, 28) and len(rated) > 0


def test_htc_lite_whose_last_stage_weighs_nothing_is_one_error():
    with pytest.raises(UserError, match='stage_loss_weights ends with 0'):
        _detector('htc-lite', stage_loss_weights=[1, 0.5, 0])


def test_htc_lite_has_one_mask_head_with_the_weight_of_all():
    model = _detector('htc-lite')
    assert len(model.roi_head.mask_head) == 1 and len(model.roi_head.bbox_head) == 3
    batch, losses = make_batch(NUM_CLASSES), []
    for weight in (1.75, 3.5):
        model.roi_head.mask_loss_weight = weight
        torch.manual_seed(1)
        losses.append(train_step(model, copy.deepcopy(batch)))
    assert [key for key in losses[0] if 'mask' in key] == ['s2.loss_mask']
    assert losses[1]['s2.loss_mask'] == pytest.approx(2 * losses[0]['s2.loss_mask'], rel=1e-5)
    assert _detector('htc-lite').roi_head.mask_loss_weight == pytest.approx(1.75)


def test_htc_lite_learns_masks_as_the_last_stage_of_a_cascade_does():
    """The same weights and draws: its mask loss is the last stage's, by another factor."""
    lite = _detector('htc-lite', context=None)
    torch.manual_seed(0)
    cascade = build_detector(_model('cascade-mask-rcnn', context=None))
    weights = {k: v for k, v in lite.state_dict().items() if '.mask_head.' not in k}
    for stage in range(3):
        for key, value in lite.state_dict().items():
            if '.mask_head.0.' in key:
                weights[key.replace('mask_head.0', f'mask_head.{stage}')] = value
    cascade.load_state_dict(weights)
    found = []
    for model in (lite, cascade):
        torch.manual_seed(3)
        found.append(train_step(model, make_batch(NUM_CLASSES)))
    assert found[0]['s2.loss_mask'] == pytest.approx(found[1]['s2.loss_mask'] * 7, rel=1e-4)
    for key in ('s0.loss_cls', 's2.loss_bbox', 'loss_rpn_cls'):
        assert found[0][key] == pytest.approx(found[1][key], rel=1e-5)


def test_htc_lite_takes_refined_and_scored_masks():
    model = _detector('htc-lite', last_mask_head=REFINED, mask_iou_head=SCORING)
    for num_objects in (0, 3):
        losses = train_step(model, make_batch(NUM_CLASSES, num_objects=num_objects))
        assert 's2.loss_mask_semantic' in losses and not without_gradient(model)
    found = test_step(model, make_batch(NUM_CLASSES))[0].pred_instances
    assert len(found.mask_scores) == len(found) > 0
