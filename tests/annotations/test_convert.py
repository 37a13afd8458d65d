import copy

import numpy as np
import pytest
from lvis import LVIS, LVISEval
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from plugins.annotations import (
    AnnotationError,
    convert_to_lvis,
    find_problems,
    read_annotations,
    verify_annotations,
    write_annotations,
)


def _codes(changes) -> dict[str, int]:
    return {change.code: change.count for change in changes}


def _image(data: dict, image_id: int) -> dict:
    return next(record for record in data['images'] if record['id'] == image_id)


def test_counts_and_groups_are_added(coco_data):
    lvis, changes = convert_to_lvis(coco_data, rare_max=0, common_max=1)
    assert changes == []
    found = [(c['image_count'], c['instance_count'], c['frequency']) for c in lvis['categories']]
    assert found == [(1, 2, 'c'), (2, 2, 'f'), (1, 1, 'c')]
    assert [c['synset'] for c in lvis['categories']] == ['spoon', 'fork', 'ladle']


def test_the_source_is_not_changed(coco_data):
    coco_data['annotations'][0]['id'] = 0
    coco_data['annotations'][1]['bbox'] = None
    before = copy.deepcopy(coco_data)
    convert_to_lvis(coco_data)
    assert coco_data == before


def test_every_absent_category_is_a_verified_negative(coco_data):
    lvis, _ = convert_to_lvis(coco_data)
    assert [record['neg_category_ids'] for record in lvis['images']] == [[9], [5], [5, 7, 9]]
    assert all(record['not_exhaustive_category_ids'] == [] for record in lvis['images'])


def test_a_crowd_moves_and_its_category_is_neither_negative_nor_exhaustive(coco_data):
    coco_data['annotations'][4]['iscrowd'] = 1
    lvis, changes = convert_to_lvis(coco_data)
    assert _codes(changes) == {'crowd-moved': 1}
    assert [record['id'] for record in lvis['annotations']] == [11, 12, 13, 14]
    assert [record['id'] for record in lvis['crowd_annotations']] == [15]
    assert _image(lvis, 2)['neg_category_ids'] == [5]
    assert _image(lvis, 2)['not_exhaustive_category_ids'] == [9]
    assert lvis['categories'][2]['instance_count'] == 0


def test_the_category_of_a_dropped_annotation_is_not_a_negative(coco_data):
    coco_data['annotations'][4]['segmentation'] = [[1, 2, 3]]
    lvis, changes = convert_to_lvis(coco_data)
    assert _codes(changes) == {'short-polygon-dropped': 1, 'degenerate': 1}
    assert _image(lvis, 2)['neg_category_ids'] == [5]
    assert _image(lvis, 2)['not_exhaustive_category_ids'] == [9]


def test_annotation_id_zero_is_renumbered(coco_data):
    for number, record in enumerate(coco_data['annotations']):
        record['id'] = number
    lvis, changes = convert_to_lvis(coco_data)
    assert _codes(changes) == {'ids-shifted': 5}
    assert [record['id'] for record in lvis['annotations']] == [1, 2, 3, 4, 5]


def test_repeated_annotation_ids_are_replaced(coco_data):
    coco_data['annotations'][3]['id'] = 11
    lvis, changes = convert_to_lvis(coco_data)
    assert _codes(changes) == {'id-repeated': 1}
    assert [record['id'] for record in lvis['annotations']] == [11, 12, 13, 16, 15]


def test_strays_and_nameless_images_are_dropped(coco_data):
    coco_data['annotations'][0]['image_id'] = 99
    coco_data['annotations'][1]['category_id'] = 99
    del coco_data['images'][1]['file_name']
    coco_data['images'].append(dict(coco_data['images'][0]))
    lvis, changes = convert_to_lvis(coco_data)
    assert _codes(changes) == {
        'repeated-image': 1,
        'nameless-image': 1,
        'unknown-image': 3,
        'unknown-category': 1,
    }
    assert [record['id'] for record in lvis['images']] == [1, 3]
    assert [record['id'] for record in lvis['annotations']] == [13]


def test_ambiguous_files_are_refused(coco_data):
    twice = copy.deepcopy(coco_data)
    twice['images'][1]['id'] = 1
    with pytest.raises(AnnotationError, match='image id 1 is used for two images'):
        convert_to_lvis(twice)
    for key, value in (('id', 5), ('name', 'spoon')):
        changed = copy.deepcopy(coco_data)
        changed['categories'][1][key] = value
        with pytest.raises(AnnotationError, match=f'category {key} .* occurs twice'):
            convert_to_lvis(changed)


def test_a_validation_file_gets_the_training_counts(coco_data):
    training = copy.deepcopy(coco_data)
    training['annotations'] = training['annotations'][:3]
    expected, _ = convert_to_lvis(training)
    for source in (training, expected):
        lvis, _ = convert_to_lvis(coco_data, frequency_from=source)
        assert lvis['categories'] == expected['categories']
        assert len(lvis['annotations']) == 5


def test_a_training_file_of_other_categories_is_refused(coco_data):
    training = copy.deepcopy(coco_data)
    training['categories'][1]['name'] = 'chopstick'
    with pytest.raises(AnnotationError, match="category 7 \\('fork'\\) is 'chopstick'"):
        convert_to_lvis(coco_data, frequency_from=training)


def test_a_federated_file_keeps_its_lists(lvis_data):
    lvis_data['images'][0]['neg_category_ids'] = [7, 9, 99]
    lvis_data['images'][1]['not_exhaustive_category_ids'] = [7]
    lvis, changes = convert_to_lvis(lvis_data)
    assert _codes(changes) == {'negative-removed': 1, 'unknown-listed': 1}
    assert [record['neg_category_ids'] for record in lvis['images']] == [[9], [], []]
    assert [record['not_exhaustive_category_ids'] for record in lvis['images']] == [[], [7], []]
    assert find_problems(lvis) == []


def test_converting_twice_changes_nothing(shared):
    source = read_annotations(shared / 'data/coco_small/annotations/instances_val.json')
    once, _ = convert_to_lvis(source)
    twice, changes = convert_to_lvis(once)
    assert changes == []
    assert twice == once


def test_taco_converts_and_keeps_its_own_counts(shared):
    path = shared / 'data/taco/annotations.json'
    source = read_annotations(path)
    lvis, changes = convert_to_lvis(source)
    assert _codes(changes) == {'box-clipped': 7, 'id-repeated': 2}
    assert len(lvis['annotations']) == len(source['annotations']) == 4784
    for record in lvis['categories']:
        mine = [a for a in source['annotations'] if a['category_id'] == record['id']]
        assert record['instance_count'] == len(mine)
        assert record['image_count'] == len({a['image_id'] for a in mine})
    assert lvis['images'][0]['id'] == 0
    assert max(record['instance_count'] for record in lvis['categories']) == 667
    verify_annotations(lvis, path)


def test_rotated_boxes_of_lvis_v05_are_computed_from_the_masks(shared):
    lvis, changes = convert_to_lvis(read_annotations(shared / 'golden/eval/lvis_val_100.json'))
    assert _codes(changes) == {'box-recomputed': 13}
    assert find_problems(lvis, thorough=True) == []


def _detections(annotations: list[dict], category_ids: list[int]) -> list[dict]:
    """Shifted boxes of all annotations, a part under a wrong category, crowds included."""
    rng = np.random.default_rng(5)
    results = []
    for record in annotations:
        for _ in range(2):
            x, y, w, h = record['bbox']
            dx, dy, dw, dh = rng.normal(0, 0.15, 4) * [w, h, w, h]
            category = record['category_id'] if rng.random() < 0.8 else rng.choice(category_ids)
            results.append(
                {
                    'image_id': record['image_id'],
                    'category_id': int(category),
                    'bbox': [x + dx, y + dy, abs(w + dw) + 1, abs(h + dh) + 1],
                    'score': float(rng.random()),
                }
            )
    return results


def test_lvis_evaluation_equals_exhaustive_coco_evaluation(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(np, 'float', float, raising=False)  # lvis 0.5.3 predates numpy 1.24
    source = shared / 'data/coco_small/annotations/instances_val.json'
    data = read_annotations(source)
    category_ids = sorted(record['id'] for record in data['categories'])
    results = _detections(data['annotations'], category_ids)
    write_annotations(tmp_path / 'lvis.json', convert_to_lvis(data)[0])

    lvis_eval = LVISEval(LVIS(str(tmp_path / 'lvis.json')), copy.deepcopy(results), 'bbox')
    lvis_eval.evaluate()
    lvis_eval.accumulate()
    ours = lvis_eval.eval['precision'][:, :, :, 0]

    ground_truth = COCO(str(source))
    coco_eval = COCOeval(ground_truth, ground_truth.loadRes(results), 'bbox')
    coco_eval.params.maxDets = [300]
    coco_eval.evaluate()
    coco_eval.accumulate()
    theirs = coco_eval.eval['precision'][:, :, :, 0, 0]

    crowded = {record['category_id'] for record in data['annotations'] if record['iscrowd']}
    is_crowded = np.isin(category_ids, list(crowded))
    has_truth = theirs.max(axis=(0, 1)) > -1
    clean = has_truth & ~is_crowded
    assert clean.sum() > 25
    assert theirs[:, :, clean].mean() > 0.1
    np.testing.assert_allclose(ours[:, :, clean], theirs[:, :, clean], atol=1e-12)
    # On a crowd COCO ignores detections inside the region, LVIS all unmatched ones of the image.
    assert (is_crowded & has_truth).any()
    gain = (ours - theirs)[:, :, is_crowded & has_truth].mean(axis=(0, 1))
    assert (gain >= -1e-12).all()
