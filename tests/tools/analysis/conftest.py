import gzip
import json
from pathlib import Path

import pytest


@pytest.fixture
def golden_case(shared):
    """Paths of annotations and results of a golden case, and what is expected of it."""

    def find(name):
        folder = shared / 'golden/eval'
        files = [str(folder / f'{name}.{part}.json.gz') for part in ('gt', 'dt')]
        return *files, json.loads((folder / f'{name}.expected.json').read_text()).get('expected')

    return find


@pytest.fixture(scope='session')
def read_packed():
    """Content of a gzip JSON file."""
    return lambda path: json.loads(gzip.decompress(Path(path).read_bytes()))
