"""Every number of the public evaluators on the golden cases."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from plugins.evaluation.engine import (
    COCO,
    Request,
    accumulate,
    evaluate,
    keep_per_image,
    match,
)
from tests.evaluation.engine.plain_records import ground_truth_of, load, results_of

TOLERANCE = 1e-12
CASES = {
    'basic': ['segm/drop_bbox'],
    'ties': ['segm/drop_bbox'],
    'cap300': ['segm/drop_bbox'],
    'dets1000': ['segm/drop_bbox'],
    'empty_masks': ['segm/drop_bbox'],
    'not_exhaustive': ['segm/drop_bbox'],
    'mask_and_bbox': ['segm/keep_bbox', 'segm/drop_bbox', 'bbox/keep_bbox'],
    'bbox_only': ['bbox/keep_bbox', 'segm/keep_bbox'],
    'mixed_formats': ['segm/keep_bbox'],
    'few_categories': ['segm/drop_bbox'],
    'area_limits': ['segm/drop_bbox'],
    'borders_holes': ['segm/drop_bbox'],
    'perfect': ['segm/drop_bbox'],
    'no_valid_detection': ['segm/drop_bbox'],
    'ignore_flags': ['segm/drop_bbox'],
    'crowded': ['segm/drop_bbox'],
}
VARIANTS = [(case, variant) for case, variants in CASES.items() for variant in variants]
KINDS = {
    'lvis': 'old',
    'boundary': 'old',
    'fixed': 'fixed',
    'boundary_fixed': 'fixed',
    'pooled': 'pool',
    'bins': 'bins',
}


@cache
def read(folder: Path, case: str) -> tuple:
    counts = load(folder / 'lvis_v05_train_counts.json')['instance_count']
    ground_truth = ground_truth_of(load(folder / f'{case}.gt.json.gz'), counts)
    return ground_truth, load(folder / f'{case}.dt.json.gz')


@cache
def evaluated(folder: Path, case: str, variant: str) -> tuple[dict, dict]:
    """Our report of all that is expected, and what is expected."""
    expected = load(folder / f'{case}.expected.json')['expected'][variant]
    ground_truth, entries = read(folder, case)
    iou_type, boxes = variant.split('/')
    results = results_of(entries, ground_truth, area_from_box=boxes == 'keep_bbox')
    caps = {
        kind: tuple({int(key.split('@')[1]) for key in expected if re.match(f'{kind}@', key)})
        for kind in ('lvis', 'fixed', 'boundary')
    }
    request = Request(
        iou_types=('segm', 'boundary') if iou_type == 'segm' else ('bbox',),
        max_dets=tuple({*caps['lvis'], *caps['boundary']}),
        dets_per_class=caps['fixed'],
        rerank=tuple(int(k) for k in re.findall(r'rerank(\d+)', ' '.join(expected))),
        bins='lvis',
        per_category=True,
    )
    return evaluate(ground_truth, results, request), expected


def our_key(key: str) -> str:
    kind, _, cap = key.partition('@')
    return f'{KINDS.get(kind, kind)}@{cap}'


def our_name(name: str, key: str) -> str:
    name = name.replace('AP-pooled-all', 'AP').replace('AP-pooled-', 'AP')
    return name.replace('@-1', '@' + key.split('@')[1])


@pytest.fixture
def golden(shared):
    return shared / 'golden/eval'


@pytest.mark.parametrize(('case', 'variant'), VARIANTS)
def test_every_summary_equals_the_reference(golden, case, variant):
    report, expected = evaluated(golden, case, variant)
    checked = 0
    for key, values in expected.items():
        if '@' not in key or key.startswith('simcal'):
            continue
        block = report['boundary' if key.startswith('boundary') else variant.split('/')[0]]
        for name, value in values.items():
            ours = block[our_key(key)][our_name(name, key)]
            wanted = -1 if value is None else value
            assert ours == pytest.approx(wanted, abs=TOLERANCE), f'{key} {name}'
            checked += 1
    assert checked > 20


@pytest.mark.parametrize(('case', 'variant'), VARIANTS)
def test_every_category_equals_the_reference(golden, case, variant):
    report, expected = evaluated(golden, case, variant)
    iou_type = variant.split('/')[0]
    cap = next(key for key in expected if key.startswith('lvis')).split('@')[1]
    blocks = {
        'per_category': (iou_type, f'old@{cap}'),
        'per_category_fixed': (iou_type, 'fixed@10000'),
        'per_category_boundary': ('boundary', f'old@{cap}'),
    }
    for key, (block, protocol) in blocks.items():
        if key not in expected:
            continue
        table = report[block]['per_category']
        defined = {k: row[protocol]['AP'] for k, row in table.items() if row[protocol]['AP'] > -1}
        assert defined == pytest.approx(expected[key], abs=TOLERANCE)
    table = report[iou_type]['per_category']
    for category_id, values in expected['per_category_area'].items():
        row = table[category_id][f'old@{cap}']
        ours = [row[name] for name in ('AP', 'APs', 'APm', 'APl')]
        assert ours == pytest.approx(values, abs=TOLERANCE), category_id


@pytest.mark.parametrize(('case', 'variant'), VARIANTS)
def test_final_recalls_equal_the_reference(golden, case, variant):
    ground_truth, entries = read(golden, case)
    _, expected = evaluated(golden, case, variant)
    iou_type, boxes = variant.split('/')
    results = results_of(entries, ground_truth, area_from_box=boxes == 'keep_bbox')
    cap = int(next(key for key in expected if key.startswith('lvis')).split('@')[1])
    matches = match(ground_truth, results, iou_type=iou_type)
    recall = accumulate(matches, keep_per_image(matches, cap)).recall[:, :, 0]
    index = {str(c): i for i, c in enumerate(ground_truth.category_ids.tolist())}
    for category_id, values in expected['per_category_recall'].items():
        np.testing.assert_allclose(recall[:, index[category_id]], values, atol=TOLERANCE)


def test_an_empty_list_counts_like_one_irrelevant_result(golden):
    ground_truth, _ = read(golden, 'no_valid_detection')
    expected = load(golden / 'no_valid_detection.expected.json')['expected']['segm/drop_bbox']
    report = evaluate(ground_truth, results_of([], ground_truth), Request())
    assert report['segm']['old@300'] == pytest.approx(expected['lvis@300'], abs=TOLERANCE)


@pytest.mark.parametrize('iou_type', ['segm', 'bbox', 'boundary'])
def test_coco_rules_equal_the_reference(golden, iou_type):
    reference = load(golden / 'coco_crowd.expected.json')
    counts = reference['train_instance_count']
    ground_truth = ground_truth_of(load(golden / 'coco_crowd.gt.json.gz'), counts)
    results = results_of(load(golden / 'coco_crowd.dt.json.gz'), ground_truth)
    request = Request(
        iou_types=(iou_type,), max_dets=(100,), dets_per_class=(), bins='coco-lt',
        per_category=True, rules=COCO,
    )  # fmt: skip
    report = evaluate(ground_truth, results, request)[iou_type]
    expected = reference['expected'][iou_type]
    assert report['coco@100'] == pytest.approx(expected['stats'], abs=TOLERANCE)
    for name, value in expected['coco_lt_bins'].items():
        assert report['bins@100'][name] == pytest.approx(value, abs=TOLERANCE)
    table = report['per_category']
    ours = {k: row['coco@100']['AP'] for k, row in table.items() if row['coco@100']['AP'] > -1}
    assert ours == pytest.approx(expected['per_category'], abs=TOLERANCE)
