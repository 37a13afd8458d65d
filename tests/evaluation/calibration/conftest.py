import gzip
import json

import numpy as np
import pytest


@pytest.fixture(scope='session')
def fits(shared):
    """Scores, labels and fits of seven categories by netcal 1.4.0."""
    return json.loads((shared / 'golden/eval/calibration_fits.json').read_text())


@pytest.fixture
def random_results():
    """Scores on a coarse grid with labels that become likelier with the score."""
    generator = np.random.default_rng(7)
    scores = generator.integers(0, 101, 400) / 100
    return scores, generator.random(400) < scores**1.5


@pytest.fixture(scope='session')
def golden(shared):
    """Read one golden file of the evaluation."""

    def read(name):
        path = shared / 'golden/eval' / name
        text = gzip.decompress(path.read_bytes()) if name.endswith('.gz') else path.read_bytes()
        return json.loads(text)

    return read
