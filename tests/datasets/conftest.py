"""A tiny data set on disk, in LVIS v1 format, that a test can damage."""

import json

import cv2
import numpy as np
import pytest


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


@pytest.fixture
def tiny(tmp_path):
    return TinyDataset(tmp_path)
