import ast
from importlib.metadata import files

import pytest

from plugins.errors import UserError
from plugins.runtime import check_top_level_keys


def _names(source: str) -> set[str]:
    """The public names that a config assigns at its top level."""
    assigned = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    names = {target.id for node in assigned for target in node.targets if hasattr(target, 'id')}
    return {name for name in names if not name.startswith('_')}


def test_every_config_that_mmdet_ships_passes():
    shipped = [f for f in files('mmdet') if '.mim/configs' in str(f) and f.suffix == '.py']
    assert len(shipped) > 800
    for path in shipped:
        check_top_level_keys(_names(path.read_text()), str(path))


@pytest.mark.parametrize('key', ['img_scale', 'max_epoch', 'val_pipeline', 'train_dataset'])
def test_names_that_resemble_a_shared_name_only_are_the_users_own(key):
    check_top_level_keys([key], 'x.py')
    with pytest.raises(UserError, match=key):
        check_top_level_keys([key], 'x.py', strict=True)


@pytest.mark.parametrize('key', ['trian_cfg', 'tset_dataloader', 'lode_from', 'custom_hook'])
def test_slips_of_the_keys_that_are_read_are_errors(key):
    with pytest.raises(UserError, match=f'x.py.*{key!r}, did you mean'):
        check_top_level_keys(['model', key], 'x.py')
