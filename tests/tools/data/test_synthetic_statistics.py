import json

import numpy as np
import pytest

from tools.data.synthetic.statistics import (
    frequency_group,
    frequency_limits,
    image_counts,
    instance_ratios,
)

LVIS_IMAGES = 100_170


@pytest.fixture(scope='module')
def lvis_counts(shared):
    """Image and instance counts of LVIS v1, each sorted on its own."""
    table = json.loads((shared / 'lvis' / 'lvis_v1_category_counts.json').read_text())
    images = np.array([row['image_count'] for row in table['categories']])
    instances = np.array([row['instance_count'] for row in table['categories']])
    return np.sort(images), np.sort(instances)


def test_image_counts_at_lvis_scale_follow_lvis_rank_by_rank(lvis_counts):
    real, _ = lvis_counts
    ours = image_counts(1203, LVIS_IMAGES, real.sum() / LVIS_IMAGES)
    ratio = ours / real
    assert ours.sum() == pytest.approx(real.sum(), rel=0.01)
    # One image more or less is a factor of two at the very bottom.
    assert ratio.min() >= 0.5
    assert ratio.max() <= 2
    assert np.all(np.abs(np.log(ratio[real > 10])) < np.log(1.12))


def test_instance_counts_at_lvis_scale_follow_lvis_quantiles(lvis_counts):
    images, instances = lvis_counts
    counts = image_counts(1203, LVIS_IMAGES, images.sum() / LVIS_IMAGES)
    ours = np.sort(counts * instance_ratios(counts, instances.sum(), cap=60))
    quantiles = np.linspace(0.05, 0.98, 20)
    ratio = np.quantile(ours, quantiles) / np.quantile(instances, quantiles)
    assert ours.sum() == pytest.approx(instances.sum(), rel=0.01)
    assert ratio.min() >= 0.75
    assert ratio.max() <= 1.5


def test_limits_are_those_of_lvis_for_as_many_images():
    assert frequency_limits(LVIS_IMAGES) == (10, 100)
    assert frequency_limits(1_000_000) == (10, 100)


def test_limits_shrink_with_the_set_but_keep_groups_apart():
    limits = [frequency_limits(n) for n in (2, 40, 400, 5000, 50_000, LVIS_IMAGES)]
    assert limits == sorted(limits)
    assert all(2 <= rare < common for rare, common in limits)


@pytest.mark.parametrize('categories, images', [(24, 400), (80, 5000), (300, 2000), (1203, 20_000)])
def test_all_frequency_groups_are_populated(categories, images):
    limits = frequency_limits(images)
    groups = [frequency_group(n, limits) for n in image_counts(categories, images, 3.0)]
    assert min(groups.count(name) for name in 'rcf') >= 0.1 * categories


def test_counts_reach_the_wanted_density_and_stay_below_the_share():
    counts = image_counts(24, 400, 2.8)
    assert counts.sum() == pytest.approx(2.8 * 400, rel=0.02)
    assert counts.min() == 1 and counts.max() <= 240
    assert np.all(np.diff(counts) >= 0)


def test_group_borders_are_inclusive():
    assert [frequency_group(n, (10, 100)) for n in (10, 11, 100, 101)] == ['r', 'c', 'c', 'f']
