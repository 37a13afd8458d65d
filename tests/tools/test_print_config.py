"""The resolved config and its difference from its bases."""

import json
import re
import sys

import pytest
from mmengine.config import Config

from tools import print_config
from tools.print_config import Change, ConfigError, compare, load_bases

BASE = """
num_classes = 80
model = dict(
    backbone=dict(type='ResNet', depth=50, style='pytorch'),
    head=dict(num_classes=num_classes, loss=dict(type='CE', weight=1.0)),
)
pipeline = [dict(type='Load'), dict(type='Resize', scale=(1333, 800)), dict(type='Pack')]
"""

CHILD = """
_base_ = 'base file.py'
classes = _base_.num_classes
model = dict(
    backbone=dict(depth=101, groups=32),
    head=dict(num_classes=_base_.num_classes, loss=dict(_delete_=True, type='Seesaw')),
)
pipeline = [
    dict(type='Load'), dict(type='Resize', scale=(640, 480)), dict(type='Flip'), dict(type='Pack')
]
custom_imports = dict(imports=['a_package_that_does_not_exist'])
"""


@pytest.fixture
def configs(tmp_path):
    folder = tmp_path / 'with space'
    folder.mkdir()
    (folder / 'base file.py').write_text(BASE)
    (folder / 'child.py').write_text(CHILD)
    return folder


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, 'argv', ['print_config.py', *map(str, arguments)])
    status = print_config.main()
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_difference_names_each_changed_added_and_removed_key_once(configs, monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, configs / 'child.py', '--diff')
    assert status == 0
    assert out.splitlines() == [
        '~ model.backbone.depth: 50 -> 101',
        '+ model.backbone.groups: 32',
        "~ model.head.loss.type: 'CE' -> 'Seesaw'",
        '- model.head.loss.weight: 1.0',
        '~ pipeline[1].scale: (1333, 800) -> (640, 480)',
        "+ pipeline[2]: {'type': 'Flip'}",
        '+ classes: 80',
        "+ custom_imports: {'imports': ['a_package_that_does_not_exist']}",
    ]


def test_command_line_options_show_in_the_difference(configs, monkeypatch, capsys):
    options = ('--cfg-options', 'model.head.loss.type=Focal')
    _, out, _ = run(monkeypatch, capsys, configs / 'child.py', '--diff', *options)
    assert "~ model.head.loss.type: 'CE' -> 'Focal'" in out.splitlines()


def test_a_config_does_not_differ_from_itself(configs, monkeypatch, capsys):
    child = configs / 'child.py'
    status, out, err = run(monkeypatch, capsys, child, '--diff', child)
    assert (status, out, err) == (0, '', 'no difference\n')


def test_printed_config_reads_back_to_the_same_config(configs, monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, configs / 'child.py')
    assert status == 0
    (configs / 'printed.py').write_text(out)
    printed = print_config.load(str(configs / 'printed.py'))
    assert (
        list(compare(print_config.load(str(configs / 'child.py')).to_dict(), printed.to_dict()))
        == []
    )


def test_saved_config_has_the_merged_values(configs, monkeypatch, capsys):
    target = configs / 'sub folder' / 'saved.json'
    status, _, _ = run(monkeypatch, capsys, configs / 'child.py', '--save-path', target)
    assert status == 0
    assert json.loads(target.read_text())['model']['backbone'] == {
        'type': 'ResNet',
        'depth': 101,
        'style': 'pytorch',
        'groups': 32,
    }
    assert [path.name for path in target.parent.iterdir()] == ['saved.json']


def test_bases_of_a_packaged_config_are_merged(configs):
    (configs / 'leaf.py').write_text(
        "_base_ = ['./child.py', 'mmdet::_base_/schedules/schedule_1x.py']"
    )
    merged = load_bases(str(configs / 'leaf.py'))
    assert merged.model.backbone.depth == 101
    assert merged.train_cfg.max_epochs == 12


def test_top_level_keys_without_a_line_equal_those_of_the_bases(root):
    leaves = sorted(root.glob('configs/[!_]*/*.py'))
    assert leaves
    for leaf in leaves:
        config = Config.fromfile(leaf, import_custom_modules=False).to_dict()
        bases = load_bases(str(leaf)).to_dict()
        changed = {re.split(r'[.\[]', change.path)[0] for change in compare(bases, config)}
        assert set(config) ^ set(bases) <= changed
        assert all(config[key] == bases[key] for key in set(config) - changed)


@pytest.mark.parametrize(
    ('old', 'new', 'expected'),
    [
        ({'a': [1, 2]}, {'a': [1, 3]}, [Change('~', 'a', [1, 2], [1, 3])]),
        ({'a': {}}, {'a': 1}, [Change('~', 'a', {}, 1)]),
        (
            {'a': [{'type': 'X'}, {'type': 'Y'}]},
            {'a': [{'type': 'Y'}]},
            [Change('-', 'a[0]', old={'type': 'X'})],
        ),
        (
            {'a': [{'type': 'X', 'p': 1}]},
            {'a': [{'type': 'Y', 'p': 1}]},
            [Change('~', 'a[0]', {'type': 'X', 'p': 1}, {'type': 'Y', 'p': 1})],
        ),
    ],
    ids=['plain list', 'other kind', 'removed item', 'item of another type'],
)
def test_values_are_compared_at_the_depth_a_reader_wants(old, new, expected):
    assert list(compare(old, new)) == expected


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['missing.py'], 'missing.py cannot be read as a config'),
        (['base file.py', '--diff'], 'has no _base_'),
        (['computed.py', '--diff'], '_base_ is not a plain list'),
        (['broken.py'], 'broken.py cannot be read as a config'),
        (['child.py', '--cfg-options', 'classes.x=1'], '--cfg-options'),
        (['child.py', '--cfg-options', 'classes'], 'KEY=VALUE'),
        (['child.py', '--save-path', 'x.txt'], 'must end in'),
    ],
)
def test_what_the_user_can_mend_is_one_line(configs, monkeypatch, capsys, arguments, message):
    (configs / 'broken.py').write_text('model = dict(\n')
    (configs / 'computed.py').write_text("_base_ = ['base ' + name for name in ('file.py',)]")
    monkeypatch.chdir(configs)
    status, _, err = run(monkeypatch, capsys, *arguments)
    assert status == 1
    assert err.startswith('error: ')
    assert message in err
    assert err.count('\n') == 1


def test_an_unreadable_base_is_a_config_error(configs):
    (configs / 'orphan.py').write_text("_base_ = './gone.py'")
    with pytest.raises(ConfigError, match='gone'):
        load_bases(str(configs / 'orphan.py'))
