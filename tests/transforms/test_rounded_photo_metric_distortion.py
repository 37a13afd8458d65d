import numpy as np
import pytest

from mmdet.datasets.transforms import PhotoMetricDistortion
from mmdet.registry import TRANSFORMS

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def both(image, seed):
    """What mmdet's transform and ours make of an image with the same random numbers."""
    outputs = []
    for transform in (
        PhotoMetricDistortion(),
        TRANSFORMS.build(dict(type='RoundedPhotoMetricDistortion')),
    ):
        np.random.seed(seed)
        outputs.append(transform(dict(img=image.copy()))['img'])
    return outputs


@pytest.mark.parametrize('seed', range(8))
def test_colours_are_those_of_mmdet_rounded_and_clipped(seed):
    stock, ours = both(IMAGE, seed)
    assert ours.dtype == np.uint8 and ours.shape == IMAGE.shape
    np.testing.assert_array_equal(ours, np.rint(stock.clip(0, 255)))


def test_colours_do_change_and_leave_the_range():
    outputs = [both(IMAGE, seed)[0] for seed in range(8)]
    assert any(stock.max() > 255 for stock in outputs)
    assert any(stock.min() < 0 for stock in outputs)


def test_an_image_of_floats_is_that_of_mmdet():
    stock, ours = both(IMAGE.astype(np.float32), 3)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, stock)
