import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from mmdet.structures import DetDataSample
from plugins.test_time import MaskTTAModel

HEIGHT, WIDTH = 6, 10


class _NoModel(nn.Module):
    def test_step(self, data):
        raise AssertionError('only merging is tested here')


def _model(max_per_img=100):
    nms = dict(type='nms', iou_threshold=0.5)
    tta_cfg = ConfigDict(nms=nms, max_per_img=max_per_img)
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


@pytest.mark.parametrize(
    ('direction', 'seen'),
    [('horizontal', [6, 1, 9, 3]), ('vertical', [1, 3, 4, 5]), ('diagonal', [6, 3, 9, 5])],
)
def test_mask_of_a_flipped_view_returns_to_its_place(direction, seen):
    views = [_view([], [], []), _view([seen], [0.9], [2], flip=direction)]
    merged = _model().merge_preds([views])[0].pred_instances
    assert merged.bboxes.tolist() == [[1, 1, 4, 3]]
    expected = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    expected[1:3, 1:4] = True
    assert torch.equal(merged.masks[0], expected)


def test_surviving_box_keeps_its_own_mask_and_views_compete_per_class():
    plain = _view([[1, 1, 4, 3], [5, 0, 10, 6]], [0.5, 0.8], [0, 1])
    flipped = _view([[6, 1, 9, 4], [6, 1, 9, 3]], [0.9, 0.4], [0, 2], flip='horizontal')
    merged = _model().merge_preds([[plain, flipped]])[0].pred_instances
    assert merged.scores.tolist() == pytest.approx([0.9, 0.8, 0.4])
    assert merged.labels.tolist() == [0, 1, 2]
    assert [int(mask.sum()) for mask in merged.masks] == [9, 30, 6]


def test_further_fields_of_a_detection_follow_it():
    views = [_view([[1, 1, 4, 3]], [0.5], [0]), _view([[0, 0, 2, 2]], [0.9], [1], 'horizontal')]
    for view, score in zip(views, (0.1, 0.2), strict=True):
        view.pred_instances.mask_scores = torch.tensor([score])
    merged = _model().merge_preds([views])[0].pred_instances
    assert merged.mask_scores.tolist() == pytest.approx([0.2, 0.1])


def test_best_detections_remain_when_there_are_too_many():
    views = [_view([[0, 0, 3, 3], [5, 0, 9, 3]], [0.3, 0.7], [0, 0]), _view([], [], [])]
    merged = _model(max_per_img=1).merge_preds([views])[0].pred_instances
    assert merged.scores.tolist() == pytest.approx([0.7]) and len(merged.masks) == 1


def test_no_detection_in_any_view_is_fine():
    merged = _model().merge_preds([[_view([], [], []), _view([], [], [], flip='horizontal')]])
    assert len(merged[0].pred_instances) == 0


def test_models_without_masks_are_merged_as_mmdet_does():
    views = [_view([[1, 1, 4, 3]], [0.5], [0]), _view([[6, 1, 9, 3]], [0.9], [0], 'horizontal')]
    for view in views:
        del view.pred_instances.masks
    merged = _model().merge_preds([views])[0].pred_instances
    assert merged.scores.tolist() == pytest.approx([0.9]) and 'masks' not in merged
