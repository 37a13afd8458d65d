"""Installing the stand-in, mostly in processes of its own."""

import importlib
import os
import subprocess
import sys
import textwrap

import mmcv
import pytest

import plugins.ops

# A package `plugins` whose __init__ does nothing, so that only plugins.ops is measured.
BARE_PACKAGE = """
import sys, types
package = types.ModuleType('plugins')
package.__path__ = [{path!r}]
sys.modules['plugins'] = package
from plugins.ops import install
"""


@pytest.fixture
def run_fresh(root, tmp_path):
    """Runs a script in a new interpreter and returns what it prints."""

    def run(script: str) -> str:
        file = tmp_path / 'script.py'
        file.write_text(script)
        done = subprocess.run(
            [sys.executable, str(file)],
            capture_output=True,
            text=True,
            timeout=240,
            env={**os.environ, 'PYTHONPATH': str(root)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def bare_package(root) -> str:
    return BARE_PACKAGE.format(path=str(root / 'plugins'))


def test_install_imports_neither_torch_nor_mmcv(run_fresh, bare_package):
    script = bare_package + textwrap.dedent("""
        install()
        print([name for name in ('torch', 'numpy', 'mmcv', 'numba') if name in sys.modules])
    """)
    assert run_fresh(script).strip() == '[]'


def test_install_twice_adds_one_finder_and_it_is_the_last(run_fresh, bare_package):
    script = bare_package + textwrap.dedent("""
        before = len(sys.meta_path)
        install()
        import importlib, plugins.ops
        importlib.reload(plugins.ops).install()
        print(len(sys.meta_path) - before, sys.meta_path[-1].serves)
    """)
    assert run_fresh(script).split() == ['1', 'mmcv._ext']


def test_finder_serves_no_other_name():
    finder = next(f for f in sys.meta_path if getattr(f, 'serves', None) == 'mmcv._ext')
    assert finder.find_spec('mmcv._ext') is not None
    assert finder.find_spec('mmcv') is None
    assert finder.find_spec('mmcv._ext2', mmcv.__path__) is None


def test_mmcv_ops_imports_after_an_attempt_without_the_stand_in(run_fresh, bare_package):
    script = bare_package + textwrap.dedent("""
        import pkgutil, warnings
        warnings.simplefilter('ignore')
        try:
            import mmcv.ops
        except ModuleNotFoundError as error:
            print(error.name)
        install()
        import mmcv.ops
        from mmengine.utils.dl_utils.misc import mmcv_full_available
        loader = pkgutil.find_loader('mmcv._ext')
        print(mmcv_full_available(), loader is not None, sys.modules['mmcv._ext'].__backend__)
        print('numba' in sys.modules)
    """)
    failed, available, lazy = run_fresh(script).strip().splitlines()
    assert failed == 'mmcv._ext'
    assert available.split() == ['True', 'True', 'torchvision']
    assert lazy == 'False', 'numba must not be loaded before Soft-NMS is used'


def test_a_compiled_extension_wins(tmp_path, monkeypatch):
    # Import machinery treats a Python file beside mmcv's own like a compiled one: by its path.
    (tmp_path / '_ext.py').write_text("__backend__ = 'compiled'\n")
    monkeypatch.setattr(mmcv, '__path__', [*mmcv.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    monkeypatch.setattr(mmcv, '_ext', None, raising=False)
    importlib.invalidate_caches()
    plugins.ops.install()
    assert importlib.import_module('mmcv._ext').__backend__ == 'compiled'


def test_forked_and_spawned_data_loader_workers_have_the_operators(run_fresh):
    script = textwrap.dedent("""
        import warnings
        warnings.simplefilter('ignore')
        import plugins
        import torch
        from torch.utils.data import DataLoader, Dataset

        class KeptBoxes(Dataset):
            def __len__(self):
                return 2

            def __getitem__(self, index):
                from mmcv.ops import nms
                boxes = torch.tensor([[0., 0, 9, 9], [0, 0, 9, 8], [20, 20, 30, 30]])
                return nms(boxes, torch.tensor([.5, .9, .7]), 0.5)[1]

        if __name__ == '__main__':
            for context in ('fork', 'spawn'):
                loader = DataLoader(KeptBoxes(), num_workers=1, multiprocessing_context=context)
                print([kept.tolist() for kept in loader])
    """)
    assert run_fresh(script).splitlines() == ['[[[1, 2]], [[1, 2]]]'] * 2
