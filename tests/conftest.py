"""One thread per process, plugins on board, and the optional real data."""

import os

# OpenMP workers spin: two threads on two shared cores take several times the time of one.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import tempfile
from pathlib import Path

import cv2
import hypothesis
import pytest
import torch

import plugins  # noqa: F401  registers everything and stands in for mmcv._ext
from mmdet.utils import register_all_modules

torch.set_num_threads(1)
# How long an example takes says more about the machine's other work than about the code.
hypothesis.settings.register_profile('mmtail', deadline=None)
hypothesis.settings.load_profile('mmtail')
cv2.setNumThreads(0)
# Annotation caches of the tests end with them, and none is left beside shared data.
_caches = tempfile.TemporaryDirectory(prefix='mmtail-test-caches-')
os.environ['MMTAIL_CACHE'] = _caches.name
# Short names such as LoadAnnotations mean mmdet's, as they do in a config.
register_all_modules()

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def root() -> Path:
    """The repository root."""
    return ROOT


@pytest.fixture(scope='session')
def shared() -> Path:
    """Real data and golden numbers beside the checkout; tests skip where they are absent."""
    path = Path(os.environ.get('LONGTAIL_SHARED', ROOT.parent / 'shared'))
    if not path.is_dir():
        pytest.skip(f'no golden numbers and real data at {path} (set LONGTAIL_SHARED)')
    return path
