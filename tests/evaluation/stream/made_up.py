"""Detections made up at random, and how they are read back."""

import json

import numpy as np
import pycocotools.mask as mask_util
import torch

from plugins.evaluation.stream import ImageRecord

HEIGHT, WIDTH = 24, 32


def make_record(rng, img_id=1, count=6, num_classes=4, *, masks=True, scored=False, levels=None):
    """One image; with ``levels`` scores take few values, so that many are equal."""
    boxes = np.float32([_box(rng) for _ in range(count)]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]

    def scores():
        values = rng.random(count, dtype=np.float32)
        return values if levels is None else np.float32(np.round(values * levels) / levels)

    return ImageRecord(
        img_id=img_id,
        bboxes=boxes,
        scores=scores(),
        labels=rng.integers(0, num_classes, count),
        mask_scores=scores() if scored else None,
        codes=[_code(box) for box in boxes] if masks else None,
        sizes=np.tile(np.int32([HEIGHT, WIDTH]), (count, 1)) if masks else None,
        meta=dict(ori_shape=(HEIGHT, WIDTH), img_path=f'{img_id}.jpg'),
    )


def make_annotations(rng, path, images=12, num_classes=4):
    """A federated annotation file about such images; their ids are not in order."""
    data = dict(
        images=[
            dict(
                id=int(image_id),
                height=HEIGHT,
                width=WIDTH,
                neg_category_ids=[1 + int(rng.integers(num_classes))],
                not_exhaustive_category_ids=[1 + int(rng.integers(num_classes))],
            )
            for image_id in rng.permutation(images) * 3 + 1
        ],
        categories=[
            dict(id=1 + k, name=f'c{k}', frequency='rcf'[k % 3]) for k in range(num_classes)
        ],
        annotations=[],
    )
    for image in data['images']:
        for _ in range(5):
            x, y, w, h = _box(rng)
            data['annotations'].append(
                dict(
                    id=len(data['annotations']) + 1,
                    image_id=image['id'],
                    category_id=1 + int(rng.integers(num_classes)),
                    bbox=[x, y, w, h],
                    area=w * h,
                    segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
                )
            )
    path.write_text(json.dumps(data))
    return [image['id'] for image in data['images']]


def sample_of(record):
    """What the runner hands to a metric for such an image."""
    instances = dict(
        bboxes=torch.tensor(record.bboxes),
        scores=torch.tensor(record.scores),
        labels=torch.tensor(record.labels),
    )
    if record.codes is not None:
        instances['masks'] = record.rles()
    if record.mask_scores is not None:
        instances['mask_scores'] = torch.tensor(record.mask_scores)
    return dict(record.meta, img_id=record.img_id, pred_instances=instances)


def assert_equal(record, other):
    """The same numbers in the same types."""
    assert (record.img_id, record.codes, record.meta) == (other.img_id, other.codes, other.meta)
    for name in ('bboxes', 'scores', 'labels', 'mask_scores', 'sizes'):
        one, two = getattr(record, name), getattr(other, name)
        assert (one is None) == (two is None), name
        if one is not None:
            assert one.dtype == two.dtype and np.array_equal(one, two), name


def _box(rng):
    """Corner and size; few positions, so that detections hit annotations."""
    return [int(v) for v in (*rng.integers(0, 3, 2) * 4, *rng.integers(4, 12, 2))]


def _code(box):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    x1, y1, x2, y2 = box.astype(int)
    mask[y1:y2, x1:x2] = 1
    return mask_util.encode(mask)['counts']
