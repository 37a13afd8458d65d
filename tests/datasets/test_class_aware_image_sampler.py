import numpy as np
import pytest

from mmdet.datasets import ClassAwareSampler
from plugins.datasets import ClassAwareImageSampler
from plugins.errors import UserError


def test_alone_it_draws_what_stock_draws(labels):
    ours, stock = ClassAwareImageSampler(labels, seed=3), ClassAwareSampler(labels, seed=3)
    for epoch in (0, 4):
        ours.set_epoch(epoch)
        stock.set_epoch(epoch)
        assert list(ours) == list(stock)


def test_every_category_comes_once_per_round_with_all_its_images_before_one_repeats(make_labels):
    # One label per image, so that the drawn category can be read off.
    dataset = make_labels([[0]] * 20 + [[1]] * 3 + [[3]])
    drawn = ClassAwareImageSampler(dataset, seed=1).draw_epoch(0)
    labels = np.array([dataset.get_cat_ids(i)[0] for i in drawn])
    assert len(drawn) == 24
    assert all(sorted(labels[i : i + 3]) == [0, 1, 3] for i in range(0, 24, 3))
    second = drawn[labels == 1]
    assert sorted(second[:3]) == sorted(second[3:6]) == [20, 21, 22]
    # A category with one image repeats it #images / #categories times.
    assert (drawn == 23).sum() == 8


def test_lvis_epoch_has_the_published_length_and_shares_of_rare_categories(lvis_v05):
    dataset, groups = lvis_v05
    sampler = ClassAwareImageSampler(dataset, seed=0)
    assert len(sampler) == 56740
    seen = np.concatenate([groups[dataset.get_cat_ids(i)] for i in sampler])
    found = [100 * (seen == group).mean() for group in 'rcf']
    assert np.allclose(found, (8.15, 16.73, 75.12), atol=0.15)


def test_images_in_a_row_of_one_category_are_an_option(make_labels):
    dataset = make_labels([[0]] * 10 + [[1]] * 10)
    drawn = ClassAwareImageSampler(dataset, num_sample_class=2, seed=0).draw_epoch(0)
    assert all((drawn[i] < 10) == (drawn[i + 1] < 10) for i in range(0, 20, 2))


def test_drawing_leaves_the_sampler_as_it_was(labels, as_rank):
    sampler = as_rank(ClassAwareImageSampler, labels, 1, 3, seed=0)
    before = list(sampler)
    sampler.draw_epoch(9)
    assert list(sampler) == before and (sampler.rank, sampler.epoch) == (1, 0)


def test_data_set_without_annotations_is_an_error(make_labels):
    message = 'train_dataloader.sampler: ClassAwareImageSampler needs a data set with annotations'
    for images in ([], [[], []]):
        with pytest.raises(UserError, match=message):
            ClassAwareImageSampler(make_labels(images, num_labels=2), seed=0)


def test_wrong_number_of_images_per_turn_names_its_key(labels):
    with pytest.raises(UserError, match='train_dataloader.sampler.num_sample_class'):
        ClassAwareImageSampler(labels, num_sample_class=0)
