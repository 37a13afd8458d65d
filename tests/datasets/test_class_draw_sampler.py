import numpy as np
import pytest
import torch

from plugins.datasets import ClassDraw, ClassDrawSampler
from plugins.datasets.samplers.class_draw_sampler import draw_labels
from plugins.errors import UserError


def test_image_of_a_draw_has_its_label(labels):
    draws = list(ClassDrawSampler(labels, samples_per_epoch=300, seed=0))
    assert len(draws) == 300
    assert all(isinstance(draw, ClassDraw) for draw in draws)
    assert all(draw.label in labels.get_cat_ids(draw.index) for draw in draws)


def test_labels_are_uniform_and_independent_and_so_are_the_images_of_each():
    num_images = np.array([5, 0, 1, 2])
    labels, positions = draw_labels(num_images, 30000, torch.Generator().manual_seed(0))
    # 10000 expected each, with a standard deviation of 82.
    assert np.abs(np.bincount(labels, minlength=4) - [10000, 0, 10000, 10000]).max() < 330
    assert np.abs(np.bincount(positions[labels == 0], minlength=5) - 2000).max() < 180
    assert (positions[labels == 2] == 0).all()
    # With replacement: a third of the draws repeats its predecessor, unlike in a cycle.
    assert np.isclose((labels[1:] == labels[:-1]).mean(), 1 / 3, atol=0.012)


def test_epoch_depends_on_seed_and_epoch_only(labels):
    first, second = ClassDrawSampler(labels, seed=7), ClassDrawSampler(labels, seed=7)
    second.set_epoch(2)
    later = list(second)
    second.set_epoch(0)
    assert list(first) == list(second) != later
    assert list(ClassDrawSampler(labels, seed=8)) != list(first)


def test_default_epoch_is_the_papers_thousand_steps_of_sixteen(labels, as_rank):
    assert len(ClassDrawSampler(labels, seed=0)) == 16000
    assert len(as_rank(ClassDrawSampler, labels, 3, 4, seed=0)) == 4000


def test_data_set_without_annotations_is_an_error(make_labels):
    message = 'train_dataloader.sampler: ClassDrawSampler needs a data set with annotations'
    with pytest.raises(UserError, match=message):
        ClassDrawSampler(make_labels([[], []], num_labels=2), seed=0)


def test_data_set_that_does_not_take_draws_is_an_error():
    with pytest.raises(UserError, match=r'train_dataloader.sampler: .* list does not, use LVISF'):
        ClassDrawSampler([1, 2], seed=0)


def test_empty_epoch_names_its_key(labels):
    with pytest.raises(UserError, match='train_dataloader.sampler.samples_per_epoch'):
        ClassDrawSampler(labels, samples_per_epoch=0)
