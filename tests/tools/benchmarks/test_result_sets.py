"""Result sets that are grown from a sample."""

import hashlib
import json
import subprocess
import sys
from collections import Counter

import pytest
from pycocotools import mask as mask_api

from tools.benchmarks.result_sets import ID_STEP, result_set, write_result_set


@pytest.fixture(scope='module')
def sample(tmp_path_factory):
    """Two annotated images and one without; two categories in the first, of three."""
    path = tmp_path_factory.mktemp('sample') / 'sample.json'
    path.write_text(json.dumps(
        dict(
            info=dict(note='{"kept": as it is}'),
            images=[
                dict(id=9, height=100, width=80, neg_category_ids=[7],
                     not_exhaustive_category_ids=[]),
                dict(id=4, height=60, width=120, neg_category_ids=[],
                     not_exhaustive_category_ids=[2]),
                dict(id=5, height=50, width=50, neg_category_ids=[2],
                     not_exhaustive_category_ids=[]),
            ],
            annotations=[
                annotation(1, 9, 2, 20, 30, 40, 50),
                annotation(2, 4, 5, 5, 5, 60, 20),
                # Smaller than a pixel: moved about, it would cover none.
                annotation(3, 9, 5, 70.4, 90.4, 0.2, 0.2),
            ],
            categories=[dict(id=c, name=str(c), frequency='f') for c in (7, 5, 2)],
        )
    ))  # fmt: skip
    return path


def annotation(number, image, category, x, y, w, h) -> dict:
    ring = [x, y, x + w, y, x + w, y + h, x, y + h]
    return dict(
        id=number, image_id=image, category_id=category, area=w * h, bbox=[x, y, w, h],
        segmentation=[ring],
    )  # fmt: skip


@pytest.fixture(scope='module')
def grown(sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp('sets')
    files = write_result_set(sample, folder, images=7, detections=40)
    return files, json.loads(files.ground_truth.read_text()), json.loads(files.results.read_text())


def test_images_and_annotations_are_those_of_the_sample_under_new_ids(grown, sample):
    _, truth, _ = grown
    original = json.loads(sample.read_text())
    assert [image['id'] for image in truth['images']] == [
        9, 4, 5, 9 + ID_STEP, 4 + ID_STEP, 5 + ID_STEP, 9 + 2 * ID_STEP
    ]  # fmt: skip
    assert truth['info'] == original['info']
    assert truth['categories'] == original['categories']
    owners = Counter(a['image_id'] for a in truth['annotations'])
    assert owners == {
        9: 2, 4: 1, 9 + ID_STEP: 2, 4 + ID_STEP: 1, 9 + 2 * ID_STEP: 2
    }  # fmt: skip
    assert [a['id'] for a in truth['annotations']] == list(range(1, 9))
    ids = ('id', 'image_id')
    for made in truth['images'] + truth['annotations']:
        rest = {key: value for key, value in made.items() if key not in ids}
        assert any(
            rest == {key: value for key, value in source.items() if key not in ids}
            for source in original['images'] + original['annotations']
        )


def test_every_image_gets_its_detections(grown):
    _, truth, results = grown
    counts = Counter(result['image_id'] for result in results)
    assert counts == {image['id']: 40 for image in truth['images']}
    known = {category['id'] for category in truth['categories']}
    assert {result['category_id'] for result in results} == known
    assert all(1e-4 <= result['score'] <= 1 for result in results)


def test_masks_fit_their_image_and_none_is_empty(grown):
    _, truth, results = grown
    size = {image['id']: [image['height'], image['width']] for image in truth['images']}
    for result in results:
        assert result['segmentation']['size'] == size[result['image_id']]
        assert mask_api.area(result['segmentation']) > 0


def test_some_detections_match_and_most_do_not(grown):
    _, truth, results = grown
    large = {(a['image_id'], a['category_id']): a for a in truth['annotations'] if a['area'] > 1}
    overlaps = []
    for result in results:
        target = large.get((result['image_id'], result['category_id']))
        if target is not None:
            height, width = result['segmentation']['size']
            code = mask_api.merge(mask_api.frPyObjects(target['segmentation'], height, width))
            overlaps.append(mask_api.iou([result['segmentation']], [code], [0]).item())
    hits = sum(overlap >= 0.5 for overlap in overlaps)
    assert 0.1 * len(overlaps) < hits < 0.6 * len(overlaps)


def test_copies_of_an_image_differ(grown):
    _, _, results = grown
    scores = [{r['score'] for r in results if r['image_id'] == 9 + c * ID_STEP} for c in range(3)]
    assert not scores[0] & scores[1] and not scores[1] & scores[2]


def test_same_arguments_give_the_same_bytes_and_another_seed_does_not(sample, tmp_path):
    digests = [
        hashlib.sha256(files.results.read_bytes()).hexdigest()
        for folder, seed in (('a', 0), ('b', 0), ('c', 1))
        for files in [
            write_result_set(sample, tmp_path / folder, images=4, detections=20, seed=seed)
        ]
    ]
    assert digests[0] == digests[1] != digests[2]


def test_larger_set_begins_with_the_smaller_one(sample, tmp_path):
    small, large = (
        write_result_set(sample, tmp_path, images=images, detections=5).results.read_text()
        for images in (2, 5)
    )
    assert large.startswith(small[:-1])


def test_finished_set_is_kept_and_an_interrupted_one_is_not(sample, tmp_path, monkeypatch):
    files = result_set(tmp_path, 2, 5)
    with monkeypatch.context() as patch:
        patch.setattr('tools.benchmarks.jittered_masks.MaskStock.draw', interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_result_set(sample, tmp_path, images=2, detections=5)
    assert [path.name for path in tmp_path.iterdir()] == [files.ground_truth.name]
    write_result_set(sample, tmp_path, images=2, detections=5)
    files.results.write_text('[]')
    write_result_set(sample, tmp_path, images=2, detections=5)
    assert files.results.read_text() == '[]'


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_set_without_detections_is_an_empty_list(sample, tmp_path):
    files = write_result_set(sample, tmp_path, images=3, detections=0)
    assert json.loads(files.results.read_text()) == []


def test_command_prints_the_files_and_one_line_on_error(sample, tmp_path, root):
    script = root / 'tools' / 'benchmarks' / 'result_sets.py'
    command = [sys.executable, str(script), str(sample), str(tmp_path), '--images', '2']
    run = subprocess.run([*command, '--detections', '3'], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    files = result_set(tmp_path, 2, 3)
    assert run.stdout.split() == [str(files.ground_truth), str(files.results)]
    empty = tmp_path / 'empty.json'
    empty.write_text(json.dumps(dict(images=[], annotations=[], categories=[])))
    command = [sys.executable, str(script), str(empty), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines() == [
        f'error: {empty}: has no images or no annotations; nothing can be grown from it'
    ]


def test_real_sample_keeps_half_of_its_detections_in_the_federated_filter(shared, tmp_path):
    sample = shared / 'golden' / 'eval' / 'lvis_val_100.json'
    files = write_result_set(sample, tmp_path, images=100, detections=60)
    truth, results = (json.loads(file.read_text()) for file in (files.ground_truth, files.results))
    evaluated = {(a['image_id'], a['category_id']) for a in truth['annotations']}
    evaluated |= {(i['id'], c) for i in truth['images'] for c in i['neg_category_ids']}
    kept = sum((result['image_id'], result['category_id']) in evaluated for result in results)
    assert 0.45 < kept / len(results) < 0.6
