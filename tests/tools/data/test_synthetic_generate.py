import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import cv2
import numpy as np
import pytest
from lvis import LVIS
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from tools.data.generate import main
from tools.data.synthetic import (
    SyntheticDataError,
    SyntheticOptions,
    generate_dataset,
    parts,
    pipeline,
)

OPTIONS = SyntheticOptions(
    categories=9,
    train_images=40,
    val_images=12,
    min_size=(96, 80),
    max_size=(128, 96),
    seed=5,
    instances_per_image=6.0,
)


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """A small set made by one process."""
    return generate_dataset(
        tmp_path_factory.mktemp('data') / 'set', OPTIONS, workers=1, progress=False
    )


@pytest.fixture(scope='module', params=['train', 'val'])
def split(request, dataset):
    path = dataset.train_annotations if request.param == 'train' else dataset.val_annotations
    return request.param, path, json.loads(path.read_text())


def all_files(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def corners(box_xywh):
    low, size = np.reshape(box_xywh, (2, 2))
    return np.array([low, low + size])


def test_fields_are_those_of_lvis_v1(split):
    name, _, data = split
    assert set(data) == {'info', 'licenses', 'categories', 'images', 'annotations'}
    assert set(data['images'][0]) == {
        *('id', 'height', 'width', 'coco_url', 'flickr_url', 'date_captured', 'license'),
        *('neg_category_ids', 'not_exhaustive_category_ids'),
    }
    assert set(data['annotations'][0]) == {
        *('id', 'image_id', 'category_id', 'bbox', 'area', 'segmentation')
    }
    assert set(data['categories'][0]) == {
        *('id', 'name', 'synset', 'synonyms', 'def'),
        *('frequency', 'image_count', 'instance_count'),
    }
    first = data['images'][0]
    assert first['coco_url'] == f'http://images.cocodataset.org/{name}2017/{first["id"]:012d}.jpg'
    assert data['info']['frequency_limits']['of_train_images'] == 40


def test_published_readers_load_the_files(split):
    _, path, data = split
    lvis, coco = LVIS(str(path)), COCO(str(path))
    assert len(lvis.get_img_ids()) == len(coco.getImgIds()) == len(data['images'])
    annotation = data['annotations'][0]
    assert np.array_equal(lvis.ann_to_mask(annotation), coco.annToMask(annotation))


def test_images_exist_in_the_stated_size(dataset, split):
    for image in split[2]['images']:
        path = dataset.root / '/'.join(image['coco_url'].split('/')[-2:])
        assert cv2.imread(str(path)).shape == (image['height'], image['width'], 3)
        assert 96 <= image['width'] <= 128 and 80 <= image['height'] <= 96


def test_area_and_box_agree_with_the_polygons(split):
    data = split[2]
    sizes = {image['id']: (image['height'], image['width']) for image in data['images']}
    excess = []
    for annotation in data['annotations']:
        height, width = sizes[annotation['image_id']]
        rle = mask_utils.merge(mask_utils.frPyObjects(annotation['segmentation'], height, width))
        assert annotation['area'] == mask_utils.area(rle) > 0
        points = np.concatenate(annotation['segmentation']).reshape(-1, 2)
        box = corners(annotation['bbox'])
        assert np.allclose(box, [points.min(axis=0), points.max(axis=0)], atol=0.011)
        assert np.all(box[0] >= 0) and np.all(box[1] <= (width + 0.01, height + 0.01))
        drawn = corners(mask_utils.toBbox(rle))
        # Positive where the box is larger; the tip of a star may be too thin to cover a pixel.
        excess.append(np.max([drawn[0] - box[0], box[1] - drawn[1]]))
        assert np.all(drawn[0] >= box[0] - 1) and np.all(drawn[1] <= box[1] + 1)
    assert np.quantile(excess, 0.9) <= 1
    assert max(excess) <= 4


def test_counts_are_those_of_the_annotations(dataset, split):
    data = split[2]
    instances = Counter(a['category_id'] for a in data['annotations'])
    pairs = {(a['image_id'], a['category_id']) for a in data['annotations']}
    images = Counter(category for _, category in pairs)
    train = json.loads(dataset.train_annotations.read_text())
    limits = train['info']['frequency_limits']
    for category, in_train in zip(data['categories'], train['categories'], strict=True):
        assert category['image_count'] == images[category['id']]
        assert category['instance_count'] == instances[category['id']] > 0
        count = in_train['image_count']
        group = 'r' if count <= limits['rare_at_most_images'] else 'c'
        group = 'f' if count > limits['common_at_most_images'] else group
        assert category['frequency'] == group


def test_federated_lists_are_consistent(split):
    data = split[2]
    present = {image['id']: set() for image in data['images']}
    for annotation in data['annotations']:
        present[annotation['image_id']].add(annotation['category_id'])
    negatives = Counter()
    for image in data['images']:
        assert not present[image['id']] & set(image['neg_category_ids'])
        assert set(image['not_exhaustive_category_ids']) <= present[image['id']]
        negatives.update(image['neg_category_ids'])
    assert set(negatives) == {category['id'] for category in data['categories']}


def test_not_exhaustive_images_show_more_than_they_annotate(dataset):
    train = json.loads(dataset.train_annotations.read_text())
    plans = {plan.image_id: plan for plan in pipeline.draw_plans(OPTIONS)[0].images(0, 40)}
    annotated = Counter((a['image_id'], a['category_id']) for a in train['annotations'])
    marked = [(i['id'], c) for i in train['images'] for c in i['not_exhaustive_category_ids']]
    assert marked
    for image_id, category in marked:
        plan = plans[image_id]
        shown = plan.instances[plan.categories.index(category)]
        assert 0 < annotated[image_id, category] < shown


def test_ids_are_unique_over_both_splits(dataset):
    both = [json.loads(p.read_text()) for p in (dataset.train_annotations, dataset.val_annotations)]
    for key in ('images', 'annotations'):
        ids = [record['id'] for data in both for record in data[key]]
        assert sorted(ids) == list(range(1, len(ids) + 1))


def test_default_set_has_all_frequency_groups_in_both_splits(tmp_path):
    options = SyntheticOptions(annotations_only=True)
    result = generate_dataset(tmp_path, options, workers=1, progress=False)
    for path in (result.train_annotations, result.val_annotations):
        categories = json.loads(path.read_text())['categories']
        groups = Counter(category['frequency'] for category in categories)
        assert min(groups[name] for name in 'rcf') >= 3
        assert min(category['instance_count'] for category in categories) > 0


def test_files_do_not_depend_on_the_number_of_workers(dataset, tmp_path):
    parallel = generate_dataset(tmp_path / 'set', OPTIONS, workers=2, progress=False)
    assert all_files(parallel.root) == all_files(dataset.root)


def test_annotations_are_the_same_without_pixels(dataset, tmp_path):
    options = SyntheticOptions(**{**OPTIONS.__dict__, 'annotations_only': True})
    bare = generate_dataset(tmp_path, options, workers=1, progress=False)
    assert not list(tmp_path.rglob('*.jpg'))
    for ours, theirs in (
        (bare.train_annotations, dataset.train_annotations),
        (bare.val_annotations, dataset.val_annotations),
    ):
        a, b = json.loads(ours.read_text()), json.loads(theirs.read_text())
        assert all(a[key] == b[key] for key in ('categories', 'images', 'annotations'))


def test_interrupted_run_resumes_and_ends_the_same(dataset, tmp_path, monkeypatch):
    made = []

    def make_two_chunks(chunk):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(chunk.number)
        return parts.make_chunk(chunk)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, 'make_chunk', make_two_chunks)
        with pytest.raises(KeyboardInterrupt):
            generate_dataset(tmp_path / 'set', OPTIONS, workers=1, progress=False)
    assert not list((tmp_path / 'set' / 'annotations').iterdir())
    again = []
    monkeypatch.setattr(
        pipeline, 'make_chunk', lambda chunk: again.append(chunk) or parts.make_chunk(chunk)
    )
    resumed = generate_dataset(tmp_path / 'set', OPTIONS, workers=1, progress=False)
    assert len(made) == 2 and len(again) == 2
    assert all_files(resumed.root) == all_files(dataset.root)


def _heed_ctrl_c():
    # Tests started in the background ignore it, and their children would do the same.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_stops_all_processes_with_one_line(root, tmp_path):
    command = [sys.executable, str(root / 'tools' / 'data' / 'generate.py'), str(tmp_path)]
    run = subprocess.Popen(
        [*command, '--train-images', '20000', '--workers', '2'],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_ctrl_c,
    )
    limit = time.monotonic() + 30
    while not list(tmp_path.glob('.parts/*.jsonl')) and time.monotonic() < limit:
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    errors = run.communicate(timeout=120)[1]
    assert run.returncode == 130
    assert 'the same command continues' in errors
    assert 'Traceback' not in errors
    assert list(tmp_path.glob('.parts/*.jsonl'))
    assert not list(tmp_path.glob('annotations/*'))


def test_finished_set_is_recognised_at_once(dataset):
    start = time.perf_counter()
    result = generate_dataset(dataset.root, OPTIONS, progress=False)
    assert result.was_there
    assert time.perf_counter() - start < 0.5


def test_other_options_in_the_same_folder_are_refused_unless_overwritten(tmp_path):
    small = {'categories': 3, 'train_images': 6, 'val_images': 4, 'annotations_only': True}
    run = {'workers': 1, 'progress': False}
    generate_dataset(tmp_path, SyntheticOptions(**small), **run)
    (tmp_path / 'mine.txt').write_text('stays')
    other = SyntheticOptions(**small, seed=1)
    with pytest.raises(SyntheticDataError, match=r'seed 0 instead of 1.*--overwrite'):
        generate_dataset(tmp_path, other, **run)
    result = generate_dataset(tmp_path, other, overwrite=True, **run)
    info = json.loads(result.train_annotations.read_text())['info']
    assert info['generator']['seed'] == 1
    assert (tmp_path / 'mine.txt').read_text() == 'stays'


@pytest.mark.parametrize('overwrite', [False, True])
def test_folder_of_somebody_else_is_never_touched(tmp_path, overwrite):
    photo = tmp_path / 'train2017' / '000000000001.jpg'
    photo.parent.mkdir()
    photo.write_text('a photo')
    with pytest.raises(SyntheticDataError, match='not made by this generator'):
        generate_dataset(tmp_path, OPTIONS, overwrite=overwrite, progress=False)
    assert photo.read_text() == 'a photo'


def test_command_writes_a_set_and_names_its_errors(root, tmp_path):
    command = [sys.executable, str(root / 'tools' / 'data' / 'generate.py'), str(tmp_path / 'a b')]
    sizes = ['--categories', '3', '--train-images', '6', '--val-images', '4', '--size', '96', '80']
    first = subprocess.run([*command, *sizes], cwd=tmp_path, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert len(list((tmp_path / 'a b' / 'train2017').glob('*.jpg'))) == 6
    second = subprocess.run([*command, *sizes], cwd=tmp_path, capture_output=True, text=True)
    assert 'exists, nothing to do' in second.stdout
    third = subprocess.run([*command], cwd=tmp_path, capture_output=True, text=True)
    assert third.returncode == 1
    assert re.fullmatch(r'error: .*choose another folder.*\n', third.stderr)


def test_wrong_number_of_sizes_is_an_error(tmp_path, capsys):
    assert main([str(tmp_path / 'out'), '--size', '96']) == 1
    assert 'takes 2 or 4 numbers' in capsys.readouterr().err


def test_help_states_the_defaults_of_the_options(capsys):
    with pytest.raises(SystemExit):
        main(['--help'])
    text = ' '.join(capsys.readouterr().out.split())
    defaults = SyntheticOptions()
    for name in ('categories', 'train_images', 'val_images', 'seed'):
        flag = '--' + name.replace('_', '-')
        default = getattr(defaults, name)
        assert re.search(rf'{flag} N [^(]*\(default: {default}\)', text), flag
    width, height = defaults.min_size
    assert f'(default: {width} {height})' in text
    assert f'{defaults.density[0]:g} at 192' in text
    assert f'{defaults.density[1]:g} to 12.7' in text
