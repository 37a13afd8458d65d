"""Transforms in a pipeline can load other images of the data set."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.transforms import BaseTransform, LoadImageFromFile, RandomApply, RandomChoice
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset

from mmdet.registry import TRANSFORMS
from plugins.datasets.partners import ServesPartners, UnreadableImageError
from plugins.datasets.seeded_index import SeededIndex
from plugins.errors import UserError

NARROWING = dict(type='Resize', scale=(1333, 800), keep_ratio=True)


class _Photos(ServesPartners, BaseDataset):
    def load_data_list(self):
        return [dict(img_path=path) for path in self.metainfo['paths']]

    def full_init(self):
        super().full_init()
        self._bind_transforms()


class _Pair(BaseTransform):
    """Averages the image with that of the next index."""

    def bind(self, dataset, earlier):
        self.dataset, self.earlier = dataset, earlier

    def transform(self, results):
        other = self.dataset.load_partner((results['sample_idx'] + 1) % 3, self.earlier)
        results['partner'] = None if other is None else float(other['img'].mean())
        return results


class _Noise(BaseTransform):
    def transform(self, results):
        return dict(results, noise=np.random.rand())


class _Reject(BaseTransform):
    def transform(self, results):
        return None if results['sample_idx'] == 1 else results


@pytest.fixture
def paths(tmp_path):
    paths = [str(tmp_path / f'grey_{value}.png') for value in (10, 20, 30)]
    for path, value in zip(paths, (10, 20, 30), strict=True):
        cv2.imwrite(path, np.full((4, 6, 3), value, np.uint8))
    return paths


def photos(paths, *transforms, **options):
    return _Photos(
        metainfo=dict(paths=paths), pipeline=[LoadImageFromFile(), *transforms], **options
    )


def test_a_partner_comes_through_the_transforms_before_the_one_that_mixes(paths):
    sample = photos(paths, _Noise(), _Pair())[0]
    assert sample['img'].mean() == 10 and sample['partner'] == 20


@pytest.mark.parametrize(
    'wrap',
    [
        lambda pair: RandomApply([_Noise(), pair], prob=1.0),
        lambda pair: RandomChoice([[_Noise(), pair], [_Noise(), pair]]),
        lambda pair: RandomChoice([[RandomApply(pair, prob=1.0)]]),
    ],
)
def test_transforms_inside_wrappers_are_bound_too(paths, wrap):
    assert photos(paths, wrap(_Pair()))[0]['partner'] == 20


def test_the_branches_of_a_choice_do_not_see_each_other(paths):
    first, second = _Pair(), _Pair()
    photos(paths, _Noise(), RandomChoice([[_Noise(), first], [second]]))
    assert [len(first.earlier), len(second.earlier)] == [3, 2]


def test_a_partner_that_a_transform_rejects_is_none(paths):
    assert photos(paths, _Reject(), _Pair())[0]['partner'] is None


@pytest.mark.parametrize('damage', [b'', b'no image', None])
def test_an_unreadable_partner_is_named(paths, damage):
    Path(paths[1]).unlink() if damage is None else Path(paths[1]).write_bytes(damage)
    dataset = photos(paths, _Pair())
    with pytest.raises(UnreadableImageError, match=r'grey_20\.png: this image cannot be used'):
        dataset[0]
    assert issubclass(UnreadableImageError, UserError)


def test_unreadable_images_can_be_skipped_and_are_counted(paths, caplog):
    Path(paths[1]).write_bytes(b'no image')
    dataset = photos(paths, _Pair(), unreadable='skip')
    with caplog.at_level(logging.WARNING):
        assert dataset.prepare_data(1) is None
        assert dataset.prepare_data(0)['partner'] is None
    assert dataset.num_skipped == 2
    replaced = [dataset[SeededIndex(1, (3, 0, position))] for position in range(8)]
    assert {sample['img'].mean() for sample in replaced} == {10, 30}


def test_tests_never_skip(paths):
    Path(paths[1]).write_bytes(b'no image')
    with pytest.raises(UnreadableImageError, match='grey_20'):
        photos(paths, unreadable='skip', test_mode=True)[1]


@pytest.mark.parametrize(
    'transform',
    [
        NARROWING,
        dict(type='RandomChoiceResize', scales=[(1333, 800)], keep_ratio=True),
        dict(type='TestTimeAug', transforms=[[NARROWING]]),
        dict(type='LargeScaleJitter', scale=(1280, 1280), ratio_range=(0.6, 0.6)),
        dict(type='LargeScaleJitter', scale=(1280, 1280), ratio_range=(1.4, 1.4)),
    ],
    ids=lambda transform: transform['type'],
)
@pytest.mark.parametrize('test_mode', [True, False])
def test_an_image_too_narrow_to_be_resized_is_named(paths, transform, test_mode):
    cv2.imwrite(paths[1], np.zeros((1, 5000, 3), np.uint8))
    dataset = photos(paths, TRANSFORMS.build(dict(transform)), test_mode=test_mode)
    assert dataset[0] is not None
    with pytest.raises(UnreadableImageError, match=r'grey_20\.png.*5000 x 1 pixels.*pad or crop'):
        dataset[1]


def test_an_image_too_narrow_to_be_resized_can_be_skipped(paths):
    cv2.imwrite(paths[1], np.zeros((1, 5000, 3), np.uint8))
    dataset = photos(paths, TRANSFORMS.build(dict(NARROWING)), _Pair(), unreadable='skip')
    assert dataset.prepare_data(1) is None
    assert dataset.prepare_data(0)['partner'] is None
    assert dataset.num_skipped == 2


@pytest.mark.parametrize('error', [cv2.error('flip'), AssertionError('scale'), OSError('disk')])
def test_errors_that_are_not_of_the_image_stay_what_they_are(paths, error):
    def fail(results):
        raise error

    with pytest.raises(type(error)) as caught:
        photos(paths, fail, unreadable='skip')[0]
    assert caught.value is error


def test_an_unknown_policy_is_an_error(paths):
    with pytest.raises(UserError, match='unreadable'):
        photos(paths, unreadable='ignore')


def test_a_seeded_sample_is_the_same_every_time(paths):
    dataset = photos(paths, _Noise())
    noises = {dataset[SeededIndex(0, (1, 2, 3))]['noise'] for _ in range(3)}
    assert len(noises) == 1
    assert dataset[SeededIndex(0, (1, 2, 4))]['noise'] not in noises


@pytest.mark.parametrize(
    'wrap',
    [lambda one: ConcatDataset([one, one]), lambda one: RepeatDataset(one, times=2)],
    ids=['concatenated', 'repeated'],
)
def test_a_seed_reaches_the_data_set_through_wrappers(paths, wrap):
    dataset = photos(paths, _Noise())
    noise = wrap(dataset)[SeededIndex(4, (1, 2, 3))]['noise']
    assert noise == dataset[SeededIndex(1, (1, 2, 3))]['noise']
