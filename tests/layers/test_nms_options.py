import math

import pytest
from mmengine.config import ConfigDict

from plugins.errors import UserError
from plugins.layers import read_max_per_img, read_nms, read_score_thr

ADDRESS = 'test_cfg.rcnn'


def test_plain_suppression():
    expected = dict(iou_threshold=0.6, soft=None, class_agnostic=False)
    for config in (
        dict(type='nms', iou_threshold=0.6),
        dict(iou_threshold=0.6),
        ConfigDict(type='nms', iou_threshold=0.6, split_thr=100),
    ):
        assert read_nms(config, ADDRESS) == expected
    assert read_nms(dict(iou_threshold=1, class_agnostic=True), ADDRESS)['class_agnostic']


def test_soft_suppression_has_the_defaults_of_mmcv():
    assert read_nms(dict(type='soft_nms'), ADDRESS) == dict(
        iou_threshold=0.3, soft={}, class_agnostic=False
    )
    config = dict(type='soft_nms', iou_threshold=0.5, method='gaussian', sigma=1, min_score=0.05)
    assert read_nms(config, ADDRESS)['soft'] == dict(method='gaussian', sigma=1, min_score=0.05)


def test_none_suppresses_nothing():
    assert read_nms(None, ADDRESS)['iou_threshold'] == math.inf


@pytest.mark.parametrize(
    'config, message',
    [
        (0.5, r'test_cfg\.rcnn is 0\.5; write dict'),
        (dict(type='nms'), r'test_cfg\.rcnn needs iou_threshold'),
        (dict(type='nms', iou_threshold=1.5), r'rcnn\.iou_threshold is 1\.5; it lies between'),
        (dict(type='nms', iou_threshold='0.5'), r'rcnn\.iou_threshold is .0\.5.; it lies'),
        (dict(type='nms', iou_thr=0.5), r'rcnn\.iou_thr means nothing to nms, which knows'),
        (dict(iou_threshold=0.5, sigma=0.5), r'rcnn\.sigma means nothing to nms'),
        (dict(type='nms_rotated', iou_threshold=0.5), r'rcnn\.type is .nms_rotated.; it can be'),
        (dict(type='soft_nms', method='cubic'), r'rcnn\.method is .cubic.; it can be naive'),
        (dict(type='soft_nms', sigma=0), r'rcnn\.sigma is 0; it is the width'),
        (dict(type='soft_nms', min_score=None), r'rcnn\.min_score is None'),
    ],
)
def test_what_cannot_be_meant_is_an_error(config, message):
    with pytest.raises(UserError, match=message):
        read_nms(config, ADDRESS)


def test_thresholds_are_one_number_or_one_for_each_class():
    assert read_score_thr(0, 3, ADDRESS) == 0
    assert read_score_thr((0, 0.5, 1), 3, ADDRESS) == [0, 0.5, 1]
    with pytest.raises(UserError, match=r'rcnn has 2 entries, but the model has 3 classes'):
        read_score_thr([0.1, 0.2], 3, ADDRESS)
    for wrong in (None, 'low', [0.1, 'low', 0.2], math.nan, True):
        with pytest.raises(UserError, match=r'it is a number, or a list with one per class'):
            read_score_thr(wrong, 3, ADDRESS)


def test_number_of_detections_is_a_whole_number():
    assert read_max_per_img(dict(max_per_img=-1), ADDRESS) == -1
    for wrong in (dict(), dict(max_per_img=None), dict(max_per_img=0.5), dict(max_per_img=True)):
        with pytest.raises(UserError, match=r'test_cfg\.rcnn\.max_per_img is'):
            read_max_per_img(wrong, ADDRESS)
