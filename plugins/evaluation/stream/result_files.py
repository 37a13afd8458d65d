"""Result files in the formats that other programs read, written one image after the other."""

import os
import pickle
from collections.abc import Iterable

import msgspec
import numpy as np
import torch

from plugins.atomic_file import atomic_file
from plugins.evaluation.detections import result_entries
from plugins.evaluation.stream.image_record import ImageRecord


def write_json(
    path: str | os.PathLike,
    records: Iterable[ImageRecord],
    iou_type: str,
    category_ids: np.ndarray,
) -> int:
    """Write a JSON list of detections as the servers of LVIS and COCO take it.

    Args:
        path: The file.
        records: The images.
        iou_type: ``'bbox'`` (entries have a box) or ``'segm'`` (entries have a run-length mask and
            no box, which would make lvis-api measure the size of the box).
        category_ids: int (K,), the id of every label.

    Returns:
        The number of detections.
    """
    separator, total = b'[', 0
    with atomic_file(path) as file:
        for record in records:
            for entry in result_entries(record.as_result(), iou_type, category_ids):
                file.write(separator + msgspec.json.encode(entry))
                separator = b',\n'
                total += 1
        file.write(b']' if total else b'[]')
    return total


def write_pickle(path: str | os.PathLike, records: Iterable[ImageRecord]) -> int:
    """Write the list of samples that mmdet's ``DumpDetResults`` writes and its tools read.

    One sample per image: what its metainfo says and ``pred_instances`` with tensors, masks as
    pycocotools has them.

    Returns:
        The number of images.
    """
    total = 0
    with atomic_file(path) as file:
        # A list that is pickled as a whole has to be there as a whole. With protocol 3 every sample
        # can be a pickle of its own: it refers to nothing outside, and brings no frames.
        file.write(pickle.PROTO + b'\x03' + pickle.EMPTY_LIST)
        for record in records:
            sample = pickle.dumps(_sample(record), protocol=3)
            file.write(sample[2 : -len(pickle.STOP)] + pickle.APPEND)
            total += 1
        file.write(pickle.STOP)
    return total


def _sample(record: ImageRecord) -> dict:
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
