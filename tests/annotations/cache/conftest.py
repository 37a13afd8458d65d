"""Annotation files that exercise everything a cache must keep, and everything it leaves out."""

import json
import os
import subprocess
import sys
import time
from itertools import count

import pytest
from pycocotools import mask as coco_mask


def adversarial_data() -> dict:
    """A file of odd but usable things; `TOLERATED` lists the problems that it has."""
    number = count(40, -1)

    def annotation(image_id, category_id, box, segmentation=None, **rest):
        x, y, w, h = box
        ring = [x, y, x + w, y, x + w, y + h, x, y + h]
        return {
            'id': next(number), 'image_id': image_id, 'category_id': category_id, 'bbox': box,
            'area': w * h, 'segmentation': [ring] if segmentation is None else segmentation, **rest,
        }  # fmt: skip

    size = [48, 64]
    runs = {'size': size, 'counts': [100, 20, 48 * 64 - 120]}
    packed = coco_mask.frPyObjects(runs, *size)
    compressed = {'size': size, 'counts': packed['counts'].decode(), 'note': 'kept'}
    triangle = [1, 2.5, 30.25, 2.5, 7, 40]
    return {
        'info': {'deep': [[[{'more': None}]]]},
        'images': [
            {
                'id': image_id, 'width': 64, 'height': 48, 'date_captured': 'yesterday',
                'neg_category_ids': negative, 'not_exhaustive_category_ids': incomplete, **name,
            }
            for image_id, name, negative, incomplete in (
                (70, {'file_name': 'köln/ürban ☕.jpg'}, [8, 3], []),
                (4, {'coco_url': 'http://host/val2017/000000000004.jpg'}, [], [5]),
                (2**40, {'file_name': 'COCO_val2014_000000000009.jpg'}, [5, 3, 8], []),
                (5, {'file_name': 'a..b/c.jpg', 'coco_url': 'http://x/y/z.jpg'}, [], [3, 8]),
                (6, {'file_name': 'last.png'}, [], []),
            )
        ],
        'categories': [
            {'id': 8, 'name': 'zebra', 'frequency': 'r'},
            {'id': 3, 'name': 'ant', 'frequency': 'f'},
            {'id': 5, 'name': 'katze 🐈', 'frequency': 'c'},
        ],
        'annotations': [
            annotation(6, 3, [4, 4, 20, 20]),
            annotation(70, 5, [1.25, 2.5, 30.1, 7.07], [triangle, [5] * 8, [0.1, 0.2] * 3]),
            annotation(6, 8, [2, 2, 12, 12], runs, iscrowd=1),
            annotation(4, 3, [2, 2, 12, 12], compressed, iscrowd=True),
            annotation(4, 8, [2, 2, 12, 12], compressed),
            annotation(70, 3, [0.1, 0.2, 30.3, 40.4], [[0.1, 1 / 3, 30.123456, 2e1, 7, 4.5e-1]]),
            annotation(6, 5, [3, 3, 9, 9], ignore=1),
            annotation(6, 5, [3, 3, 9, 9], ignore=0, iscrowd=0, score=0.5, attributes={'a': [1]}),
            annotation(6, 5, [3, 3, 9, 9], area=0),
            annotation(6, 5, [3, 3, 9, 9], area=-4.5),
            annotation(6, 5, [3, 3, 0.99, 9]),
            annotation(6, 5, [3, 3, 9, 0.5]),
            annotation(6, 5, [3, 3, 0, 9]),
            annotation(6, 5, [70, 3, 9, 9]),
            annotation(6, 5, [3, -20, 9, 9]),
            annotation(6, 5, [64, 3, 1.5, 9]),
            annotation(6, 5, [-1.5, 3, 9, 9]),
            annotation(6, 5, [60, 40, 9, 9]),
            annotation(4, 5, [2, 2, 12, 12], []),
            annotation(4, 5, [2, 2, 12, 12], [[1, 2, 3, 4]]),
            annotation(4, 5, [2, 2, 12, 12], [[1, 2, 3, 4, 5, 6, 7], [9.5] * 6]),
            annotation(4, 5, [2, 2, 12, 12], [[], [1, 1, 2, 2, 3, 1]]),
            annotation(4, 5, [2, 2, 12, 12], [1, 2, 3, 4, 5, 6]),
            annotation(4, 5, [2, 2, 12, 12], [[3e6, 1, 2, 2, 3, 2**53 + 1]]),
            annotation(4, 5, [2, 2, 12, 12], [['a', None]]),
            annotation(4, 5, [2, 2, 12, 12], {'size': size, 'counts': 'not runs'}),
            annotation(70, 3, [20, 20, 5, 5], [[-0.0, -0.5, 10.5, 1.05, 900001.25, 899999.99]]),
        ],
    }  # fmt: skip


TOLERATED = (
    'box-outside', 'box-partly-outside', 'no-mask', 'polygon-type', 'short-polygon', 'odd-polygon',
    'nan-polygon', 'rle', 'present-and-negative',
)  # fmt: skip

_OPEN = """
import json, sys, time
from tools.light import import_light
cache = import_light('annotations.cache')
building = import_light('annotations.cache.building')
said, build = [], building.build_cache
def slow_build(path, **options):
    said.append('built')
    print('building', flush=True)
    time.sleep(float(sys.argv[3]))
    return build(path, **options)
building.build_cache = slow_build
store = cache.open_annotations(sys.argv[1], cache_dir=sys.argv[2] or None, log=said.append)
print(json.dumps([store.num_images, str(store.path), said]))
"""


@pytest.fixture(autouse=True)
def no_named_folder(monkeypatch):
    """Caches are where they are without the variable that other tests set."""
    monkeypatch.delenv('MMTAIL_CACHE', raising=False)


@pytest.fixture
def adversarial() -> dict:
    return adversarial_data()


@pytest.fixture
def write(tmp_path):
    """Write an annotation file, long enough ago that its time tells of every later change."""

    def to_disk(data: dict | str | bytes, name: str = 'train.json'):
        path = tmp_path / name
        if isinstance(data, dict):
            data = json.dumps(data)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        age(path)
        return path

    return to_disk


def age(path) -> None:
    """Let a file be older than two seconds, without waiting where that can be pretended."""
    past = time.time() - 100
    os.utime(path, (past, past))


@pytest.fixture
def long_ago(monkeypatch):
    """Take files that were changed a moment ago for old ones."""
    monkeypatch.setattr('plugins.annotations.cache.stamps._SETTLED', 0.0)


@pytest.fixture
def start_opening(root):
    """Start a process that opens an annotation file and prints what it saw."""
    started = []

    def start(path, cache_dir='', delay=0.0):
        command = [sys.executable, '-c', _OPEN, str(path), str(cache_dir), str(delay)]
        process = subprocess.Popen(
            command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
