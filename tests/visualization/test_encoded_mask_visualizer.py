"""Pictures of encoded masks: what is drawn where, and at what cost."""

import tracemalloc

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from plugins.structures import EncodedMasks
from plugins.visualization import EncodedMaskVisualizer, paint_masks

GREY = 100
NAN = float('nan')


def squares(*corners, height=60, width=80, side=10):
    """Masks that are squares with these upper left corners."""
    bitmaps = np.zeros((len(corners), height, width), np.uint8)
    for bitmap, (x, y) in zip(bitmaps, corners, strict=True):
        bitmap[y : y + side, x : x + side] = 1
    return EncodedMasks.from_bitmaps(bitmaps)


def detections(masks, scores, boxes=None, labels=None):
    boxes = masks.boxes if boxes is None else boxes
    sample = DetDataSample()
    sample.pred_instances = InstanceData(
        bboxes=torch.as_tensor(np.array(boxes), dtype=torch.float32),
        scores=torch.tensor(scores),
        labels=torch.arange(len(masks)) if labels is None else torch.tensor(labels),
        masks=masks,
    )
    return sample


def draw(visualizer, sample, threshold=0.3, shape=(60, 80)):
    image = np.full((*shape, 3), GREY, np.uint8)
    visualizer.dataset_meta = dict(classes=('a', 'b', 'c'), palette=[(250, 0, 0)] * 3)
    visualizer.add_datasample('x', image, sample, draw_gt=False, pred_score_thr=threshold)
    return visualizer.get_image()


def test_colour_fills_the_mask_alone_and_white_is_its_outline():
    image = np.full((60, 80, 3), GREY, np.uint8)
    painted = paint_masks(image, squares((20, 30)), [(200, 0, 50)], 0.5)
    assert (image == GREY).all()
    assert (painted[32:38, 22:28] == (150, 50, 75)).all()
    assert (painted[30, 22:28] > 200).all()
    outside = np.ones(image.shape[:2], bool)
    outside[30:40, 20:30] = False
    assert (painted[outside] == GREY).all()


def test_small_masks_lie_on_large_ones():
    bitmaps = np.zeros((2, 40, 40), np.uint8)
    bitmaps[0, 15:25, 15:25] = 1
    bitmaps[1, 5:35, 5:35] = 1
    image = np.zeros((40, 40, 3), np.uint8)
    painted = paint_masks(image, EncodedMasks.from_bitmaps(bitmaps), [(250, 0, 0), (0, 250, 0)], 1)
    assert (painted[20, 20] == (250, 0, 0)).all()
    assert (painted[8, 8] == (0, 250, 0)).all()


def test_empty_masks_and_no_masks_leave_the_image_as_it_is():
    image = np.full((60, 80, 3), GREY, np.uint8)
    for masks in (EncodedMasks.from_bitmaps(np.zeros((2, 60, 80))), squares()):
        assert (paint_masks(image, masks, [(1, 2, 3)] * len(masks), 0.5) == image).all()


def test_detections_below_the_threshold_are_not_drawn():
    masks = squares((10, 10), (50, 40))
    drawn = draw(EncodedMaskVisualizer(), detections(masks, [0.9, 0.1]))
    assert (drawn[14:18, 14:18] != GREY).any()
    assert (drawn[38:52, 48:62] == GREY).all()


def test_boxes_that_cannot_be_drawn_do_not_stop_the_others():
    masks = squares((10, 10), (50, 40), (30, 10), (2, 40))
    boxes = [[NAN, 10, 20, 20], [60, 50, 50, 40], [30, 10, 40, 20], [0, 0, 0, 0]]
    good = draw(EncodedMaskVisualizer(), detections(masks[[2]], [0.5], labels=[2]))
    drawn = draw(EncodedMaskVisualizer(), detections(masks, [0.9, 0.8, 0.5, 0.9], boxes, [0] * 4))
    assert (good[11:19, 29:31] != GREY).any()
    assert (drawn[14:20, 29] == good[14:20, 29]).all()


def test_other_masks_are_left_to_stock():
    sample = detections(squares((10, 10)), [0.9])
    instances = sample.pred_instances
    others = {key: value for key, value in instances.items() if key != 'masks'}
    bitmaps = torch.from_numpy(instances.masks.to_ndarray()).bool()
    sample.pred_instances = InstanceData(**others, masks=bitmaps)
    torch.manual_seed(0)
    stock = draw(DetLocalVisualizer(alpha=0.5), sample)
    ours = draw(EncodedMaskVisualizer(), sample)
    # Stock shakes colours at random.
    assert ((stock == GREY) == (ours == GREY)).mean() > 0.999


def test_config_builds_it():
    config = Config(dict(visualizer=dict(type='EncodedMaskVisualizer', name='built here')))
    assert isinstance(VISUALIZERS.build(config.visualizer), DetLocalVisualizer)


def test_memory_is_that_of_the_image_not_of_the_detections():
    height, width = 600, 800
    corners = [(x, y) for x in range(0, 780, 26) for y in range(0, 580, 29)]
    masks = squares(*corners[:50], height=height, width=width)
    masks = EncodedMasks(masks.codes * 12, height, width, np.full(600, 100))
    image = np.zeros((height, width, 3), np.uint8)
    tracemalloc.start()
    paint_masks(image, masks, [(9, 9, 9)] * len(masks), 0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(masks) == 600
    assert peak < 3 * image.nbytes < len(masks) * height * width / 20


@pytest.mark.parametrize('side', [1, 2])
def test_picture_of_a_pixel_or_two(side):
    masks = EncodedMasks.from_bitmaps(np.ones((1, side, side)))
    drawn = draw(EncodedMaskVisualizer(), detections(masks, [0.9]), shape=(side, side))
    assert drawn.shape == (side, side, 3) and (drawn != GREY).any()
