"""A tiny data set on disk, in LVIS v1 format, that a test can damage."""

import json

import cv2
import mmengine.dist.utils
import numpy as np
import pytest

from plugins.datasets import ClassDraw
from plugins.datasets.class_draw import images_of_labels


def square(annotation_id, image_id, category_id, x=4, y=4, side=20):
    polygon = [x, y, x + side, y, x + side, y + side, x, y + side]
    return dict(
        id=annotation_id,
        image_id=image_id,
        category_id=category_id,
        bbox=[x, y, side, side],
        area=side * side,
        segmentation=[polygon],
    )


class TinyDataset:
    """Four images, three categories (ids 3, 5, 9); `write` puts the current state on disk."""

    def __init__(self, root):
        self.root = root
        self.ann_file = root / 'train.json'
        names = [(7, 'train2017'), (2, 'train2017'), (5, 'val2017'), (11, 'val2017')]
        self.data = dict(
            images=[
                dict(
                    id=i,
                    width=64,
                    height=48,
                    coco_url=f'http://images.cocodataset.org/{folder}/{i:012d}.jpg',
                    neg_category_ids=[9] if i == 2 else [],
                    not_exhaustive_category_ids=[5] if i == 7 else [],
                )
                for i, folder in names
            ],
            categories=[
                dict(id=9, name='zebra', frequency='r', image_count=1, instance_count=1),
                dict(id=3, name='ant', frequency='f', image_count=3, instance_count=3),
                dict(id=5, name='cat', frequency='c', image_count=1, instance_count=2),
            ],
            annotations=[
                square(1, 7, 3),
                square(2, 7, 5, x=30),
                square(3, 7, 5, x=30, y=20),
                square(4, 2, 3),
                square(5, 5, 9),
                square(6, 5, 3, x=30),
            ],
        )

    def write(self):
        for image in self.data['images']:
            path = self.image(image['id'])
            path.parent.mkdir(exist_ok=True)
            pixels = np.full((image['height'], image['width'], 3), image['id'], np.uint8)
            if not path.exists():
                cv2.imwrite(str(path), pixels)
        self.ann_file.write_text(json.dumps(self.data))
        return dict(data_root=str(self.root), ann_file='train.json', data_prefix=dict(img=''))

    def image(self, image_id):
        record = next(r for r in self.data['images'] if r['id'] == image_id)
        return self.root.joinpath(*record['coco_url'].split('/')[-2:])


class Labels:
    """A data set that knows only which labels each image has; every third image is portrait."""

    def __init__(self, labels, num_labels=None):
        self.labels = labels
        num_labels = num_labels or 1 + max((max(image, default=-1) for image in labels), default=-1)
        self.metainfo = dict(classes=tuple(f'category {i}' for i in range(num_labels)))

    def __len__(self):
        return len(self.labels)

    def get_cat_ids(self, i):
        return self.labels[i]

    def get_data_info(self, i):
        i = i.index if isinstance(i, ClassDraw) else i
        return dict(width=2 if i % 3 == 0 else 4, height=3)

    def images_of_labels(self):
        return images_of_labels(self, len(self.metainfo['classes']))


@pytest.fixture(scope='session')
def make_labels():
    """Make a data set of lists of labels, one per image."""
    return Labels


@pytest.fixture
def labels():
    """200 images: label 0 everywhere, label 1 in 20 of them, label 2 in two, one image empty."""
    images = [[0, 0] for _ in range(200)]
    for i in range(20):
        images[i] = [0, 1]
    images[3], images[150], images[199] = [2, 0], [0, 2, 2], []
    return Labels(images)


@pytest.fixture(scope='session')
def lvis_v05(shared):
    """The 56740 training images of LVIS v0.5, and the frequency group of each of its labels."""
    stored = np.load(shared / 'lvis/lvis_v0_5_train_image_categories.npz')
    counts = json.loads((shared / 'lvis/lvis_v0_5_category_counts.json').read_text())
    group = {category['id']: category['frequency'] for category in counts['categories']}
    ids, labels = np.unique(stored['category_id'], return_inverse=True)
    images = np.split(labels, stored['ptr'][1:-1])
    return Labels([image.tolist() for image in images]), np.array([group[i] for i in ids.tolist()])


@pytest.fixture
def as_rank(monkeypatch):
    """Build samplers as rank ``rank`` of ``world_size`` processes would."""

    def build(sampler, dataset, rank=0, world_size=1, **settings):
        with monkeypatch.context() as patch:
            patch.setattr(mmengine.dist.utils, 'get_rank', lambda group=None: rank)
            patch.setattr(mmengine.dist.utils, 'get_world_size', lambda group=None: world_size)
            return sampler(dataset, **settings)

    return build


@pytest.fixture
def tiny(tmp_path):
    return TinyDataset(tmp_path)
