"""Small random images with objects, and a data set of them that lives in memory."""

import cv2
import numpy as np
import torch
from mmcv.transforms import LoadAnnotations

from mmdet.structures.bbox import HorizontalBoxes
from plugins.annotations import rows_from_lists
from plugins.structures import CropMasks

SAMPLE_KEYS = ('img', 'gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags', 'gt_masks')


def make_scene(generator, num_objects, labels, shape=(72, 96), ignored=0.0) -> dict:
    """A sample: noise with ellipses as objects, boxes tight around them, and federated lists."""
    height, width = shape
    bitmaps = np.zeros((num_objects, height, width), np.uint8)
    for bitmap in bitmaps:
        center = int(generator.integers(4, width - 4)), int(generator.integers(4, height - 4))
        axes = tuple(int(side) for side in generator.integers(2, min(shape) // 3, 2))
        cv2.ellipse(bitmap, center, axes, float(generator.uniform(0, 180)), 0, 360, 1, -1)
    masks = CropMasks.from_bitmaps(bitmaps)
    drawn = generator.choice(labels, num_objects).astype(np.int64)
    others = sorted(set(range(12)) - set(drawn.tolist()))
    return dict(
        img=generator.integers(0, 256, (height, width, 3), np.uint8),
        img_shape=shape,
        ori_shape=shape,
        gt_bboxes=masks.get_bboxes('hbox'),
        gt_bboxes_labels=drawn,
        gt_ignore_flags=generator.random(num_objects) < ignored,
        gt_masks=masks,
        neg_labels=others[:2],
        not_exhaustive_labels=sorted(set(drawn.tolist()))[:1] + others[2:3],
    )


def empty_scene(shape=(72, 96)) -> dict:
    """A sample without objects."""
    return make_scene(np.random.default_rng(0), 0, [0], shape)


class LoadScene(LoadAnnotations):
    """Hands out the arrays of a scene themselves: whoever changes one in place is found out."""

    def transform(self, results: dict) -> dict:
        """Return a sample that shares all values with the scene."""
        return dict(results['scene'])


class SceneDataset:
    """What a transform that mixes expects of a data set; counts what it loads."""

    def __init__(self, scenes: list[dict], num_labels: int = 12, rejects=lambda index: False):
        self.scenes = scenes
        self.metainfo = dict(classes=tuple(f'label {k}' for k in range(num_labels)))
        self.rejects = rejects
        self.loaded: list[int] = []

    def __len__(self) -> int:
        return len(self.scenes)

    def image_categories(self):
        """Labels of every scene without those of ignored regions."""
        return rows_from_lists(
            scene['gt_bboxes_labels'][~scene['gt_ignore_flags']].tolist() for scene in self.scenes
        )

    def load_partner(self, index: int, transforms) -> dict | None:
        """Load scene `index`, or nothing if it is one that is rejected."""
        self.loaded.append(index)
        if self.rejects(index):
            return None
        results = dict(scene=self.scenes[index])
        for transform in transforms:
            results = transform(results)
        return results


def snapshot(results: dict) -> dict:
    """Everything in a sample by value, to compare before and after."""
    values = {key: results[key] for key in SAMPLE_KEYS if key in results}
    values['gt_bboxes'] = results['gt_bboxes'].tensor.clone().numpy()
    if 'gt_masks' in results:
        values['gt_masks'] = results['gt_masks'].to_ndarray().copy()
    values['img'] = results['img'].copy()
    values['gt_bboxes_labels'] = results['gt_bboxes_labels'].copy()
    values['lists'] = [results.get(key) for key in ('neg_labels', 'not_exhaustive_labels')]
    return values


def assert_same(first: dict, second: dict) -> None:
    """Fail unless two snapshots are equal in every bit."""
    assert first.keys() == second.keys()
    for key, value in first.items():
        if key == 'lists':
            assert value == second[key]
        else:
            np.testing.assert_array_equal(value, second[key], err_msg=key)
            assert np.asarray(value).dtype == np.asarray(second[key]).dtype, key


def tight_boxes(bitmaps: np.ndarray) -> np.ndarray:
    """Boxes around the pixels of whole-image masks, zeros without any: float32 (N, 4)."""
    boxes = np.zeros((len(bitmaps), 4), np.float32)
    for box, bitmap in zip(boxes, bitmaps, strict=True):
        rows, columns = np.nonzero(bitmap)
        if len(rows):
            box[:] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return boxes


def boxes_of(array: np.ndarray) -> HorizontalBoxes:
    """Boxes of a golden file."""
    return HorizontalBoxes(torch.from_numpy(np.asarray(array, np.float32)))
