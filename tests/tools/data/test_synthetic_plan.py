import numpy as np
import pytest

from tools.data.synthetic import SyntheticDataError, SyntheticOptions
from tools.data.synthetic.plan import draw_plans

OPTIONS = SyntheticOptions(categories=60, train_images=900, val_images=150, seed=3)


@pytest.fixture(scope='module')
def plans():
    return draw_plans(OPTIONS)


def test_train_counts_span_the_long_tail(plans):
    counts = np.bincount(plans[0].categories, minlength=61)[1:]
    assert counts.min() == 1
    assert counts.max() > 100


def test_every_category_is_in_at_least_two_val_images(plans):
    assert np.bincount(plans[1].categories, minlength=61)[1:].min() >= 2


def test_no_category_is_twice_in_an_image(plans):
    for plan in plans:
        for image in plan.images(0, len(plan)):
            assert len(set(image.categories)) == len(image.categories) <= OPTIONS.class_cap


def test_negatives_are_absent_and_every_category_has_some(plans):
    for plan in plans:
        assert np.bincount(plan.negatives, minlength=61)[1:].min() >= 2
        for image in plan.images(0, len(plan)):
            assert not set(image.negatives) & set(image.categories)
            assert len(set(image.negatives)) == len(image.negatives)


def test_hidden_instances_leave_some_annotated(plans):
    assert np.count_nonzero(plans[0].hidden) > 0
    assert np.all(plans[0].hidden < plans[0].instances)


def test_few_images_are_empty_and_some_are_crowded(plans):
    totals = np.array([sum(image.instances) for image in plans[0].images(0, len(plans[0]))])
    assert np.count_nonzero(totals == 0) <= 0.01 * len(totals)
    assert 0.01 < (totals >= 20).mean() < 0.2


def test_density_is_the_wanted_one(plans):
    classes, instances = OPTIONS.density
    assert len(plans[0].categories) / 900 == pytest.approx(classes, rel=0.05)
    assert plans[0].instances.sum() / 900 == pytest.approx(instances, rel=0.25)


def test_lvis_density_is_the_default_for_images_of_its_size():
    options = SyntheticOptions(1203, 4000, 500, (640, 480), (640, 480))
    train = draw_plans(options)[0]
    assert len(train.categories) / 4000 == pytest.approx(3.6, rel=0.05)
    assert train.instances.sum() / 4000 == pytest.approx(12.7, rel=0.15)


def test_another_seed_gives_other_frequencies(plans):
    other = draw_plans(SyntheticOptions(categories=60, train_images=900, val_images=150, seed=4))[0]
    ours = np.bincount(plans[0].categories, minlength=61)
    assert not np.array_equal(ours, np.bincount(other.categories, minlength=61))


def test_full_val_images_are_relieved():
    plan = draw_plans(SyntheticOptions(categories=100, train_images=100, val_images=13))[1]
    assert np.diff(plan.offsets).max() <= plan.offsets[-1]
    assert set(plan.categories.tolist()) == set(range(1, 101))


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'categories': 1}, 'categories must be 2 to 5000, not 1'),
        ({'categories': 1203}, 'do not fit into 80 val images'),
        ({'min_size': (32, 32)}, 'image side must be 64'),
        ({'min_size': (256, 160)}, 'exceeds the largest'),
        ({'instances_per_image': 1.0}, 'cannot show'),
        ({'frequency_limits': (9, 3)}, 'positive and increasing'),
        ({'seed': -1}, 'seed'),
    ],
)
def test_impossible_options_are_refused(changes, message):
    with pytest.raises(SyntheticDataError, match=message):
        SyntheticOptions(**changes)
