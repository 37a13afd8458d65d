import copy

import pytest
import torch
from mmengine.structures import InstanceData

from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead, HTCMaskHead
from tests.roi_heads.nano import (
    MASK_HEAD,
    NUM_CLASSES,
    assert_same_detections,
    assert_same_gradients,
    nano_model,
)
from tests.steps import build_detector, make_batch, test_step, train_step

NAMES = ('mask-rcnn', 'cascade-mask-rcnn')

each_model = pytest.mark.parametrize('name', NAMES)


def _as_stock(model):
    """The same detector as mmdet writes it: one config per stage, in lists."""
    stock = copy.deepcopy(model)
    head, rcnn = stock.roi_head, stock.train_cfg.rcnn
    if head.type == 'UniformRoIHead':
        head.type = 'StandardRoIHead'
        return stock
    head.type = 'CascadeRoIHead'
    stds = head.bbox_head.bbox_coder.pop('stage_target_stds')
    thresholds = [0.5, 0.6, 0.7]
    for key in ('pos_iou_thr', 'neg_iou_thr', 'min_pos_iou'):
        assert rcnn.assigner.pop(f'stage_{key}') == thresholds
    heads, configs = [], []
    for std, threshold in zip(stds, thresholds, strict=True):
        heads.append(copy.deepcopy(head.bbox_head))
        heads[-1].bbox_coder.target_stds = std
        configs.append(copy.deepcopy(rcnn))
        configs[-1].assigner.update(
            pos_iou_thr=threshold, neg_iou_thr=threshold, min_pos_iou=threshold
        )
    head.bbox_head, stock.train_cfg.rcnn = heads, configs
    return stock


def _same_weights(model, other):
    other.load_state_dict(model.state_dict(), strict=True)


def _pair(model):
    torch.manual_seed(0)
    ours, stock = build_detector(model), build_detector(_as_stock(model))
    _same_weights(ours, stock)
    return ours, stock


@each_model
def test_losses_and_gradients_equal_stocks(name):
    ours, stock = _pair(nano_model(name))
    batch = make_batch(NUM_CLASSES, num_images=2)
    losses = []
    for model in (ours, stock):
        torch.manual_seed(7)  # the samplers draw
        losses.append(train_step(model, copy.deepcopy(batch)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[0]['loss'] > 0
    assert_same_gradients(ours, stock)


@each_model
def test_detections_and_masks_equal_stocks(name):
    ours, stock = _pair(nano_model(name))
    batch = make_batch(NUM_CLASSES, num_images=2)
    for mine, theirs in zip(test_step(ours, batch), test_step(stock, batch), strict=True):
        assert_same_detections(mine.pred_instances, theirs.pred_instances)
        assert len(mine.pred_instances) == 20


def test_stages_of_the_cascade_differ_as_the_paper_says():
    head = build_detector(nano_model('cascade-mask-rcnn')).roi_head
    assert [stage.bbox_coder.stds[0] for stage in head.bbox_head] == [0.1, 0.05, 0.033]
    assert [assigner.pos_iou_thr for assigner in head.bbox_assigner] == [0.5, 0.6, 0.7]


def test_cascade_accepts_the_lists_of_a_stock_config():
    model = nano_model('cascade-mask-rcnn')
    lists = _as_stock(model)
    lists.roi_head.type = 'UniformCascadeRoIHead'
    from_dict, from_lists = build_detector(model), build_detector(lists)
    _same_weights(from_dict, from_lists)
    found = [
        test_step(m, make_batch(NUM_CLASSES))[0].pred_instances for m in (from_dict, from_lists)
    ]
    assert torch.equal(found[0].bboxes, found[1].bboxes)
    assert [a.pos_iou_thr for a in from_lists.roi_head.bbox_assigner] == [0.5, 0.6, 0.7]


def test_last_mask_head_replaces_the_last_stage_only():
    last = dict(type='HTCMaskHead', with_conv_res=False, **MASK_HEAD)
    cascade = build_detector(nano_model('cascade-mask-rcnn', roi_head=dict(last_mask_head=last)))
    assert [type(head) for head in cascade.roi_head.mask_head] == [
        FCNMaskHead,
        FCNMaskHead,
        HTCMaskHead,
    ]
    single = build_detector(nano_model('mask-rcnn', roi_head=dict(last_mask_head=last)))
    assert type(single.roi_head.mask_head) is HTCMaskHead


@each_model
def test_one_fragment_changes_loss_and_classifier_of_every_model(name):
    """Seesaw loss with a normalised classifier: the same lines on Mask R-CNN and on the cascade."""
    torch.manual_seed(0)
    fragment = dict(
        loss_cls=dict(_delete_=True, type='SeesawLoss', p=0.8, q=2.0, num_classes=NUM_CLASSES),
        # mmdet spells the keyword so.
        cls_predictor_cfg=dict(type='NormedLinear', tempearture=20),
    )
    model = build_detector(nano_model(name, roi_head=dict(bbox_head=fragment)))
    heads = model.roi_head.bbox_head
    heads = [heads] if name == 'mask-rcnn' else list(heads)
    losses = train_step(model, make_batch(NUM_CLASSES, num_images=2))
    assert sum('loss_cls_classes' in key for key in losses) == len(heads)
    for head in heads:
        assert type(head.fc_cls).__name__ == 'NormedLinear'
        assert head.fc_cls.out_features == NUM_CLASSES + 2
        assert head.loss_cls.cum_samples.sum() > 0
        assert torch.isfinite(head.fc_cls.weight.grad).all() and head.fc_cls.weight.grad.any()
    found = test_step(model, make_batch(NUM_CLASSES))[0].pred_instances
    assert len(found) == 20 and found.labels.max() < NUM_CLASSES


def _features_and_boxes():
    generator = torch.Generator().manual_seed(1)
    features = tuple(
        torch.rand(1, 16, 128 // stride, 128 // stride, generator=generator)
        for stride in (4, 8, 16, 32)
    )
    boxes = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 40, 60], [50, 20, 120, 90]]),
        labels=torch.tensor([0, 3]),
        scores=torch.tensor([0.9, 0.8]),
    )
    return features, boxes


@pytest.mark.parametrize('direction', ['horizontal', 'vertical', 'diagonal'])
def test_masks_of_a_flipped_view_are_those_of_the_view_itself(direction):
    torch.manual_seed(0)
    model = build_detector(nano_model('cascade-mask-rcnn')).eval()
    features, boxes = _features_and_boxes()
    plain = dict(img_shape=(128, 128), ori_shape=(128, 128), scale_factor=(1.0, 1.0))
    flipped = dict(plain, flip=True, flip_direction=direction)
    with torch.no_grad():
        expected = model.roi_head.predict_mask(features, [plain], [copy.deepcopy(boxes)])[0]
        found = model.roi_head.predict_mask(features, [flipped], [copy.deepcopy(boxes)])[0]
        assert expected.masks.areas.any() and found.masks.codes == expected.masks.codes
        # Should this start to pass, the override has lost its reason.
        with pytest.raises(ValueError, match='step must be greater than zero'):
            CascadeRoIHead.predict_mask(model.roi_head, features, [flipped], [boxes])
    assert flipped['flip'], 'the metadata of the caller stay as they were'


@each_model
def test_no_proposal_gives_no_detection(name):
    model = build_detector(nano_model(name)).eval()
    features, _ = _features_and_boxes()
    sample = make_batch(NUM_CLASSES)['data_samples'][0]
    proposals = InstanceData(
        bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.long)
    )
    with torch.no_grad():
        found = model.roi_head.predict(features, [proposals], [sample], rescale=True)[0]
    assert len(found) == 0 and found.masks.cpu().shape == (0, 128, 128)


@each_model
def test_no_detection_above_the_threshold_gives_no_mask(name):
    model = build_detector(nano_model(name, test_cfg=dict(rcnn=dict(score_thr=1.1))))
    for sample in test_step(model, make_batch(NUM_CLASSES, num_images=2)):
        assert len(sample.pred_instances) == 0
        assert sample.pred_instances.masks.cpu().shape == (0, 128, 128)


@pytest.mark.parametrize('name', [*NAMES, 'htc'])
@pytest.mark.parametrize('num_proposals', [0, 6])
def test_image_without_objects_trains_every_head(name, num_proposals):
    torch.manual_seed(0)
    model = build_detector(nano_model(name)).train()
    features, _ = _features_and_boxes()
    sample = make_batch(NUM_CLASSES, num_objects=0)['data_samples'][0]
    corner = torch.rand(num_proposals, 2) * 60
    proposals = InstanceData(
        bboxes=torch.cat([corner, corner + 40], 1),
        scores=torch.rand(num_proposals),
        labels=torch.zeros(num_proposals, dtype=torch.long),
    )
    losses = model.roi_head.loss(features, [proposals], [sample])
    total, _ = model.parse_losses(losses)
    assert torch.isfinite(total)
    total.backward()
    missing = [n for n, p in model.roi_head.named_parameters() if p.grad is None]
    assert not missing, 'parameters without a gradient stop distributed training'
