"""What a program pays before it does anything: importing the plugins, answering ``--help``."""

import importlib.util
import json
import re
import sys
from pathlib import Path

from tools.benchmarks.item import Benchmark
from tools.benchmarks.measure import FreshProcess

ROOT = Path(__file__).resolve().parents[3]

# mmdet with the stand-in for compiled ops but without any other plugin.
IMPORT_STOCK = """
import sys, types
sys.modules['plugins'] = types.ModuleType('plugins')
sys.modules['plugins'].__path__ = [sys.argv[1]]
from plugins.ops import install
install()
import mmdet.apis
"""

IMPORT_OURS = 'import plugins'

PRINT_REGISTERED = """
import json
import mmdet.registry
from mmengine.registry import Registry
print(json.dumps({
    f'{registry} {name}': f'{module.__module__}.{module.__qualname__}'
    for registry, content in vars(mmdet.registry).items() if isinstance(content, Registry)
    for name, module in content.module_dict.items()
}))
"""


def import_process(code: str) -> FreshProcess:
    """A process that runs ``code`` and prints the registered classes as JSON."""
    command = (sys.executable, '-W', 'ignore', '-c', code + PRINT_REGISTERED, f'{ROOT}/plugins')
    return FreshProcess(command, {'PYTHONPATH': str(ROOT)})


def help_process(script: Path) -> FreshProcess:
    """A process that prints the help of a script."""
    return FreshProcess((sys.executable, '-W', 'ignore', str(script), '--help'))


def peer_script() -> Path:
    """The train.py that the installed mmdet ships, found without importing mmdet."""
    package = importlib.util.find_spec('mmdet').submodule_search_locations[0]
    return Path(package, '.mim', 'tools', 'train.py')


def keeps_stock_names(ours: str, stock: str) -> bool:
    """Whether every name that stock mmdet registers still means the same class with plugins."""
    registered, expected = (json.loads(text.splitlines()[-1]) for text in (ours, stock))
    return all(registered.get(name, cls) == cls for name, cls in expected.items())


def has_all_flags(ours: str, stock: str) -> bool:
    """Whether our help names every flag of the peer's, but the rank that a launcher fills in."""
    given, expected = (set(re.findall(r'--[a-z][a-z_-]+', text)) for text in (ours, stock))
    return bool(expected) and expected - {'--local_rank', '--local-rank'} <= given


ITEMS = (
    Benchmark(
        name='import',
        peer='import mmdet.apis with the same ops',
        ours=import_process(IMPORT_OURS),
        peer_run=import_process(IMPORT_STOCK),
        check=keeps_stock_names,
        repeats=3,
    ),
    Benchmark(
        name='help',
        peer="mmdet's tools/train.py --help",
        ours=help_process(ROOT / 'tools' / 'train.py'),
        peer_run=help_process(peer_script()),
        check=has_all_flags,
    ),
)
