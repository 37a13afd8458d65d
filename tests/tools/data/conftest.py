"""Small annotation files with real image files for the command-line tools."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def _square(annotation_id: int, image_id: int, category_id: int) -> dict:
    return {
        'id': annotation_id,
        'image_id': image_id,
        'category_id': category_id,
        'iscrowd': 0,
        'bbox': [10, 10, 20, 20],
        'area': 400,
        'segmentation': [[10, 10, 30, 10, 30, 30, 10, 30]],
    }


@pytest.fixture
def coco_data() -> dict:
    """A COCO-format file of two images, three annotations and two categories."""
    return {
        'images': [{'id': k, 'width': 64, 'height': 48, 'file_name': f'{k}.jpg'} for k in (1, 2)],
        'annotations': [_square(1, 1, 5), _square(2, 1, 7), _square(3, 2, 7)],
        'categories': [{'id': 5, 'name': 'spoon'}, {'id': 7, 'name': 'fork'}],
    }


@pytest.fixture
def data_folder(tmp_path: Path, coco_data: dict) -> Path:
    """`ann.json` and the folder `images` with the files it names."""
    (tmp_path / 'images').mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    for record in coco_data['images']:
        Image.fromarray(pixels).save(tmp_path / 'images' / record['file_name'])
    (tmp_path / 'ann.json').write_text(json.dumps(coco_data))
    return tmp_path
