"""A sample that is drawn for the sake of one category, as in SimCal."""

from typing import NamedTuple

import numpy as np
from mmengine.dataset import BaseDataset

from plugins.annotations import ImageCategories, images_of_categories, rows_from_lists


class ClassDraw(NamedTuple):
    """An index of a data set with the label it was drawn for.

    Attributes:
        index: Position of the image in the data set.
        label: Label, 0-based, of which the image has an instance.
    """

    index: int
    label: int


def categories_of(dataset: BaseDataset) -> ImageCategories:
    """Labels of the instances of all images of a data set, one entry per instance.

    Args:
        dataset: Has ``image_categories()``, or gives the labels of image ``i`` by
            ``get_cat_ids(i)``.
    """
    if hasattr(dataset, 'image_categories'):
        return dataset.image_categories()
    return rows_from_lists(dataset.get_cat_ids(i) for i in range(len(dataset)))


def images_of_labels(dataset: BaseDataset, num_labels: int) -> list[np.ndarray]:
    """List the images in which each label occurs.

    Args:
        dataset: As for `categories_of`.
        num_labels: K, more than the largest label.

    Returns:
        For each of the K labels the positions of its images, int64, ascending, without repetition.
    """
    return positions_of_labels(categories_of(dataset), num_labels)


def positions_of_labels(rows: ImageCategories, num_labels: int) -> list[np.ndarray]:
    """Turn the labels of every image into the images of every label.

    Args:
        rows: Labels of each image, in any order, with repetitions or without.
        num_labels: K, more than the largest label.

    Returns:
        As `images_of_labels`.
    """
    pointer, images = images_of_categories(rows, num_labels)
    return np.split(images, pointer[1:-1])
