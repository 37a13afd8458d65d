"""Merging complete predictions of the views: detectors other than ours with a RoI head."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hub import get_config
from mmengine.structures import InstanceData
from torch import nn

from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from plugins.errors import UserError
from plugins.structures import EncodedMasks
from plugins.test_time import MaskTTAModel
from tests.shrink import shrink
from tests.steps import build_detector, make_batch

HEIGHT, WIDTH = 6, 10


class _NoModel(nn.Module):
    def test_step(self, data):
        raise AssertionError('only merging is tested here')


def _model(max_per_img=100, **more):
    tta_cfg = ConfigDict(max_per_img=max_per_img, **more)
    return MaskTTAModel(module=_NoModel(), tta_cfg=tta_cfg)


def _view(boxes, scores, labels, flip=None):
    """A view's prediction; every mask fills its box, as the view sees it."""
    masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
    meta = dict(ori_shape=(HEIGHT, WIDTH), flip=flip is not None, flip_direction=flip)
    sample = DetDataSample(metainfo=meta)
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor(labels, dtype=torch.long),
        masks=masks,
    )
    return sample


@pytest.mark.parametrize('is_encoded', [False, True])
@pytest.mark.parametrize(
    ('direction', 'seen'),
    [('horizontal', [6, 1, 9, 3]), ('vertical', [1, 3, 4, 5]), ('diagonal', [6, 3, 9, 5])],
)
def test_mask_of_a_flipped_view_returns_to_its_place(direction, seen, is_encoded):
    views = [_view([], [], []), _view([seen], [0.9], [2], flip=direction)]
    if is_encoded:
        for view in views:
            found = view.pred_instances
            found.masks = EncodedMasks.from_bitmaps(found.masks)
    merged = _model().merge_preds([views])[0].pred_instances
    assert merged.bboxes.tolist() == [[1, 1, 4, 3]]
    expected = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    expected[1:3, 1:4] = True
    assert isinstance(merged.masks, EncodedMasks)
    assert torch.equal(merged.masks.cpu()[0], expected)


def test_grey_masks_stay_grey():
    views = [_view([[1, 1, 4, 3]], [0.5], [0], flip='horizontal')]
    views[0].pred_instances.masks = views[0].pred_instances.masks.byte() * 77
    merged = _model().merge_preds([views])[0].pred_instances
    assert merged.masks.dtype == torch.uint8 and merged.masks[0, 1, 7] == 77


def test_surviving_box_keeps_its_own_mask_and_views_compete_per_class():
    plain = _view([[1, 1, 4, 3], [5, 0, 10, 6]], [0.5, 0.8], [0, 1])
    flipped = _view([[6, 1, 9, 4], [6, 1, 9, 3]], [0.9, 0.4], [0, 2], flip='horizontal')
    merged = _model().merge_preds([[plain, flipped]])[0].pred_instances
    assert merged.scores.tolist() == pytest.approx([0.9, 0.8, 0.4])
    assert merged.labels.tolist() == [0, 1, 2]
    assert merged.masks.areas.tolist() == [9, 30, 6]


def test_further_fields_of_a_detection_follow_it():
    views = [_view([[1, 1, 4, 3]], [0.5], [0]), _view([[0, 0, 2, 2]], [0.9], [1], 'horizontal')]
    for view, score in zip(views, (0.1, 0.2), strict=True):
        view.pred_instances.mask_scores = torch.tensor([score])
    merged = _model().merge_preds([views])[0].pred_instances
    assert merged.mask_scores.tolist() == pytest.approx([0.2, 0.1])


def test_soft_suppression_lowers_scores():
    views = [_view([[1, 1, 4, 3]], [0.5], [0]), _view([[6, 1, 9, 3]], [0.9], [0], 'horizontal')]
    nms = dict(type='soft_nms', method='gaussian', sigma=0.5)
    merged = _model(nms=nms).merge_preds([views])[0].pred_instances
    assert merged.scores.tolist() == pytest.approx([0.9, 0.5 * 2.718281828**-2])


def test_best_detections_remain_when_there_are_too_many():
    views = [_view([[0, 0, 3, 3], [5, 0, 9, 3]], [0.3, 0.7], [0, 0]), _view([], [], [])]
    merged = _model(max_per_img=1).merge_preds([views])[0].pred_instances
    assert merged.scores.tolist() == pytest.approx([0.7]) and len(merged.masks) == 1


def test_no_detection_in_any_view_is_fine():
    merged = _model().merge_preds([[_view([], [], []), _view([], [], [], flip='horizontal')]])
    found = merged[0].pred_instances
    assert len(found) == 0 and found.masks.cpu().shape == (0, HEIGHT, WIDTH)


def test_detections_without_masks():
    views = [_view([[1, 1, 4, 3]], [0.5], [0]), _view([[6, 1, 9, 3]], [0.9], [0], 'horizontal')]
    for view in views:
        del view.pred_instances.masks
    merged = _model().merge_preds([views])[0].pred_instances
    assert merged.scores.tolist() == pytest.approx([0.9]) and 'masks' not in merged


@pytest.mark.parametrize(
    ('name', 'has_masks'),
    [
        ('retinanet/retinanet_r18_fpn_1x_coco.py', False),
        ('yolact/yolact_r50_1xb8-55e_coco.py', True),
        ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', True),
    ],
)
def test_detectors_of_mmdet_are_merged_from_whole_predictions(name, has_masks):
    torch.manual_seed(0)
    cfg = shrink(get_config(f'mmdet::{name}').model)
    if 'score_thr' in cfg.test_cfg:
        cfg.test_cfg.score_thr = 0.0
    model = MaskTTAModel(module=build_detector(cfg).eval(), tta_cfg=dict(max_per_img=6))
    views = dict(inputs=[], data_samples=[])
    for direction in (None, 'horizontal'):
        batch = make_batch(80, num_objects=0)
        change = dict(flip=direction is not None, flip_direction=direction)
        batch['data_samples'][0].set_metainfo(change)
        for key, value in batch.items():
            views[key].append(value)
    with torch.no_grad():
        found = model.test_step(views)[0].pred_instances
    assert 0 < len(found) <= 6 and ('masks' in found) == has_masks
    if has_masks:
        assert found.masks.rles()[0]['size'] == [128, 128]
        assert isinstance(found.masks, BitmapMasks)


def test_averaging_needs_a_head_of_ours():
    with pytest.raises(UserError, match="tta_cfg.boxes='average' needs a RoI head"):
        _model(boxes='average')


def test_limit_has_to_come_from_somewhere():
    with pytest.raises(UserError, match='tta_cfg.max_per_img'):
        MaskTTAModel(module=_NoModel(), tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5)))
