"""Results with COCO's categories on annotations with those of LVIS.

Both are tied to WordNet synsets, so a detector trained on COCO can be scored on LVIS for the
categories they share (Gupta et al., LVIS, CVPR 2019, table 2).
"""

import dataclasses
import os
from collections.abc import Collection

import msgspec
import numpy as np

from plugins.annotations import AnnotationError
from plugins.evaluation.engine.records import GroundTruth
from plugins.evaluation.engine.source_file import map_file

COCO_SYNSETS = {
    1: 'person.n.01', 2: 'bicycle.n.01', 3: 'car.n.01', 4: 'motorcycle.n.01', 5: 'airplane.n.01',
    6: 'bus.n.01', 7: 'train.n.01', 8: 'truck.n.01', 9: 'boat.n.01', 10: 'traffic_light.n.01',
    11: 'fireplug.n.01', 13: 'stop_sign.n.01', 14: 'parking_meter.n.01', 15: 'bench.n.01',
    16: 'bird.n.01', 17: 'cat.n.01', 18: 'dog.n.01', 19: 'horse.n.01', 20: 'sheep.n.01',
    21: 'beef.n.01', 22: 'elephant.n.01', 23: 'bear.n.01', 24: 'zebra.n.01', 25: 'giraffe.n.01',
    27: 'backpack.n.01', 28: 'umbrella.n.01', 31: 'bag.n.04', 32: 'necktie.n.01', 33: 'bag.n.06',
    34: 'frisbee.n.01', 35: 'ski.n.01', 36: 'snowboard.n.01', 37: 'ball.n.06', 38: 'kite.n.03',
    39: 'baseball_bat.n.01', 40: 'baseball_glove.n.01', 41: 'skateboard.n.01', 42: 'surfboard.n.01',
    43: 'tennis_racket.n.01', 44: 'bottle.n.01', 46: 'wineglass.n.01', 47: 'cup.n.01',
    48: 'fork.n.01', 49: 'knife.n.01', 50: 'spoon.n.01', 51: 'bowl.n.03', 52: 'banana.n.02',
    53: 'apple.n.01', 54: 'sandwich.n.01', 55: 'orange.n.01', 56: 'broccoli.n.01',
    57: 'carrot.n.01', 58: 'frank.n.02', 59: 'pizza.n.01', 60: 'doughnut.n.02', 61: 'cake.n.03',
    62: 'chair.n.01', 63: 'sofa.n.01', 64: 'pot.n.04', 65: 'bed.n.01', 67: 'dining_table.n.01',
    70: 'toilet.n.02', 72: 'television_receiver.n.01', 73: 'laptop.n.01', 74: 'mouse.n.04',
    75: 'remote_control.n.01', 76: 'computer_keyboard.n.01', 77: 'cellular_telephone.n.01',
    78: 'microwave.n.02', 79: 'oven.n.01', 80: 'toaster.n.02', 81: 'sink.n.01',
    82: 'electric_refrigerator.n.01', 84: 'book.n.01', 85: 'clock.n.01', 86: 'vase.n.01',
    87: 'scissors.n.01', 88: 'teddy.n.01', 89: 'hand_blower.n.01', 90: 'toothbrush.n.01',
}  # fmt: skip
"""Category id of COCO to WordNet synset, as in ``data/coco_to_synset.json`` of lvis-api."""


class _Category(msgspec.Struct):
    id: int
    synset: str | None = None


class _File(msgspec.Struct):
    categories: list[_Category]


def read_coco_map(path: str | os.PathLike) -> dict[int, int]:
    """Category ids of COCO to those of an LVIS file with the same synset.

    Args:
        path: Annotation file whose categories have a ``synset``.

    Returns:
        At most 80 pairs; categories of COCO without a counterpart are missing.

    Raises:
        AnnotationError: The file cannot be read or names none of the synsets.
    """
    try:
        categories = msgspec.json.decode(map_file(path), type=_File).categories
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AnnotationError(f'{path}: not an annotation file ({error})') from None
    of_synset = {category.synset: category.id for category in categories}
    found = {
        coco_id: of_synset[synset]
        for coco_id, synset in COCO_SYNSETS.items()
        if synset in of_synset
    }
    if not found:
        raise AnnotationError(
            f'{path}: no category has the `synset` of a category of COCO; give LVIS annotations'
        )
    return found


def select_categories(ground_truth: GroundTruth, category_ids: Collection[int]) -> GroundTruth:
    """The same annotations as if there were only some of the categories.

    Args:
        ground_truth: Annotations.
        category_ids: Ids to keep.
    """
    keep = np.isin(ground_truth.category_ids, list(category_ids))
    place = np.where(keep, np.cumsum(keep) - 1, -1).astype(np.int32)
    chosen = keep[ground_truth.ann_category]
    columns = {
        name: getattr(ground_truth, name)[chosen]
        for name in ('ann_id', 'ann_image', 'ann_area', 'ann_box', 'ann_ignore', 'ann_crowd')
    }
    if ground_truth.has_masks:
        length = np.diff(ground_truth.mask_offset)
        intervals = np.repeat(chosen, length)
        columns['mask_offset'] = np.concatenate([[0], np.cumsum(length[chosen])])
        columns['mask_start'] = ground_truth.mask_start[intervals]
        columns['mask_end'] = ground_truth.mask_end[intervals]
    for key in ('neg', 'ne'):
        offset = getattr(ground_truth, f'{key}_offset')
        listed = place[getattr(ground_truth, f'{key}_category')]
        before = np.concatenate([[0], np.cumsum(listed >= 0)])
        columns[f'{key}_offset'] = before[offset]
        columns[f'{key}_category'] = listed[listed >= 0]
    trained = ground_truth.train_instances
    return dataclasses.replace(
        ground_truth,
        category_ids=ground_truth.category_ids[keep],
        names=[name for name, kept in zip(ground_truth.names, keep, strict=True) if kept],
        frequency=ground_truth.frequency[keep],
        train_instances=None if trained is None else trained[keep],
        ann_category=place[ground_truth.ann_category[chosen]],
        **columns,
    )
