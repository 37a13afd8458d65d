"""The training pipeline of a small built-in set, really run."""

import json

import numpy as np
import pytest
from PIL import Image

from tools.data import pipeline_statistics
from tools.data.pipeline_report import COLOURS
from tools.data.stats import main
from tools.data.synthetic import SyntheticOptions, generate_dataset

IMAGES = 24


@pytest.fixture(scope='module')
def config_file(tmp_path_factory, pytestconfig):
    folder = tmp_path_factory.mktemp('long tail')
    options = SyntheticOptions(categories=8, train_images=IMAGES, val_images=2)
    generate_dataset(folder / 'data', options, workers=1, progress=False)
    path = folder / 'config.py'
    base = pytestconfig.rootpath / 'configs/_base_'
    path.write_text(
        f"""
_base_ = [
    {str(base / 'datasets/synthetic_instance.py')!r},
    {str(base / 'default_runtime.py')!r},
]
train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=0.4),
    dataset=dict(
        data_root={str(folder / 'data')!r},
        filter_cfg=dict(filter_empty_gt=False, min_size=0),
    ),
)
"""
    )
    return path


def sample(config_file, folder, *arguments):
    """Run the tool; return what it wrote as JSON."""
    file = folder / 'pipeline.json'
    options = ('--json', str(file), '--workers', '0', '--rare-max', '2', '--common-max', '8')
    assert main(['--config', str(config_file), *options, *map(str, arguments)]) == 0
    return json.loads(file.read_text())


def test_without_mixing_an_epoch_shows_what_is_annotated(config_file, tmp_path):
    numbers = sample(config_file, tmp_path, '--variants', 'uniform', '--epochs', 2)
    annotations = json.loads(
        (config_file.parent / 'data/annotations/synthetic_train.json').read_text()
    )
    counts = np.bincount([a['category_id'] for a in annotations['annotations']], minlength=9)[1:]
    for row, count in zip(numbers['categories'], counts.tolist(), strict=True):
        assert row['instances'] == dict(annotated=count, uniform=2 * count)
        assert row['images']['uniform'] == 2 * row['images']['annotated']
    assert numbers['variants']['uniform']['images'] == 2 * IMAGES
    assert sum(numbers['variants']['uniform']['instance_share'].values()) == pytest.approx(100)


def test_balancing_shows_more_of_the_tail(config_file, tmp_path, capsys):
    numbers = sample(config_file, tmp_path, '--out-dir', tmp_path, '--epochs', 3)
    variants = numbers['variants']
    rare = [name for name in numbers['categories'] if name['group'] == 'r']
    assert rare
    shown = {v: sum(row['instances'][v] for row in rare) for v in variants}
    assert shown['uniform'] < shown['rfs'] < min(shown['rfs-copy-paste'], shown['rfs-mosaic'])
    shares = {name: row['instance_share']['r'] for name, row in variants.items()}
    assert shares['uniform'] < shares['rfs'] < shares['rfs-copy-paste']
    assert variants['rfs-mosaic']['instances'] > 1.5 * variants['rfs']['instances']
    # The config mixes nothing: it is the second variant, with the same random numbers.
    assert variants['config'] == variants['rfs']
    printed = capsys.readouterr().out
    assert 'rfs-copy-paste' in printed and numbers['categories'][0]['name'] in printed
    picture = np.asarray(Image.open(tmp_path / 'pipeline.png').convert('RGB')).astype(int)
    for name in set(COLOURS) - {'config'}:
        colour = [int(COLOURS[name][i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(picture - colour).sum(axis=2) < 12).sum() > 50, name


def test_workers_do_not_change_the_counts_but_the_seed_does(config_file, tmp_path):
    options = ('--variants', 'rfs-copy-paste', '--epochs', 1.5)
    alone = sample(config_file, tmp_path, *options)
    assert alone == sample(config_file, tmp_path, *options, '--workers', 2)
    assert alone['categories'] != sample(config_file, tmp_path, *options, '--seed', 1)['categories']
    epoch = sample(config_file, tmp_path, '--variants', 'rfs')['variants']['rfs']['images']
    assert alone['variants']['rfs-copy-paste']['images'] == epoch + -(-epoch // 2)


def test_settings_on_the_command_line_replace_those_of_the_config(config_file, tmp_path):
    setting = 'train_dataloader.sampler.repeat_threshold=0'
    numbers = sample(config_file, tmp_path, '--variants', 'config', '--cfg-options', setting)
    assert numbers['variants']['config']['images'] == IMAGES


def test_an_interrupt_leaves_no_file(config_file, tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline_statistics.Labels, '__getitem__', interrupt)
    with pytest.raises(SystemExit, match='130'):
        sample(config_file, tmp_path / 'out', '--out-dir', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    assert capsys.readouterr().err.splitlines()[-1] == 'interrupted'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--epochs', '0'], '--epochs 0 must be larger than 0'),
        (['--workers', '-1'], '--workers -1 must not be negative'),
        (['--config', 'no.py'], 'config no.py does not exist'),
        (['--cfg-options', 'train_dataloader.dataset.data_root=nowhere'], 'nowhere'),
    ],
)
def test_what_the_user_can_mend_is_one_line(config_file, capsys, arguments, message):
    with pytest.raises(SystemExit, match='1'):
        main(['--config', str(config_file), *arguments])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('error: ') and message in last


@pytest.mark.parametrize('arguments', [[], ['ann.json', '--config', 'config.py']])
def test_either_a_file_or_a_config_is_asked_for(arguments, capsys):
    with pytest.raises(SystemExit, match='2'):
        main(arguments)
    assert 'either an annotation file or' in capsys.readouterr().err
