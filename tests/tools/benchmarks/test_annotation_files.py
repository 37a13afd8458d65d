"""Annotation files of any size, and what is measured on them."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from plugins.annotations import find_problems, image_categories, read_annotations
from tools.benchmarks.annotation_files import category_names, write_annotation_file
from tools.benchmarks.items.annotations import (
    FILTER,
    has_same_records,
    load_ours,
    load_stock,
    repeat_ours,
    repeat_stock,
)


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    return write_annotation_file(tmp_path_factory.mktemp('files'), 1200)


@pytest.fixture(scope='module')
def data(path):
    return read_annotations(path)


def test_file_is_without_fault_and_numbered(data):
    assert find_problems(data) == []
    assert len(data['images']) == 1200
    assert [a['id'] for a in data['annotations']] == list(range(1, len(data['annotations']) + 1))
    owners = [a['image_id'] for a in data['annotations']]
    assert owners != sorted(owners)


def test_statistics_are_those_of_lvis(data):
    annotations = data['annotations']
    size = {image['id']: image['width'] * image['height'] for image in data['images']}
    share = [a['bbox'][2] * a['bbox'][3] / size[a['image_id']] for a in annotations]
    assert np.median(share) == pytest.approx(0.005, rel=0.15)
    assert np.mean(share) == pytest.approx(0.036, rel=0.15)
    assert np.percentile(share, 90) == pytest.approx(0.086, rel=0.15)
    points = [sum(map(len, a['segmentation'])) / 2 for a in annotations]
    assert np.mean(points) == pytest.approx(34, rel=0.05)
    assert np.mean([len(a['segmentation']) for a in annotations]) == pytest.approx(1.16, rel=0.03)
    assert len(annotations) / 1200 == pytest.approx(12.7, rel=0.08)
    per_image = np.diff(image_categories(data).pointer)
    assert per_image.mean() == pytest.approx(3.6, rel=0.1)
    images = np.bincount(image_categories(data).category, minlength=len(category_names()))
    # The most frequent category is in 2 % of the images of LVIS, and a third is in 1 of 10,000.
    assert 0.015 < images.max() / 1200 < 0.05
    assert 0.3 < (images == 0).mean() < 0.6


def test_same_arguments_give_the_same_bytes_and_another_seed_does_not(tmp_path):
    digests = [
        hashlib.sha256(write_annotation_file(tmp_path / folder, 8, seed).read_bytes()).hexdigest()
        for folder, seed in (('a', 0), ('b', 0), ('c', 1))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_blocks_without_objects_leave_valid_json(tmp_path, monkeypatch):
    monkeypatch.setattr('tools.benchmarks.annotation_files.BLOCK', 1)
    monkeypatch.setattr('tools.benchmarks.annotation_files._MEAN_OBJECTS', 0.8)
    data = read_annotations(write_annotation_file(tmp_path, 12))
    per_image = np.bincount([a['image_id'] // 3 for a in data['annotations']], minlength=12)
    assert per_image.min() == 0 < per_image.max()


def test_interrupted_file_is_not_kept(tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('tools.benchmarks.annotation_files._draw_image', interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_annotation_file(tmp_path, 3)
    assert list(tmp_path.iterdir()) == []


def test_benchmarks_compare_equal_things_and_notice_a_difference(path):
    settings = dict(ann_file=str(path), data_prefix=dict(img='train'), filter_cfg=FILTER)
    ours, stock = load_ours(settings, cache_dir=False), load_stock(settings)
    datasets = dict(ours=ours[0], stock=stock[0])
    lists = repeat_ours(datasets), repeat_stock(datasets)
    assert lists[0] == lists[1] and len(lists[0]) > len(ours[0])
    part = [ours[0].get_subset([1, *range(1, len(ours[0]))])]
    assert has_same_records(ours, stock)
    assert not has_same_records(part, [datasets['stock']])


def test_commands_write_a_file_and_time_a_rank(tmp_path, root):
    script = root / 'tools' / 'benchmarks' / 'annotation_files.py'
    command = [sys.executable, str(script), str(tmp_path), '--scale', '0.0002']
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    path = run.stdout.strip()
    script = root / 'tools' / 'benchmarks' / 'annotation_startup.py'
    command = [sys.executable, str(script), path, '--ranks', '1']
    run = subprocess.run(
        [*command, '--cache-dir', str(tmp_path / 'cache')], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    outcome = json.loads(run.stdout)
    assert outcome['images'] == 20 and outcome['peak_mb'] > 0
    assert len(list((tmp_path / 'cache').glob('*.columns'))) == 1
