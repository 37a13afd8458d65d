"""A sample that is drawn for the sake of one category, as in SimCal."""

from typing import NamedTuple

import numpy as np
from mmengine.dataset import BaseDataset

from plugins.annotations import rows_from_lists


class ClassDraw(NamedTuple):
    """An index of a data set with the label it was drawn for.

    Attributes:
        index: Position of the image in the data set.
        label: Label, 0-based, of which the image has an instance.
    """

    index: int
    label: int


def images_of_labels(dataset: BaseDataset, num_labels: int) -> list[np.ndarray]:
    """List the images in which each label occurs.

    Args:
        dataset: Gives the labels of image ``i`` by ``get_cat_ids(i)``.
        num_labels: K, more than the largest label.

    Returns:
        For each of the K labels the positions of its images, int64, ascending, without repetition.
    """
    num_images = len(dataset)
    rows = rows_from_lists(dataset.get_cat_ids(i) for i in range(num_images))
    image = np.repeat(np.arange(num_images), np.diff(rows.pointer))
    pairs = np.unique(rows.category * num_images + image)
    ends = np.searchsorted(pairs, np.arange(1, num_labels) * num_images)
    return np.split(pairs % max(num_images, 1), ends)
