"""What all transforms that mix have in common."""

import numpy as np
import pytest

from plugins.transforms import BalancedCopyPaste, BalancedMosaic
from tests.transforms.scenes import LoadScene, SceneDataset, make_scene


@pytest.mark.parametrize(
    'transform',
    [BalancedCopyPaste(prob=0.0), BalancedMosaic(prob=0.0, img_scale=(96, 64))],
    ids=lambda transform: type(transform).__name__,
)
def test_probability_zero_is_identity_and_takes_one_random_number(transform):
    generator = np.random.default_rng(0)
    scene, *others = (make_scene(generator, 3, range(12)) for _ in range(8))
    dataset = SceneDataset(others)
    transform.bind(dataset, (LoadScene(),))
    np.random.seed(0)
    results = transform(dict(scene))
    assert all(results[key] is value for key, value in scene.items())
    assert not dataset.loaded
    left = np.random.random()
    np.random.seed(0)
    assert left == np.random.random(2)[1]
