import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tools.data.stats import main


def test_taco_is_printed_plotted_and_written(root, shared, tmp_path):
    source = shared / 'data/taco/annotations.json'
    done = subprocess.run(
        [
            sys.executable,
            str(root / 'tools/data/stats.py'),
            str(source),
            *('--out-dir', str(tmp_path), '--json', str(tmp_path / 'stats.json')),
            *('--threshold', '0.01'),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert '1,500 images (0 without annotations), 4,784 instances, 60 categories' in done.stdout
    assert 'Cigarette' in done.stdout
    statistics = json.loads((tmp_path / 'stats.json').read_text())
    assert statistics['categories'][0] == {
        'id': 59,
        'name': 'Cigarette',
        'group': 'f',
        'image_count': 227,
        'instance_count': 667,
        'bin': '[100,1000)',
        'repeat_factor': 1.0,
    }
    assert statistics['totals']['groups'] == {'r': 23, 'c': 28, 'f': 9}
    assert sum(row['instance_count'] for row in statistics['categories']) == 4784
    picture = np.asarray(Image.open(tmp_path / 'long_tail.png').convert('RGB'))
    for colour in ((0x3B, 0x6F, 0xB6), (0xE0, 0x8A, 0x1E), (0xC0, 0x39, 0x2B)):
        assert (np.abs(picture.astype(int) - colour).sum(2) < 12).sum() > 50


def test_rows_limits_and_bins_are_options(data_folder, capsys):
    ann = str(data_folder / 'ann.json')
    assert main([ann, '--rows', '1', '--rare-max', '1', '--bins', 'coco-lt']) == 0
    printed = capsys.readouterr().out
    assert '... and 1 more' in printed
    assert 'frequency groups by images: 1 rare / 1 common / 0 frequent' in printed
    assert '[1,20) 2, [20,400) 0' in printed


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [(['--threshold', '-1'], 'threshold=-1.0'), (['--rare-max', '200'], 'rare_max=200')],
)
def test_user_errors_are_one_line(data_folder, capsys, arguments, message):
    assert main([str(data_folder / 'ann.json'), *arguments]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith('error: ')
    assert message in printed
    assert printed.count('\n') == 1


def test_a_file_without_annotations_is_described(data_folder, coco_data, capsys):
    coco_data['annotations'] = []
    (data_folder / 'ann.json').write_text(json.dumps(coco_data))
    assert main([str(data_folder / 'ann.json'), '--out-dir', str(data_folder / 'out')]) == 0
    assert '2 images (2 without annotations), 0 instances' in capsys.readouterr().out
    assert (data_folder / 'out/long_tail.png').exists()
