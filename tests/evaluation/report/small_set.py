"""Two small images with one mistake of each kind, as annotation file and result list."""

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 100, 200
CUP, PLATE, FORK = 1, 2, 5
ANNOTATIONS = (
    # image, category, x, y, width, height
    (7, CUP, 10, 10, 30, 30),
    (7, PLATE, 60, 10, 40, 40),
    (7, CUP, 120, 50, 40, 40),
    (7, FORK, 10, 60, 30, 20),
    (9, CUP, 20, 20, 60, 60),
)
DETECTIONS = (
    # image, category, score, x, y, width, height
    (7, CUP, 0.9, 10, 10, 30, 30),
    (7, CUP, 0.8, 12, 10, 30, 30),  # the first cup once more
    (7, CUP, 0.7, 10, 60, 30, 20),  # a fork
    (7, CUP, 0.5, 165, 5, 30, 30),  # nothing
    (7, PLATE, 0.6, 80, 10, 40, 40),  # half beside the plate
    (9, CUP, 0.4, 20, 20, 60, 60),
)


def annotations() -> dict:
    """The annotation file."""
    return {
        'images': [
            {
                'id': image,
                'height': HEIGHT,
                'width': WIDTH,
                'file_name': f'{image}.png',
                'neg_category_ids': [],
                'not_exhaustive_category_ids': [],
            }
            for image in (7, 9)
        ],
        'categories': [
            {'id': CUP, 'name': 'cup', 'frequency': 'f', 'instance_count': 900},
            {'id': PLATE, 'name': 'plate', 'frequency': 'c', 'instance_count': 90},
            {'id': FORK, 'name': 'fork', 'frequency': 'r', 'instance_count': 9},
        ],
        'annotations': [
            {
                'id': number,
                'image_id': image,
                'category_id': category,
                'bbox': [x, y, w, h],
                'area': w * h,
                'segmentation': [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
            for number, (image, category, x, y, w, h) in enumerate(ANNOTATIONS, 1)
        ],
    }


def results() -> list[dict]:
    """The results, with masks and boxes."""
    return [
        {
            'image_id': image,
            'category_id': category,
            'score': score,
            'bbox': [x, y, w, h],
            'segmentation': _rectangle(x, y, w, h),
        }
        for image, category, score, x, y, w, h in DETECTIONS
    ]


def write(folder: Path) -> tuple[Path, Path, Path]:
    """Write annotations, results and pictures; returns their places."""
    import cv2

    (folder / 'val.json').write_text(json.dumps(annotations()))
    (folder / 'results.json').write_text(json.dumps(results()))
    pictures = folder / 'pictures'
    pictures.mkdir()
    for image in (7, 9):
        cv2.imwrite(str(pictures / f'{image}.png'), np.full((HEIGHT, WIDTH, 3), 200, np.uint8))
    return folder / 'val.json', folder / 'results.json', pictures


def _rectangle(x: int, y: int, width: int, height: int) -> dict:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[y : y + height, x : x + width] = 1
    code = coco_mask.encode(mask)
    return {'size': code['size'], 'counts': code['counts'].decode()}
