import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.data.check import main


@pytest.fixture
def check(data_folder, capsys):
    """Run the tool on the small data set; returns exit code and printed lines."""

    def run(*arguments: str, data: dict | None = None) -> tuple[int, list[str]]:
        ann = data_folder / 'ann.json'
        if data is not None:
            ann.write_text(json.dumps(data))
        code = main([str(ann), '--images', str(data_folder / 'images'), *arguments])
        return code, capsys.readouterr().out.splitlines()

    return run


def test_a_clean_set_is_ok(check):
    for arguments in ([], ['--deep']):
        code, lines = check(*arguments)
        assert code == 0
        assert lines[-1] == 'OK: 2 images, 3 annotations, 2 categories (2/0/0 r/c/f)'
        assert lines[0].startswith('note: not in LVIS format')


def test_each_class_of_problem_has_one_line(check, coco_data, data_folder):
    for record in coco_data['annotations']:
        record['segmentation'] = [[1, 2, 3, 4, 5, 6, 7]]
    coco_data['annotations'][0]['bbox'] = [90, 90, 5, 5]
    coco_data['images'][0]['width'] = 65
    (data_folder / 'images/2.jpg').write_bytes(b'')
    code, lines = check(data=coco_data)
    assert code == 1
    codes = [line.split('[')[1].split(']')[0] for line in lines if line.startswith('error')]
    assert codes == ['box-outside', 'odd-polygon', 'image-empty', 'image-size']
    assert '64x48, annotated as 65x48' in lines[3]
    assert lines[-1].startswith('FAILED (4 above): 2 images')


def test_missing_images_are_named_and_counted(check, data_folder):
    (data_folder / 'images/1.jpg').unlink()
    code, lines = check()
    assert code == 1
    assert lines[0].startswith('error [image-missing]: 1 image missing: ')
    assert '1.jpg' in lines[0]


def _as_lvis_val(coco_data: dict) -> dict:
    for record, split in zip(coco_data['images'], ('train2017', 'val2017'), strict=True):
        name = record.pop('file_name')
        record['coco_url'] = f'http://images.cocodataset.org/{split}/{name}'
    return coco_data


def test_lvis_val_without_the_train_folder_says_that_both_are_needed(check, coco_data, data_folder):
    (data_folder / 'images/val2017').mkdir()
    (data_folder / 'images/2.jpg').rename(data_folder / 'images/val2017/2.jpg')
    code, lines = check(data=_as_lvis_val(coco_data))
    assert code == 1
    (line,) = [line for line in lines if line.startswith('error')]
    assert line.startswith('error [missing-folder]: 1 image folder missing: ')
    assert 'images/train2017 (images: 1)' in line
    assert 'LVIS val needs train2017 and val2017' in line


def test_the_split_folder_instead_of_the_one_above_is_recognised(coco_data, data_folder, capsys):
    folder = data_folder / 'train2017'
    folder.mkdir()
    ann = data_folder / 'ann.json'
    ann.write_text(json.dumps(_as_lvis_val(coco_data)))
    assert main([str(ann), '--images', str(folder)]) == 1
    assert f'give the folder above, --images {data_folder}' in capsys.readouterr().out


def test_real_photos_are_clean_and_lvis_v05_is_not(root: Path, shared: Path):
    tool = [sys.executable, str(root / 'tools/data/check.py')]
    small = shared / 'data/coco_small'
    done = subprocess.run(
        [*tool, small / 'annotations/instances_val.json', '--images', small / 'val', '--deep'],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert 'OK: 36 images, 404 annotations, 80 categories' in done.stdout
    done = subprocess.run(
        [*tool, shared / 'golden/eval/lvis_val_100.json'], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert 'warning [polygon-box]: 13 annotations' in done.stdout


def test_user_errors_are_one_line(data_folder, capsys):
    ann = str(data_folder / 'ann.json')
    for arguments, message in (
        ([ann, '--images', str(data_folder / 'no')], 'no such image folder'),
        ([str(data_folder / 'no.json')], 'no such annotation file'),
    ):
        assert main(arguments) == 1
        printed = capsys.readouterr().err
        assert printed.startswith('error: ')
        assert message in printed
        assert printed.count('\n') == 1
