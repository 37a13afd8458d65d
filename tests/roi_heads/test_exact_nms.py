import copy

import pytest
import torch
from mmengine.hub import get_config
from torch import nn

from mmdet.models.roi_heads import CascadeRoIHead, HybridTaskCascadeRoIHead, StandardRoIHead
from plugins.errors import UserError
from plugins.roi_heads.exact_nms import SuppressesExactly
from tests.roi_heads.nano import NUM_CLASSES, nano_model, propose, pyramid
from tests.shrink import shrink
from tests.steps import build_detector

FIELDS = ('bboxes', 'scores', 'labels')
METAS = [
    dict(img_shape=(128, 128), ori_shape=(64, 64), scale_factor=(2.0, 2.0)),
    dict(img_shape=(120, 100), ori_shape=(60, 50), scale_factor=(2.0, 2.0)),
]


def _head(name, **model):
    """A RoI head of mmdet, to which the mix-in can be added."""
    torch.manual_seed(0)
    if name == 'htc':
        config = get_config('mmdet::htc/htc_r50_fpn_1x_coco.py').model
        for head in config.roi_head.bbox_head:
            head.num_classes = NUM_CLASSES
        stock, config = HybridTaskCascadeRoIHead, shrink(config)
    else:
        stock = StandardRoIHead if name == 'mask-rcnn' else CascadeRoIHead
        config = nano_model(name, **model)
    head = build_detector(config).roi_head.eval()
    head.__class__ = stock
    return head


def _exact(head):
    """The same head with the mix-in."""
    head = copy.copy(head)
    head.__class__ = type('Exact', (SuppressesExactly, type(head)), {})
    return head


def _features(head, num_images):
    """Feature maps as the box heads expect them, and what else ``predict_bbox`` takes."""
    several = isinstance(head.bbox_head, nn.ModuleList)
    channels = (head.bbox_head[-1] if several else head.bbox_head).in_channels
    generator = torch.Generator().manual_seed(1)
    features = tuple(
        torch.rand(num_images, channels, *level.shape[2:], generator=generator)
        for level in pyramid()
    )
    with_semantic = isinstance(head, HybridTaskCascadeRoIHead)
    return features, dict(semantic_feat=features[1]) if with_semantic else {}


@torch.no_grad()
def _predict(head, num_proposals, rescale=True, **options):
    """Detections of as many images as there are numbers of proposals."""
    torch.manual_seed(3)
    proposals = [propose(count) for count in num_proposals]
    features, more = _features(head, len(proposals))
    config = copy.deepcopy(head.test_cfg)
    config.update(options)
    return head.predict_bbox(
        features, METAS[: len(proposals)], proposals, rcnn_test_cfg=config, rescale=rescale, **more
    )


def _assert_equal(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        assert set(mine.keys()) == set(theirs.keys()) == set(FIELDS)
        for key in FIELDS:
            assert mine[key].dtype == theirs[key].dtype and torch.equal(mine[key], theirs[key]), key


each_head = pytest.mark.parametrize('name', ['mask-rcnn', 'cascade-mask-rcnn', 'htc'])


@each_head
@pytest.mark.parametrize('rescale', [False, True])
@pytest.mark.parametrize('score_thr', [0.0, 0.15])
def test_detections_equal_stocks(name, rescale, score_thr):
    head = _head(name)
    options = dict(score_thr=score_thr, max_per_img=60)
    expected = _predict(head, (30, 20), rescale, **options)
    _assert_equal(_predict(_exact(head), (30, 20), rescale, **options), expected)
    assert 0 < len(expected[0]) <= 60


@pytest.mark.parametrize('specific', [False, True])
def test_soft_detections_equal_stocks(specific):
    head = _head('mask-rcnn', roi_head=dict(bbox_head=dict(reg_class_agnostic=not specific)))
    nms = dict(type='soft_nms', iou_threshold=0.5, method='gaussian', min_score=0.01)
    expected = _predict(head, (30, 20), nms=nms)
    found = _predict(_exact(head), (30, 20), nms=nms)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine.labels, theirs.labels) and len(theirs) == 20
        # Stock compares boxes that it has shifted by their class.
        torch.testing.assert_close(mine.scores, theirs.scores, rtol=1e-4, atol=1e-6)
        assert torch.equal(mine.bboxes, theirs.bboxes)


@each_head
def test_images_without_proposals_have_no_detections(name):
    head = _head(name)
    for counts in ((0, 0), (0, 20)):
        expected = _predict(head, counts)
        _assert_equal(_predict(_exact(head), counts), expected)
        assert len(expected[0]) == 0


@each_head
def test_without_options_every_box_and_score_is_returned_as_by_stock(name):
    head = _head(name)
    features, more = _features(head, 2)
    results = []
    for one in (head, _exact(head)):
        torch.manual_seed(3)
        proposals = [propose(6), propose(0)]
        with torch.no_grad():
            results.append(one.predict_bbox(features, METAS, proposals, rcnn_test_cfg=None, **more))
    for mine, theirs in zip(*results, strict=True):
        assert mine.scores.shape[1] == NUM_CLASSES + 1
        assert torch.equal(mine.bboxes, theirs.bboxes) and torch.equal(mine.scores, theirs.scores)


def test_thresholds_of_the_classes():
    head = _exact(_head('mask-rcnn'))
    everything = _predict(head, (30,), max_per_img=-1)[0]
    assert set(everything.labels.tolist()) == set(range(NUM_CLASSES))
    thresholds = [1.0, 0.15, 0.0, 1.0, 0.2]
    found = _predict(head, (30,), max_per_img=-1, score_thr=thresholds)[0]
    above = everything.scores > torch.tensor(thresholds)[everything.labels]
    _assert_equal([found], [everything[above]])
    assert 0 < len(found) < len(everything)


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(score_thr=[0.1, 0.2]), r'test_cfg\.rcnn\.score_thr has 2 entries, .* has 5 classes'),
        (dict(nms=dict(iou_thr=0.5)), r'test_cfg\.rcnn\.nms\.iou_thr means nothing'),
        (dict(max_per_img='all'), r'test_cfg\.rcnn\.max_per_img is .all.'),
    ],
)
def test_a_mistake_in_the_config_is_found_when_the_model_is_built(changes, message):
    model = nano_model('mask-rcnn', test_cfg=dict(rcnn=changes))
    model.roi_head.type = type('Exact', (SuppressesExactly, StandardRoIHead), {})
    with pytest.raises(UserError, match=message):
        build_detector(model)


@pytest.mark.parametrize('missing', ['score_thr', 'nms'])
def test_what_is_missing_in_the_config_is_named(missing):
    model = nano_model('mask-rcnn')
    model.roi_head.type = type('Exact', (SuppressesExactly, StandardRoIHead), {})
    del model.test_cfg.rcnn[missing]
    with pytest.raises(UserError, match=rf'test_cfg\.rcnn needs {missing}'):
        build_detector(model)
