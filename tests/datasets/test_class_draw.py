import numpy as np

from plugins.datasets import ClassDraw
from plugins.datasets.class_draw import images_of_labels


def test_images_of_every_label_are_listed_once_and_in_order(make_labels):
    dataset = make_labels([[2, 0, 2], [], [0], [4, 0]], num_labels=6)
    found = images_of_labels(dataset, 6)
    assert [images.tolist() for images in found] == [[0, 2, 3], [], [0], [], [3], []]


def test_list_equals_a_loop_over_the_images(make_labels):
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 30, generator.integers(0, 6)).tolist() for _ in range(80)]
    found = images_of_labels(make_labels(images, num_labels=31), 31)
    for label in range(31):
        assert found[label].tolist() == [i for i, image in enumerate(images) if label in image]


def test_data_set_without_images_or_annotations_has_empty_lists(make_labels):
    for images in ([], [[], []]):
        found = images_of_labels(make_labels(images, num_labels=3), 3)
        assert [len(listed) for listed in found] == [0, 0, 0]


def test_draw_is_a_pair_of_plain_numbers():
    assert ClassDraw(index=5, label=2) == (5, 2)
