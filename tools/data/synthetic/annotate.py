"""LVIS v1 records of a scene."""

import numpy as np

from .plan import ImagePlan
from .polygons import mask_rings, polygon_area
from .scene import Scene

FOLDERS = {'train': 'train2017', 'val': 'val2017'}


def image_file(split: str, image_id: int) -> str:
    """Path of an image relative to the data root."""
    return f'{FOLDERS[split]}/{image_id:012d}.jpg'


def image_record(plan: ImagePlan, scene: Scene, split: str, present: set[int]) -> dict:
    """Entry of ``images``.

    Args:
        plan: what the image was meant to show.
        scene: its geometry.
        split: 'train' or 'val'.
        present: ids of the categories that did get an annotation.
    """
    return {
        'id': plan.image_id,
        'height': scene.height,
        'width': scene.width,
        'coco_url': f'http://images.cocodataset.org/{image_file(split, plan.image_id)}',
        'flickr_url': '',
        'date_captured': '2017-01-01 00:00:00',
        'license': 1,
        'neg_category_ids': list(plan.negatives),
        'not_exhaustive_category_ids': [c for c in plan.not_exhaustive if c in present],
    }


def annotation_records(plan: ImagePlan, scene: Scene) -> list[dict]:
    """Entries of ``annotations`` without their id, which is known when all images are done."""
    shown = scene.is_visible()
    records = []
    for index, item in enumerate(scene.objects):
        if not (item.is_annotated and shown[index]):
            continue
        rings = _visible_rings(scene, index)
        area = polygon_area(rings, scene.height, scene.width)
        if area > 0:
            records.append(_record(plan.image_id, item.category_id, rings, area))
    return records


def _visible_rings(scene: Scene, index: int) -> list[np.ndarray]:
    """The silhouette itself where it is fully seen, else the outline of the visible pixels."""
    outline = scene.objects[index].outline
    inside = outline.min() >= 0 and (outline.max(axis=0) <= (scene.width, scene.height)).all()
    if inside and scene.visible[index] == scene.drawn[index]:
        return [outline]
    x0, y0, x1, y1 = scene.boxes[index]
    mask = scene.labels[y0:y1, x0:x1] == index + 1
    corner = np.array([x0, y0])
    return [ring + corner for ring in mask_rings(mask)]


def _record(image_id: int, category_id: int, rings: list[np.ndarray], area: float) -> dict:
    points = np.concatenate(rings)
    low, high = points.min(axis=0), points.max(axis=0)
    return {
        'image_id': image_id,
        'category_id': category_id,
        'bbox': np.round(np.concatenate([low, high - low]), 2).tolist(),
        'area': area,
        'segmentation': [np.round(ring, 2).ravel().tolist() for ring in rings],
    }
