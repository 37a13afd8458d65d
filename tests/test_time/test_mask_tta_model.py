import copy
import weakref

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from plugins.errors import UserError
from plugins.test_time import MaskTTAModel
from plugins.test_time.view_geometry import FLIPPED_DIMS, boxes_into_view, unflip_maps
from tests.roi_heads.nano import NUM_CLASSES, nano_model
from tests.shrink import shrink
from tests.steps import build_detector, make_batch

SIZE = 128
TWO_STAGE = ('mask-rcnn', 'cascade-mask-rcnn', 'htc')


def _config(name, root):
    if name != 'htc':
        model = nano_model(name)
        model.test_cfg.rcnn.max_per_img = 12
        return model
    model = Config.fromfile(root / 'configs/_base_/models/htc_r50_fpn.py').model
    model.roi_head.bbox_head.num_classes = model.roi_head.mask_head.num_classes = NUM_CLASSES
    return shrink(model)


@pytest.fixture(scope='module', params=TWO_STAGE)
def each_detector(request, root):
    return _build(_config(request.param, root))


@pytest.fixture(scope='module')
def detector(root):
    return _build(_config('mask-rcnn', root))


def _build(model):
    torch.manual_seed(0)
    detector = build_detector(model).eval()
    # Masks of an untrained network are nearly the same everywhere.
    head = detector.roi_head.mask_head
    for one in head if isinstance(head, nn.ModuleList) else [head]:
        nn.init.normal_(one.conv_logits.weight, std=2)
    return detector


def _tta(detector, **tta_cfg):
    return MaskTTAModel(module=detector, tta_cfg=ConfigDict(tta_cfg)).eval()


def _batch(num_images=1, size=SIZE):
    """Random images, with no objects: nothing here looks at them."""
    return make_batch(NUM_CLASSES, size=size, num_objects=0, num_images=num_images)


def _view(batch, direction=None, scale=1.0):
    """The batch as a view shows it."""
    batch = copy.deepcopy(batch)
    for i, sample in enumerate(batch['data_samples']):
        image = batch['inputs'][i]
        if scale != 1:
            image = nn.functional.interpolate(image[None].float(), scale_factor=scale)[0].byte()
        if direction:
            image = image.flip(FLIPPED_DIMS[direction])
        batch['inputs'][i] = image
        sample.set_metainfo(
            dict(
                img_shape=tuple(image.shape[1:]),
                scale_factor=(scale, scale),
                flip=direction is not None,
                flip_direction=direction,
            )
        )
    return batch


def _views(*views):
    return {key: [view[key] for view in views] for key in ('inputs', 'data_samples')}


def _predict(model, *views):
    with torch.no_grad():
        return [sample.pred_instances for sample in model.test_step(_views(*views))]


def _assert_close(found, expected, share=1e-3):
    """The same detections; masks may differ in a few pixels for every thousand."""
    assert len(found) == len(expected) > 0
    assert torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.bboxes, expected.bboxes, rtol=0, atol=1e-2)
    masks, others = found.masks.cpu(), expected.masks.cpu()
    assert masks.any() and not masks.all()
    assert (masks != others).float().mean() <= share


def test_one_view_as_it_is_gives_the_plain_prediction(each_detector):
    batch = _batch(num_images=2)
    with torch.no_grad():
        plain = each_detector.test_step(copy.deepcopy(batch))
    for found, sample in zip(_predict(_tta(each_detector), _view(batch)), plain, strict=True):
        expected = sample.pred_instances
        assert len(found) == len(expected) > 0
        for key in ('bboxes', 'scores', 'labels'):
            assert torch.equal(found[key], expected[key]), key
        assert found.masks.codes == expected.masks.codes


def test_mirrored_image_gives_the_mirrored_result(each_detector):
    model, batch = _tta(each_detector), _batch()
    mirrored = dict(batch, inputs=[batch['inputs'][0].flip(-1)])
    found = _predict(model, _view(mirrored), _view(mirrored, 'horizontal'))[0]
    expected = _predict(model, _view(batch), _view(batch, 'horizontal'))[0]
    expected.masks = expected.masks.flip('horizontal')
    x1, y1, x2, y2 = expected.bboxes.T
    expected.bboxes = torch.stack([SIZE - x2, y1, SIZE - x1, y2], 1)
    _assert_close(found, expected)


def test_order_of_the_views_does_not_matter(each_detector):
    model, batch = _tta(each_detector), _batch()
    views = [_view(batch), _view(batch, 'diagonal'), _view(batch, 'vertical', scale=1.5)]
    _assert_close(_predict(model, *views)[0], _predict(model, *reversed(views))[0])


def test_boxes_are_those_of_all_views_after_suppression(detector):
    batch = _batch()
    views = [_view(batch, 'horizontal'), _view(batch, scale=2.0)]
    kept = _predict(_tta(detector, max_per_img=-1), *views)[0]
    rows = []
    for view, meta in ((view, view['data_samples'][0].metainfo) for view in views):
        with torch.no_grad():
            seen = detector.test_step(copy.deepcopy(view))[0].pred_instances
        # A flipped view's boxes are predicted in its own, mirrored frame.
        boxes = boxes_into_view(seen.bboxes, {**meta, 'scale_factor': (1, 1)})
        rows += zip(seen.scores.tolist(), seen.labels.tolist(), boxes.tolist(), strict=True)
    rows.sort(key=lambda row: -row[0])
    expected = []
    for row in rows:
        if all(row[1] != other[1] or _iou(row[2], other[2]) <= 0.5 for other in expected):
            expected.append(row)
    assert len(expected) < len(rows)
    assert kept.scores.tolist() == pytest.approx([row[0] for row in expected])
    assert kept.labels.tolist() == [row[1] for row in expected]
    torch.testing.assert_close(kept.bboxes, torch.tensor([row[2] for row in expected]))


def _iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def test_masks_are_the_average_of_the_views_whole_images(each_detector):
    batch = _batch()
    views = [_view(batch), _view(batch, 'horizontal'), _view(batch, 'diagonal', scale=1.5)]
    found = _predict(_tta(each_detector), *views)[0]
    whole = 0
    for view in views:
        data = each_detector.data_preprocessor(copy.deepcopy(view), False)
        meta = data['data_samples'][0].metainfo
        with torch.no_grad():
            x = each_detector.extract_feat(data['inputs'])
            boxes = boxes_into_view(found.bboxes, meta)
            maps = each_detector.roi_head.mask_maps(x, [boxes], [found.labels])[0].maps
        # The original image as the view mirrors it, and back.
        boxes = boxes_into_view(found.bboxes, {**meta, 'scale_factor': (1, 1)})
        image, _ = _do_paste_mask(maps[:, None], boxes, SIZE, SIZE, skip_empty=False)
        whole = whole + unflip_maps(image, meta)
    probabilities = whole / len(views)
    differs = found.masks.cpu() != (probabilities >= 0.5)
    assert ((probabilities[differs] - 0.5).abs() < 1e-5).all()
    assert found.masks.areas.any()


def test_images_of_a_batch_do_not_touch_each_other(each_detector):
    model, batch = _tta(each_detector), _batch(num_images=2)
    views = [_view(batch), _view(batch, 'horizontal')]
    both = _predict(model, *views)
    for i, found in enumerate(both):
        single = [{key: view[key][i : i + 1] for key in view} for view in views]
        _assert_close(found, _predict(model, *single)[0])


@pytest.mark.parametrize(('keep', 'most', 'times'), [(False, 1, 5), (True, 3, 3)])
def test_features_of_one_view_are_in_memory_unless_all_are_kept(
    detector, monkeypatch, keep, most, times
):
    alive, seen, extract = weakref.WeakSet(), [], detector.extract_feat

    def observed(inputs):
        seen.append(len(alive) + 1)
        features = extract(inputs)
        alive.add(features[0])
        return features

    batch = _batch()
    views = [_view(batch), _view(batch, 'horizontal'), _view(batch, scale=0.75)]
    expected = _predict(_tta(detector), *views)[0]
    monkeypatch.setattr(detector, 'extract_feat', observed)
    found = _predict(_tta(detector, keep_features=keep), *views)[0]
    assert max(seen) == most and len(seen) == times
    assert torch.equal(found.bboxes, expected.bboxes)
    _assert_close(found, expected)


def test_nothing_found_in_any_view(detector):
    batch = _batch(num_images=2)
    sure = copy.deepcopy(detector)
    sure.roi_head.test_cfg.score_thr = 1.0
    for found in _predict(_tta(sure), _view(batch), _view(batch, 'horizontal')):
        assert len(found) == 0 and found.bboxes.shape == (0, 4)
        assert found.masks.cpu().shape == (0, SIZE, SIZE)


def test_nothing_found_in_one_view_or_one_image(detector, monkeypatch):
    """One view finds nothing in both images, the other in the second image only."""
    predict, answers = detector.roi_head.predict_bbox, []

    def partly(**kwargs):
        found = predict(**kwargs)
        answers.append(None)
        return [one[:0] for one in found] if len(answers) == 1 else [found[0][:0], found[1]]

    batch = _batch(num_images=2)
    expected = _predict(_tta(detector), _view(batch, 'horizontal'))[1]
    monkeypatch.setattr(detector.roi_head, 'predict_bbox', partly)
    found = _predict(_tta(detector), _view(batch), _view(batch, 'horizontal'))
    assert [len(one) for one in found] == [0, len(expected)]
    assert torch.equal(found[1].scores, expected.scores)
    assert [len(one.masks) for one in found] == [0, len(expected)]


def test_image_of_one_pixel(detector):
    batch = _batch(size=1)
    views = [_view(batch, scale=32.0), _view(batch, 'diagonal', scale=64.0)]
    found = _predict(_tta(detector), *views)[0]
    assert len(found) > 0 and found.bboxes.min() >= 0 and found.bboxes.max() <= 1
    assert found.masks.cpu().shape == (len(found), 1, 1)


def test_detector_without_masks_gets_boxes_only(root):
    cfg = _config('mask-rcnn', root)
    cfg.roi_head.mask_head = cfg.roi_head.mask_roi_extractor = None
    batch = _batch()
    found = _predict(_tta(build_detector(cfg).eval()), _view(batch), _view(batch, 'vertical'))[0]
    assert len(found) > 0 and 'masks' not in found


def test_averaging_lets_all_views_rate_the_same_boxes(each_detector):
    batch = _batch()
    proposals = torch.tensor([[10.0, 10, 60, 70], [70, 20, 120, 50], [30, 80, 90, 126]])
    views = [_view(batch), _view(batch, 'horizontal', scale=2.0)]
    for view in views:
        meta = view['data_samples'][0].metainfo
        view['data_samples'][0].proposals = InstanceData(
            bboxes=boxes_into_view(proposals, meta), scores=torch.tensor([0.9, 0.8, 0.7])
        )
    model = _tta(each_detector, boxes='average', nms=None, score_thr=0.0, max_per_img=-1)
    found = _predict(model, *views)[0]
    assert len(found) == len(proposals) * NUM_CLASSES == len(found.masks)
    single = [_predict(model, view)[0] for view in views]
    # Without suppression every pair of a proposal and a class is there, whatever its score.
    for label in range(NUM_CLASSES):
        scores = torch.stack([_by_place(one, label).scores for one in single]).mean(0)
        boxes = torch.stack([_by_place(one, label).bboxes for one in single]).mean(0)
        merged = _by_place(found, label)
        torch.testing.assert_close(merged.scores, scores)
        torch.testing.assert_close(merged.bboxes, boxes)


def _by_place(found, label):
    """The detections of a class from top to bottom, then left to right."""
    own = found[found.labels == label]
    centres = (own.bboxes[:, :2] + own.bboxes[:, 2:]).round()
    return own[(centres[:, 1] * 1000 + centres[:, 0]).argsort()]


@pytest.mark.parametrize(
    ('tta_cfg', 'message'),
    [
        (dict(keep_feature=True), 'tta_cfg.keep_feature means nothing'),
        (dict(boxes='mean'), "tta_cfg.boxes is 'mean'"),
        (dict(nms=dict(type='nmss')), 'tta_cfg.nms.type'),
        (dict(max_per_img='all'), 'tta_cfg.max_per_img'),
        (dict(score_thr=[0.1]), 'tta_cfg.score_thr has 1 entries'),
    ],
)
def test_wrong_option_is_named(detector, tta_cfg, message):
    with pytest.raises(UserError, match=message):
        _tta(detector, **tta_cfg)


def test_limit_of_the_detector_holds_unless_another_is_given(detector):
    assert _tta(detector).options.max_per_img == detector.roi_head.test_cfg.max_per_img
    assert _tta(detector, max_per_img=3).options.max_per_img == 3


def test_threshold_of_every_class(detector):
    batch = _batch()
    views = [_view(batch), _view(batch, 'horizontal')]
    every = _predict(_tta(detector), *views)[0]
    label = int(every.labels[0])
    thresholds = [1.0] * NUM_CLASSES
    thresholds[label] = float(every.scores[every.labels == label].median())
    found = _predict(_tta(detector, score_thr=thresholds), *views)[0]
    chosen = (every.labels == label) & (every.scores > thresholds[label])
    assert 0 < len(found) == chosen.sum()
    assert torch.equal(found.scores, every.scores[chosen])


def test_views_that_do_not_say_how_they_were_made_are_refused(detector):
    with pytest.raises(UserError, match='flip'):
        _predict(_tta(detector), _batch())
