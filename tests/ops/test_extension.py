"""The served module as mmcv's Python side sees it."""

import ast
import inspect
from pathlib import Path

import mmcv.ops
import pytest
from mmcv import _ext

SOURCES = sorted(Path(mmcv.ops.__file__).parent.glob('*.py'))


def loaded_names() -> set[str]:
    """Entry points that mmcv.ops demands by ``load_ext('_ext', [...])``."""
    names = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith('load_ext'):
                names.update(ast.literal_eval(node.args[1]))
    return names


def calls_of_extension() -> list[tuple[str, int, tuple[str, ...]]]:
    """Name, number of positional arguments and keywords of each call of an implemented op."""
    calls = []
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            name = node.func.attr
            # nms_match(*list, **dict) says nothing about its arguments.
            explicit = not any(isinstance(arg, ast.Starred) for arg in node.args)
            if explicit and ast.unparse(node.func.value) == 'ext_module' and name in _ext.__all__:
                keywords = tuple(keyword.arg for keyword in node.keywords)
                calls.append((name, len(node.args), keywords))
    return calls


def test_every_entry_point_that_mmcv_demands_is_answered():
    names = loaded_names()
    assert len(names) == 112
    assert all(callable(getattr(_ext, name)) for name in names)


def test_implemented_operators_are_ones_that_mmcv_knows():
    assert set(_ext.__all__) <= loaded_names()
    assert len(_ext.__all__) == 34


@pytest.mark.parametrize(('name', 'positional', 'keywords'), calls_of_extension())
def test_operator_accepts_the_arguments_of_its_wrapper(name, positional, keywords):
    signature = inspect.signature(getattr(_ext, name))
    bound = signature.bind(*[None] * positional, **dict.fromkeys(keywords))
    assert list(bound.arguments) == list(signature.parameters)


def test_missing_operator_is_named_when_called_and_not_before():
    stub = _ext.nms_rotated
    assert hasattr(_ext, 'nms_rotated') and stub.__name__ == 'nms_rotated'
    with pytest.raises(NotImplementedError, match=r"'nms_rotated'.*compiled mmcv.*MMCV_WITH_OPS"):
        stub(1, threshold=2)


@pytest.mark.parametrize('name', ['__path__', '__wrapped__', '_private'])
def test_underscored_names_do_not_exist(name):
    assert not hasattr(_ext, name)


def test_build_information_says_that_nothing_was_compiled():
    assert _ext.__backend__ == 'torchvision'
    assert mmcv.ops.get_compiler_version().startswith('none (torchvision')
    assert mmcv.ops.get_compiling_cuda_version()


def test_what_mmdet_imports_from_mmcv_ops_exists():
    import mmdet

    missing = []
    for source in Path(mmdet.__file__).parent.rglob('*.py'):
        text = source.read_text()
        if 'mmcv.ops' not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or '').startswith('mmcv.ops'):
                missing += [a.name for a in node.names if not hasattr(mmcv.ops, a.name)]
    # Importable from its file only, in every mmcv.
    assert set(missing) <= {'GlobalPoolingCell', 'SumCell', 'ConcatCell'}
