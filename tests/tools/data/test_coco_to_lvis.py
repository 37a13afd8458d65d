import json
import subprocess
import sys

import pytest

from plugins.annotations import find_problems, read_annotations
from tools.data.coco_to_lvis import main


@pytest.fixture
def coco_small(shared):
    return shared / 'data/coco_small/annotations'


def test_help_does_not_load_torch(root):
    code = (
        'import sys, runpy\n'
        'sys.argv = ["coco_to_lvis.py", "--help"]\n'
        'try: runpy.run_path("tools/data/coco_to_lvis.py", run_name="__main__")\n'
        'finally: print(sorted({"torch", "mmdet", "numpy"} & set(sys.modules)))\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=root, capture_output=True, text=True)
    assert 'usage:' in done.stdout
    assert done.stdout.endswith('[]\n')


def test_train_and_val_are_converted_from_the_shell(root, coco_small, tmp_path):
    tool = [sys.executable, str(root / 'tools/data/coco_to_lvis.py')]
    train, val = tmp_path / 'my data' / 'train.json', tmp_path / 'my data' / 'val.json'
    for arguments in (
        [coco_small / 'instances_train.json', train],
        [coco_small / 'instances_val.json', val, '--frequency-from', train],
    ):
        done = subprocess.run(
            [*tool, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert 'crowd regions moved to `crowd_annotations`' in done.stdout
        assert '80 categories (56/23/1 r/c/f)' in done.stdout
    train_data, val_data = read_annotations(train), read_annotations(val)
    assert find_problems(train_data) == find_problems(val_data) == []
    assert train_data['categories'] == val_data['categories']
    assert (len(train_data['annotations']), len(val_data['annotations'])) == (2219, 399)


def test_limits_of_the_groups_are_options(coco_small, tmp_path, capsys):
    source, out = str(coco_small / 'instances_train.json'), str(tmp_path / 'out.json.gz')
    assert main([source, out, '--rare-max', '5', '--common-max', '20']) == 0
    groups = [record['frequency'] for record in read_annotations(out)['categories']]
    counts = [record['image_count'] for record in read_annotations(out)['categories']]
    assert groups.count('r') == sum(count <= 5 for count in counts) > 0
    assert groups.count('f') == sum(count > 20 for count in counts) > 0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['absent.json', 'out.json'], 'no such annotation file'),
        (['bad.json', 'out.json'], 'bad.json: `images` is missing'),
        (['twice.json', 'out.json'], "twice.json: category name 'spoon' occurs twice"),
        (['good.json', 'good.json'], 'the source would be overwritten'),
        (['good.json', 'out.json', '--rare-max', '9', '--common-max', '8'], 'rare_max=9'),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    tmp_path, monkeypatch, capsys, coco_data, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'bad.json').write_text('{}')
    (tmp_path / 'good.json').write_text(json.dumps(coco_data))
    coco_data['categories'][1]['name'] = 'spoon'
    (tmp_path / 'twice.json').write_text(json.dumps(coco_data))
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith('error: ')
    assert printed.err.count('\n') == 1
    assert message in printed.err
    assert not (tmp_path / 'out.json').exists()
