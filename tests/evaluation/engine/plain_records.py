"""Records from parsed JSON, by pycocotools: slow, plain, independent of the readers."""

import gzip
import json
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util

from plugins.evaluation.engine import GroundTruth, Results


def load(path: Path) -> dict | list:
    """A JSON file, perhaps compressed."""
    opener = gzip.open if path.suffix == '.gz' else open
    with opener(path, 'rt') as file:
        return json.load(file)


def ground_truth_of(data: dict, counts: dict[str, int] | None = None) -> GroundTruth:
    """`GroundTruth` of LVIS or COCO data."""
    images = sorted(data['images'], key=lambda image: image['id'])
    categories = sorted(data['categories'], key=lambda category: category['id'])
    image_index = {image['id']: i for i, image in enumerate(images)}
    index = {category['id']: i for i, category in enumerate(categories)}
    anns = data['annotations']
    masks = [
        intervals(to_code(ann['segmentation'], images[image_index[ann['image_id']]]))
        for ann in anns
    ]
    neg_offset, neg = _listed(images, 'neg_category_ids', index)
    ne_offset, ne = _listed(images, 'not_exhaustive_category_ids', index)
    counted = [(counts or {}).get(str(category['id']), 0) for category in categories]
    return GroundTruth(
        image_ids=np.array([image['id'] for image in images], np.int64),
        height=np.array([image['height'] for image in images], np.int32),
        width=np.array([image['width'] for image in images], np.int32),
        category_ids=np.array([category['id'] for category in categories], np.int64),
        names=[category['name'] for category in categories],
        frequency=np.array([ord(c.get('frequency', '\0')) for c in categories], np.uint8),
        train_instances=None if counts is None else np.array(counted, np.int64),
        ann_id=np.array([ann['id'] for ann in anns], np.int64),
        ann_image=np.array([image_index[ann['image_id']] for ann in anns], np.int32),
        ann_category=np.array([index[ann['category_id']] for ann in anns], np.int32),
        ann_area=np.array([ann['area'] for ann in anns], np.float64),
        ann_box=np.array([ann['bbox'] for ann in anns], np.float64).reshape(-1, 4),
        ann_ignore=np.array([bool(ann.get('ignore', 0)) for ann in anns], bool),
        ann_crowd=np.array([bool(ann.get('iscrowd', 0)) for ann in anns], bool),
        mask_offset=np.cumsum([0, *(len(start) for start, _ in masks)]).astype(np.int64),
        mask_start=np.concatenate([np.zeros(0, np.int32), *(start for start, _ in masks)]),
        mask_end=np.concatenate([np.zeros(0, np.int32), *(end for _, end in masks)]),
        neg_offset=neg_offset,
        neg_category=neg,
        ne_offset=ne_offset,
        ne_category=ne,
    )


def results_of(
    entries: list[dict], ground_truth: GroundTruth, *, area_from_box: bool = False
) -> Results:
    """`Results` of the entries of a result file; boxes stand in for masks that are not there."""
    image_index = {i: n for n, i in enumerate(ground_truth.image_ids.tolist())}
    index = {c: n for n, c in enumerate(ground_truth.category_ids.tolist())}
    image = np.array([image_index[entry['image_id']] for entry in entries], np.int32)
    codes = []
    for entry, i in zip(entries, image, strict=True):
        size = {'height': int(ground_truth.height[i]), 'width': int(ground_truth.width[i])}
        if 'segmentation' in entry:
            codes.append(to_code(entry['segmentation'], size))
        else:
            x, y, w, h = entry['bbox']
            corners = [[x, y, x, y + h, x + w, y + h, x + w, y]]
            codes.append(to_code(corners, size))
    texts = [code['counts'] for code in codes]
    length = np.array([len(text) for text in texts], np.int32)
    sizes = np.array([code['size'] for code in codes], np.int32).reshape(-1, 2)
    with_box = len(entries) > 0 and all('bbox' in entry for entry in entries)
    return Results(
        image=image,
        category=np.array([index.get(entry['category_id'], -1) for entry in entries], np.int32),
        score=np.array([entry['score'] for entry in entries], np.float64),
        box=np.array([entry['bbox'] for entry in entries], np.float64) if with_box else None,
        rle=np.frombuffer(b''.join(texts), np.uint8),
        rle_offset=np.cumsum(length, dtype=np.int64) - length,
        rle_length=length,
        rle_height=sizes[:, 0].copy(),
        rle_width=sizes[:, 1].copy(),
        area_from_box=area_from_box,
    )


def to_code(segmentation: list | dict, image: dict) -> dict:
    """Any segmentation as a compressed code with bytes."""
    if isinstance(segmentation, list):
        parts = mask_util.frPyObjects(segmentation, image['height'], image['width'])
        return mask_util.merge(parts)
    if isinstance(segmentation['counts'], list):
        return mask_util.frPyObjects(segmentation, *segmentation['size'])
    counts = segmentation['counts']
    counts = counts.encode() if isinstance(counts, str) else counts
    return {'size': segmentation['size'], 'counts': counts}


def intervals(code: dict) -> tuple[np.ndarray, np.ndarray]:
    """Column-major pixel intervals of a code, from its bitmap."""
    pixels = mask_util.decode(code).ravel(order='F').astype(np.int8)
    steps = np.diff(pixels, prepend=0, append=0)
    start, end = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return start.astype(np.int32), end.astype(np.int32)


def _listed(images: list[dict], key: str, index: dict) -> tuple[np.ndarray, np.ndarray]:
    lists = [[index[c] for c in image.get(key, []) if c in index] for image in images]
    offset = np.cumsum([0, *(len(values) for values in lists)]).astype(np.int64)
    return offset, np.array([c for values in lists for c in values], np.int32)
