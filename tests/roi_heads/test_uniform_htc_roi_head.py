import copy

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config
from mmengine.structures import InstanceData

from mmdet.models.roi_heads import HybridTaskCascadeRoIHead
from plugins.errors import UserError
from tests.roi_heads.nano import assert_same_detections, assert_same_gradients
from tests.shrink import shrink
from tests.steps import build_detector, make_batch, test_step, train_step, without_gradient

NUM_CLASSES = 5


def _set_classes(model):
    for part in ('bbox_head', 'mask_head'):
        heads = model.roi_head[part]
        for head in heads if isinstance(heads, list) else [heads]:
            head.num_classes = NUM_CLASSES
    return model


@pytest.fixture
def base(root):
    """Return the shrunk config of a base model, with more settings merged in."""

    def make(name='htc', **more):
        cfg = Config.fromfile(root / f'configs/_base_/models/{name}_r50_fpn.py')
        cfg.merge_from_dict(dict(model=more))
        return shrink(_set_classes(cfg.model))

    return make


def _stock(**roi_head):
    """Return stock's HTC with the test settings of ours."""
    model = get_config('mmdet::htc/htc-without-semantic_r50_fpn_1x_coco.py').model
    model.roi_head.update(roi_head)
    model.test_cfg.rcnn.max_per_img = 300
    return shrink(_set_classes(model))


def _pair(model, other):
    torch.manual_seed(0)
    models = build_detector(model), build_detector(other)
    models[1].load_state_dict(models[0].state_dict())
    return models


def _losses(models):
    found = []
    for model in models:
        torch.manual_seed(7)  # the samplers draw
        found.append(train_step(model, make_batch(NUM_CLASSES, num_images=2)))
    return found


def _detections(models):
    return [test_step(m, make_batch(NUM_CLASSES))[0].pred_instances for m in models]


def test_losses_and_gradients_equal_stocks(base):
    models = _pair(base(), _stock())
    ours, stock = _losses(models)
    assert ours == pytest.approx(stock, rel=1e-6) and ours['s2.loss_mask'] > 0
    assert_same_gradients(*models)


def test_detections_equal_stocks_if_the_last_mask_decides(base):
    assert_same_detections(*_detections(_pair(base(roi_head=dict(mask_merge='last')), _stock())))


def test_stages_apart_from_each_other_are_a_cascade(base):
    """Without its two kinds of information flow HTC is Cascade Mask R-CNN, in test as well."""
    deaf = dict(stage_with_conv_res=[False, False, False])
    apart = dict(interleaved=False, mask_info_flow=False, mask_head=deaf)
    models = _pair(base(roi_head=apart), base('cascade-mask-rcnn'))
    htc, cascade = _losses(models)
    assert htc == cascade
    assert_same_detections(*_detections(models))


def test_stock_cannot_test_without_mask_info_flow():
    """Should this start to pass, the override has lost one of its reasons."""
    model = build_detector(_stock(mask_info_flow=False))
    with pytest.raises(AttributeError, match="'list' object"):
        test_step(model, make_batch(NUM_CLASSES))


def test_one_stage_alone_is_mask_rcnn(base):
    thresholds = {f'stage_{key}_iou_thr': [0.5] for key in ('pos', 'neg')}
    one = base(
        roi_head=dict(
            num_stages=1,
            stage_loss_weights=[1],
            interleaved=False,
            bbox_head=dict(bbox_coder=dict(stage_target_stds=[[0.1, 0.1, 0.2, 0.2]])),
            mask_head=dict(stage_with_conv_res=[False]),
        ),
        train_cfg=dict(rcnn=dict(assigner=dict(stage_min_pos_iou=[0.5], **thresholds))),
    )
    single = base('mask-rcnn', roi_head=dict(bbox_head=dict(reg_class_agnostic=True)))
    # mmdet's Mask R-CNN has other box losses and matches objects below the threshold too.
    single.update(rpn_head=one.rpn_head, train_cfg=one.train_cfg)
    single.roi_head.bbox_head.loss_bbox = one.roi_head.bbox_head.loss_bbox
    torch.manual_seed(0)
    models = build_detector(one), build_detector(single)
    weights = {key.replace('_head.0.', '_head.'): v for key, v in models[0].state_dict().items()}
    models[1].load_state_dict(weights)
    cascade, mask_rcnn = _losses(models)
    assert {key.removeprefix('s0.'): v for key, v in cascade.items()} == mask_rcnn
    assert_same_detections(*_detections(models))


def _features_and_boxes(model, count=4):
    generator = torch.Generator().manual_seed(1)
    channels = model.neck.fpn_convs[0].out_channels
    features = tuple(
        torch.rand(1, channels, 128 // stride, 128 // stride, generator=generator)
        for stride in (4, 8, 16, 32)
    )
    corner = torch.rand(count, 2, generator=generator) * 60
    boxes = InstanceData(
        bboxes=torch.cat([corner, corner + 50], 1),
        labels=torch.arange(count) % NUM_CLASSES,
        scores=torch.rand(count, generator=generator),
    )
    return features, boxes


@pytest.mark.parametrize('flow', [True, False])
def test_masks_to_merge_are_those_that_the_stages_train(base, flow):
    """One pass over the heads gives what stock's training computes stage by stage."""
    torch.manual_seed(0)
    model = build_detector(base(roi_head=dict(mask_info_flow=flow))).eval()
    features, boxes = _features_and_boxes(model)
    rois = torch.cat([torch.zeros(4, 1), boxes.bboxes], 1)
    head = model.roi_head
    with torch.no_grad():
        merged = head._mask_forward(-1, features, rois, training=False)['mask_preds']
        for stage in range(3):
            alone = HybridTaskCascadeRoIHead._mask_forward(head, stage, features, rois)
            assert torch.equal(merged[stage], alone['mask_preds'])
    assert len(merged) == 3 and not torch.equal(merged[0], merged[2])


def test_last_mask_head_may_differ_in_shape_and_decides_alone(base):
    last = ConfigDict(type='HTCMaskHead', num_convs=1, in_channels=256, conv_out_channels=256)
    last.update(num_classes=NUM_CLASSES, class_agnostic=True)
    model = build_detector(base(roi_head=dict(last_mask_head=last)))
    assert [head.class_agnostic for head in model.roi_head.mask_head] == [False, False, True]
    assert model.roi_head.mask_merge == 'last'
    train_step(model, make_batch(NUM_CLASSES))
    assert not without_gradient(model)
    found = test_step(model, make_batch(NUM_CLASSES))[0].pred_instances
    assert len(found.masks) == len(found) > 0


def test_unknown_merge_names_the_key(base):
    with pytest.raises(UserError, match=r"roi_head\.mask_merge is 'median'"):
        build_detector(base(roi_head=dict(mask_merge='median')))


@pytest.mark.parametrize('direction', ['horizontal', 'diagonal'])
def test_masks_of_a_flipped_view_are_those_of_the_view_itself(base, direction):
    torch.manual_seed(0)
    model = build_detector(base()).eval()
    features, boxes = _features_and_boxes(model)
    plain = dict(img_shape=(128, 128), ori_shape=(128, 128), scale_factor=(1.0, 1.0))
    flipped = dict(plain, flip=True, flip_direction=direction)
    with torch.no_grad():
        expected, found = (
            model.roi_head.predict_mask(features, None, [meta], [copy.deepcopy(boxes)])[0].masks
            for meta in (plain, flipped)
        )
    assert expected.areas.any() and found.codes == expected.codes
    assert flipped['flip'], 'the metadata of the caller stay as they were'


def test_no_proposal_gives_no_detection(base):
    model = build_detector(base()).eval()
    features, boxes = _features_and_boxes(model)
    sample = make_batch(NUM_CLASSES)['data_samples'][0]
    with torch.no_grad():
        found = model.roi_head.predict(features, [boxes[:0]], [sample], rescale=True)[0]
    assert len(found) == 0 and found.masks.cpu().shape == (0, 128, 128)


@pytest.mark.parametrize('num_proposals', [0, 4])
def test_image_without_objects_trains_every_head(base, num_proposals):
    torch.manual_seed(0)
    model = build_detector(base()).train()
    features, boxes = _features_and_boxes(model)
    sample = make_batch(NUM_CLASSES, num_objects=0)['data_samples'][0]
    losses = model.roi_head.loss(features, [boxes[:num_proposals]], [sample])
    total, _ = model.parse_losses(losses)
    assert torch.isfinite(total)
    total.backward()
    assert not without_gradient(model.roi_head)
