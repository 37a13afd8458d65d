import json
from collections import Counter

import numpy as np
import pytest

from plugins.annotations import (
    AnnotationError,
    exponential_targets,
    listed_targets,
    make_coco_lt,
    read_annotations,
    verify_annotations,
)


@pytest.fixture(scope='module')
def coco(shared) -> dict:
    return read_annotations(shared / 'data/coco_small/annotations/instances_train.json')


def test_the_head_stays_whole_and_the_tail_shrinks_by_a_constant_factor():
    counts = np.array([1000, 3000, 500, 800, 700])
    targets = exponential_targets(counts, head=2, tail_count=8)
    mu = (8 / 1000) ** (1 / 3)
    assert targets.tolist() == [1000, 3000, 8, round(1000 * mu), round(1000 * mu**2)]


def test_no_category_gets_more_than_it_has():
    assert exponential_targets(np.array([100, 3, 2, 1]), 1, 2).tolist() == [100, 3, 2, 1]


def test_the_released_counts_lie_near_the_curve(shared):
    table = json.loads((shared / 'lvis/coco_lt_category_counts.json').read_text())['categories']
    released = np.sort([row['instance_count'] for row in table])[::-1]
    full = np.maximum(released, released[19])
    targets = np.sort(exponential_targets(full))[::-1]
    assert targets[:20].tolist() == released[:20].tolist()
    assert targets[-1] == released[-1] == 11
    distance = np.log(targets[32:79] / released[32:79])
    assert np.sqrt((distance**2).mean()) < 0.4


@pytest.mark.parametrize(('head', 'tail_count'), [(0, 1), (3, 1), (2, 0), (2, 9)])
def test_unusable_shapes_are_refused(head, tail_count):
    with pytest.raises(ValueError, match=r'head=|tail_count='):
        exponential_targets(np.array([10, 8, 6]), head, tail_count)


def test_targets_are_met_and_the_result_can_be_trained_on(coco):
    sampled, _ = make_coco_lt(coco, seed=3, tail_count=2)
    real = Counter(r['category_id'] for r in coco['annotations'] if not r['iscrowd'])
    ids = sorted(record['id'] for record in coco['categories'])
    targets = exponential_targets(np.array([real[c] for c in ids]), tail_count=2)
    kept = Counter(record['category_id'] for record in sampled['annotations'])
    assert [kept[c] for c in ids] == targets.tolist()
    assert {c['id']: c['instance_count'] for c in sampled['categories']} == dict(kept)
    assert {r['image_id'] for r in sampled['annotations']} == {r['id'] for r in sampled['images']}
    verify_annotations(sampled, 'sampled.json')


def test_a_seed_decides_the_sample(coco):
    first, again, other = (
        {r['id'] for r in make_coco_lt(coco, seed, tail_count=2)[0]['annotations']}
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_dropped_object_is_never_a_verified_negative(coco):
    sampled, _ = make_coco_lt(coco, seed=0, tail_count=2)
    true = {(r['image_id'], r['category_id']) for r in coco['annotations']}
    left = Counter((r['image_id'], r['category_id']) for r in sampled['annotations'])
    full = Counter((r['image_id'], r['category_id']) for r in coco['annotations'])
    partly = 0
    for record in sampled['images']:
        for category in record['neg_category_ids']:
            assert (record['id'], category) not in true
        for pair, count in left.items():
            if pair[0] == record['id'] and count < full[pair]:
                assert pair[1] in record['not_exhaustive_category_ids']
                partly += 1
    assert partly > 10


def test_listed_counts_are_matched_by_name(coco):
    table = {
        'categories': [
            {'name': r['name'], 'instance_count': 5 if r['name'] == 'person' else 10**6}
            for r in coco['categories']
        ]
    }
    sampled, _ = make_coco_lt(coco, seed=0, counts=table)
    kept = {record['name']: record['instance_count'] for record in sampled['categories']}
    assert kept['person'] == 5
    others = sum(not r['iscrowd'] and r['category_id'] != 1 for r in coco['annotations'])
    assert sum(kept.values()) == 5 + others


def test_a_table_without_a_category_is_refused():
    categories = [{'id': 1, 'name': 'spoon'}, {'id': 2, 'name': 'fork'}]
    table = {'categories': [{'name': 'spoon', 'instance_count': 1}]}
    with pytest.raises(AnnotationError, match="lack 1 of 2 categories, the first is 'fork'"):
        listed_targets(categories, table)
    for wrong in ([], {}, {'categories': [{'name': 'spoon'}]}, None):
        with pytest.raises(AnnotationError, match='the counts need'):
            listed_targets(categories, wrong)
