"""Mask scoring in the last stage of any RoI head, whatever its mask head."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.test_time import MaskTTAModel
from tests.roi_heads.nano import NUM_CLASSES, SCORING, nano_model, nano_roi_head, pyramid
from tests.steps import build_detector, make_batch, test_step, train_step, without_gradient

MODELS_OF_STAGES = {'mask-rcnn': 1, 'cascade-mask-rcnn': 3, 'htc': 3}
each_model = pytest.mark.parametrize('name', MODELS_OF_STAGES)


def _model(name, **more):
    return nano_model(name, roi_head=dict(mask_iou_head=SCORING, **more))


def _detector(name, **more):
    torch.manual_seed(0)
    return build_detector(_model(name, **more))


@each_model
def test_last_stage_alone_learns_to_score_with_the_weight_of_its_masks(name):
    stages = MODELS_OF_STAGES[name]
    model = _detector(name)
    batch = make_batch(NUM_CLASSES)
    torch.manual_seed(1)
    losses = train_step(model, copy.deepcopy(batch))
    key = 'loss_mask_iou' if stages == 1 else f's{stages - 1}.loss_mask_iou'
    assert [found for found in losses if 'mask_iou' in found] == [key]
    assert losses[key] > 0 and not without_gradient(model)
    assert any(p.grad.abs().sum() > 0 for p in model.roi_head.mask_iou_head.parameters())
    if stages > 1:
        model.roi_head.stage_loss_weights[-1] *= 2
        torch.manual_seed(1)
        assert train_step(model, batch)[key] == pytest.approx(2 * losses[key], rel=1e-5)


@each_model
def test_scoring_leaves_boxes_and_scores_and_multiplies_the_masks_scores(name):
    model = _detector(name).eval()
    plain = MODELS.build(nano_model(name)).eval()
    weights = model.state_dict()
    plain.load_state_dict({k: v for k, v in weights.items() if 'mask_iou_head' not in k})
    batch = make_batch(NUM_CLASSES)
    found = test_step(model, copy.deepcopy(batch))[0].pred_instances
    expected = test_step(plain, batch)[0].pred_instances
    for key in ('bboxes', 'scores', 'labels'):
        assert torch.equal(found[key], expected[key]), key
    assert found.masks.rles() == expected.masks.rles()
    assert 'mask_scores' not in expected
    assert (found.mask_scores >= 0).all() and (found.mask_scores <= found.scores).all()
    assert not torch.equal(found.mask_scores, found.scores)


@each_model
def test_masks_that_are_all_perfect_keep_the_scores(name):
    model = _detector(name).eval()
    nn.init.zeros_(model.roi_head.mask_iou_head.fc_mask_iou.weight)
    nn.init.ones_(model.roi_head.mask_iou_head.fc_mask_iou.bias)
    found = test_step(model, make_batch(NUM_CLASSES))[0].pred_instances
    assert len(found) > 0 and torch.equal(found.mask_scores, found.scores)


@each_model
def test_each_detection_gets_the_rating_of_its_own_label(name):
    """One class is said to be badly segmented, the others perfectly."""
    model = _detector(name).eval()
    nn.init.zeros_(model.roi_head.mask_iou_head.fc_mask_iou.weight)
    with torch.no_grad():
        model.roi_head.mask_iou_head.fc_mask_iou.bias.copy_(torch.linspace(0.1, 0.9, NUM_CLASSES))
    found = test_step(model, make_batch(NUM_CLASSES))[0].pred_instances
    ious = torch.linspace(0.1, 0.9, NUM_CLASSES)[found.labels]
    torch.testing.assert_close(found.mask_scores, found.scores * ious)
    assert len(found.labels.unique()) > 1


@each_model
def test_image_without_detections_has_no_mask_scores(name):
    head = nano_roi_head(name, roi_head=dict(mask_iou_head=SCORING)).eval()
    (seen,) = head.mask_maps(pyramid(), [torch.zeros(0, 4)], [torch.zeros(0).long()])
    assert seen.maps.shape == (0, 1, 1) and seen.ious.shape == (0,)


def test_chunks_do_not_change_the_ratings():
    boxes = torch.tensor([[4.0, 4, 40, 50], [10, 30, 90, 100], [60, 8, 120, 70]])
    labels = torch.tensor([0, 3, 1])
    ratings = []
    for chunk in (1, 2, 256):
        torch.manual_seed(0)
        head = nano_roi_head('htc', roi_head=dict(mask_iou_head=SCORING)).eval()
        head.test_cfg.mask_chunk = chunk
        nn.init.normal_(head.mask_iou_head.fc_mask_iou.bias, mean=0.5, std=0.1)
        ratings.append(head.mask_maps(pyramid(), [boxes], [labels])[0].ious)
    assert len(ratings[0].unique()) == 3
    for other in ratings[1:]:
        torch.testing.assert_close(other, ratings[0])


@each_model
def test_ratings_of_augmented_views_are_averaged(name):
    model = _detector(name).eval()
    views = []
    for brightness in (1.0, 0.5):
        view = make_batch(NUM_CLASSES)
        view['inputs'] = [(image * brightness).byte() for image in view['inputs']]
        for sample in view['data_samples']:
            sample.set_metainfo(dict(flip=False, scale_factor=(1.0, 1.0)))
        views.append(view)

    def predict(*chosen):
        tta = MaskTTAModel(module=model, tta_cfg=ConfigDict(max_per_img=8)).eval()
        data = {key: [copy.deepcopy(view[key]) for view in chosen] for key in chosen[0]}
        with torch.no_grad():
            return tta.test_step(data)[0].pred_instances

    found, turned = predict(*views), predict(*reversed(views))
    torch.testing.assert_close(found.mask_scores, turned.mask_scores)
    ious = 0
    for view in views:
        data = model.data_preprocessor(copy.deepcopy(view), False)
        with torch.no_grad():
            x = model.extract_feat(data['inputs'])
            ious = ious + model.roi_head.mask_maps(x, [found.bboxes], [found.labels])[0].ious / 2
    torch.testing.assert_close(found.mask_scores, found.scores * ious)
    assert len(found) > 0 and ious.max() > 0


def test_number_of_classes_follows_from_the_box_head():
    assert nano_roi_head('htc', roi_head=dict(mask_iou_head=SCORING)).mask_iou_head.num_classes == 5
    with pytest.raises(UserError, match='mask_iou_head.num_classes is 9, but the box head has 5'):
        nano_roi_head('htc', roi_head=dict(mask_iou_head=dict(SCORING, num_classes=9)))


def test_scoring_without_masks_is_one_error():
    model = _model('mask-rcnn')
    model.roi_head.pop('mask_head')
    with pytest.raises(UserError, match='mask_iou_head needs roi_head.mask_head'):
        MODELS.build(model.roi_head)


def test_scoring_by_the_head_of_mmdet_is_one_error():
    stock = dict(mask_iou_head=dict(SCORING, type='MaskIoUHead'))
    with pytest.raises(UserError, match=r'type is MaskIoUHead, .* set LabelMaskIoUHead'):
        nano_roi_head('mask-rcnn', roi_head=stock)


@each_model
@pytest.mark.parametrize('num_objects', [0, 3])
def test_scoring_alone_can_be_trained_on_a_frozen_detector(name, num_objects):
    model = _model(name)
    model.update(type='RetrainedDetector', trained=['roi_head.mask_iou_head'])
    detector = build_detector(model)
    losses = train_step(detector, make_batch(NUM_CLASSES, num_objects=num_objects))
    assert (losses['loss'] > 0) == (num_objects > 0)
    trained = [n for n, p in detector.named_parameters() if p.grad is not None]
    assert trained and all(name.startswith('roi_head.mask_iou_head') for name in trained)
    assert not without_gradient(detector)
