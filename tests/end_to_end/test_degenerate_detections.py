"""Whole models whose box heads say what no healthy model says: from the RoIs to the AP."""

import json
import pickle

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmdet.evaluation import DumpDetResults
from mmdet.visualization import DetLocalVisualizer
from plugins.evaluation import LVISProtocolMetric
from plugins.structures import EncodedMasks
from plugins.visualization import EncodedMaskVisualizer
from tests.roi_heads.nano import NUM_CLASSES, box_heads, nano_model
from tests.steps import build_detector, make_batch, test_step

NAMES = tuple('abcde')
SIZE = 64  # pixels, height and width of the images
MODELS = ('mask-rcnn', 'cascade-mask-rcnn')
NAN, INFINITE = float('nan'), float('inf')
OUTSIDE = ([-90, -90, -50, -40], [70, 10, 90, 30], [10, 64, 30, 90], [500, 500, 900, 900])
EMPTY = ([20, 20, 20, 20], [10, 10, 10, 40], [10, 30, 50, 30], [40, 40, 20, 20])
NOT_FINITE = ([NAN, 10, 30, 30], [NAN, NAN, NAN, NAN], [10, 10, INFINITE, 40])
GOOD = ([10, 12, 40, 44], [-5, -5, 70, 70])


def build(name, **rcnn):
    """A nano detector with an untrained network; ``rcnn`` are its test settings."""
    torch.manual_seed(0)
    settings = dict(nms=None, score_thr=0.0, max_per_img=-1, **rcnn)
    return build_detector(nano_model(name, test_cfg=dict(rcnn=settings)))


def say(model, boxes, scores):
    """Make the last box head answer with these, float (R, 4) and (R, K), whatever it sees."""
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    background = torch.zeros(len(boxes), 1)
    scores = torch.cat([torch.as_tensor(scores, dtype=torch.float32), background], 1)

    def predict_by_feat(batch_img_metas, **_):
        return [InstanceData(bboxes=boxes.clone(), scores=scores.clone()) for _ in batch_img_metas]

    box_heads(model)[-1].predict_by_feat = predict_by_feat


def one_class(count, label=1):
    """Scores of boxes that are all of one class, best first."""
    scores = np.zeros((count, NUM_CLASSES))
    scores[:, label] = np.linspace(0.9, 0.5, count)
    return scores


def predict(model, size=SIZE):
    """Detections on a random image, and the sample they belong to."""
    (sample,) = test_step(model, make_batch(NUM_CLASSES, size=size))
    found = sample.pred_instances
    assert isinstance(found.masks, EncodedMasks)
    assert len(found.masks) == len(found.scores) == len(found.labels) == len(found.bboxes)
    assert (found.masks.height, found.masks.width) == (size, size)
    return found, sample


def score(sample, folder, size=SIZE):
    """AP of a detector's output, where the ground truth is the large square of class 1."""
    categories = [
        dict(id=i + 1, name=name, frequency='f', image_count=1, instance_count=1)
        for i, name in enumerate(NAMES)
    ]
    image = dict(id=0, height=size, width=size, neg_category_ids=[], not_exhaustive_category_ids=[])
    square = [[0, 0, size, 0, size, size, 0, size]]
    annotation = dict(
        id=1, image_id=0, category_id=2, bbox=[0, 0, size, size], area=size**2, segmentation=square
    )
    path = folder / 'annotations.json'
    path.write_text(
        json.dumps(dict(images=[image], annotations=[annotation], categories=categories))
    )
    metric = LVISProtocolMetric(str(path))
    metric.dataset_meta = dict(classes=NAMES)
    metric.process({}, [sample.to_dict()])
    return metric.evaluate(1)


@pytest.mark.parametrize('name', MODELS)
def test_boxes_without_pixels_have_empty_masks_and_harm_nothing_else(name, tmp_path):
    model = build(name)
    boxes = [*OUTSIDE, *EMPTY, *GOOD]
    say(model, boxes, one_class(len(boxes)))
    found, sample = predict(model)
    assert found.bboxes.tolist() == [list(map(float, box)) for box in boxes]
    areas = found.masks.areas
    assert not areas[: len(OUTSIDE)].any()
    say(model, GOOD, one_class(len(GOOD)))
    alone, _ = predict(model)
    assert found.masks.codes[-len(GOOD) :] == alone.masks.codes and alone.masks.areas.all()
    metrics = score(sample, tmp_path)
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics['lvis/bbox_AP_old@300'] >= 0


@pytest.mark.parametrize('name', MODELS)
def test_boxes_and_scores_that_are_not_finite_are_left_out(name):
    model = build(name)
    boxes = [*NOT_FINITE, *GOOD, *GOOD]
    scores = one_class(len(boxes))
    scores[-2:] = NAN
    say(model, boxes, scores)
    found, _ = predict(model)
    assert found.bboxes.tolist() == [list(map(float, box)) for box in GOOD]
    assert found.masks.areas.all()


@pytest.mark.parametrize('name', MODELS)
def test_network_that_diverged_detects_nothing(name, tmp_path):
    model = build(name)
    for parameter in model.parameters():
        parameter.data.fill_(NAN)
    found, sample = predict(model)
    assert len(found) == 0
    assert score(sample, tmp_path)['lvis/segm_AP_old@300'] == 0


@pytest.mark.parametrize('name', MODELS)
def test_no_detections_pass_through_every_consumer(name, tmp_path):
    model = build(name)
    say(model, [], np.zeros((0, NUM_CLASSES)))
    found, sample = predict(model)
    assert len(found) == 0 and found.masks.to_ndarray().shape == (0, SIZE, SIZE)
    metrics = score(sample, tmp_path)
    assert metrics['lvis/segm_AP_old@300'] == metrics['lvis/bbox_AP_old@300'] == 0
    dump = DumpDetResults(str(tmp_path / 'x.pkl'))
    dump.process({}, [sample.to_dict()])
    dump.evaluate(1)
    (stored,) = pickle.loads((tmp_path / 'x.pkl').read_bytes())
    assert stored['pred_instances']['masks'] == []
    for visualizer in (DetLocalVisualizer(), EncodedMaskVisualizer()):
        image = np.full((SIZE, SIZE, 3), 7, np.uint8)
        visualizer.add_datasample('x', image, sample, draw_gt=False, pred_score_thr=0)
        assert (visualizer.get_image() == image).all()


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize('size', [1, 2])
def test_image_of_a_pixel_or_two_is_an_image(name, size, tmp_path):
    model = build(name)
    found, sample = predict(model, size)
    assert (found.masks.areas <= size**2).all()
    say(model, [[0, 0, size, size]], one_class(1))
    for head in model.modules():
        if hasattr(head, 'conv_logits'):
            torch.nn.init.constant_(head.conv_logits.bias, 50)  # sure of every pixel
    found, sample = predict(model, size)
    assert found.masks.areas.tolist() == [size**2]
    assert score(sample, tmp_path, size)['lvis/segm_AP_old@300'] == pytest.approx(1)


def test_ten_thousand_detections_are_kept_apart(tmp_path):
    model = build('mask-rcnn', mask_chunk=1024)
    random = np.random.default_rng(0)
    corners = random.uniform(0, SIZE - 16, (2000, 2))
    boxes = np.concatenate([corners, corners + random.uniform(2, 16, (2000, 2))], 1)
    scores = random.uniform(0.1, 1, (2000, NUM_CLASSES))
    say(model, boxes, scores)
    found, sample = predict(model)
    assert len(found) == 10_000
    order = np.argsort(-scores.astype(np.float32).ravel(), kind='stable')
    assert found.labels.tolist() == (order % NUM_CLASSES).tolist()
    np.testing.assert_array_equal(found.bboxes, boxes.astype(np.float32)[order // NUM_CLASSES])
    tight, inside = found.masks.boxes, found.masks.areas > 0
    assert inside.any()
    # A mask reaches a pixel beyond its box at most.
    assert (tight[inside, :2] >= np.floor(found.bboxes.numpy()[inside, :2]) - 1).all()
    assert (tight[inside, 2:] <= np.ceil(found.bboxes.numpy()[inside, 2:]) + 1).all()
    model.roi_head.test_cfg['max_per_img'] = 300
    few, _ = predict(model)
    assert few.scores.tolist() == found.scores[:300].tolist()
    assert few.masks.codes == found.masks.codes[:300]
    assert np.isfinite(list(score(sample, tmp_path).values())).all()
