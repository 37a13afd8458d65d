import dataclasses

import numpy as np
import pytest

from plugins.evaluation.engine import (
    COCO,
    Request,
    ResultsError,
    accumulate,
    accumulate_pools,
    evaluate,
    in_groups,
    keep_per_category,
    keep_reranked,
    keep_subset,
    match,
)
from tests.evaluation.engine.plain_records import ground_truth_of, load, results_of


@pytest.fixture(scope='module')
def case(shared):
    folder = shared / 'golden/eval'
    counts = load(folder / 'lvis_v05_train_counts.json')['instance_count']
    ground_truth = ground_truth_of(load(folder / 'ties.gt.json.gz'), counts)
    entries = load(folder / 'ties.dt.json.gz')
    return ground_truth, results_of(entries, ground_truth), entries


def test_all_protocols_together_equal_each_alone(case):
    ground_truth, results, _ = case
    everything = Request(
        iou_types=('segm', 'bbox', 'boundary'), max_dets=(300, 20), dets_per_class=(10_000, 15),
        rerank=(15,), subsets=('r', 'cf'), bins='lvis', per_category=True,
    )  # fmt: skip
    together = evaluate(ground_truth, results, everything)
    assert set(together['segm']) == {
        'old@300', 'old@20', 'bins@300', 'bins@20', 'fixed@10000', 'fixed@15', 'pool@10000',
        'pool@15', 'rerank15@300', 'rerank15@20', 'subset-r@300', 'subset-cf@300', 'subset-r@20',
        'subset-cf@20', 'per_category',
    }  # fmt: skip
    for iou_type in everything.iou_types:
        alone = evaluate(
            ground_truth,
            results,
            Request(iou_types=(iou_type,), max_dets=(20,), dets_per_class=(), pool=False),
        )
        assert set(alone[iou_type]) == {'old@20'}
        assert alone[iou_type]['old@20'] == together[iou_type]['old@20']


def test_a_subset_is_what_remains_without_the_other_categories(case):
    ground_truth, results, entries = case
    matches = match(ground_truth, results)
    rare = in_groups(ground_truth.frequency, 'rc')
    keep = keep_subset(matches, rare, 10)
    chosen = [
        entry
        for entry, category in zip(entries, results.category, strict=True)
        if category >= 0 and rare[category]
    ]
    alone = evaluate(
        ground_truth, results_of(chosen, ground_truth), Request(max_dets=(10,), dets_per_class=())
    )
    curves = accumulate(matches, keep)
    defined = curves.recall[0, :, 0] > -1
    ours = curves.precision[:, :, defined & rare, 0].mean()
    weights = [(ground_truth.frequency[defined] == ord(f)).sum() for f in 'rc']
    values = [alone['segm']['old@10'][f'AP{f}'] for f in 'rc']
    assert ours == pytest.approx(np.average(values, weights=weights), abs=1e-12)
    assert not keep[~rare[matches.category]].any()


@pytest.mark.parametrize('letters', ['r', 'f', 'rc'])
def test_subset_averages_its_own_categories_only(case, letters):
    ground_truth, results, entries = case
    request = Request(max_dets=(10,), dets_per_class=(), subsets=(letters,))
    found = evaluate(ground_truth, results, request)['segm'][f'subset-{letters}@10']
    chosen = in_groups(ground_truth.frequency, letters)
    kept = [
        entry
        for entry, category in zip(entries, results.category, strict=True)
        if category >= 0 and chosen[category]
    ]
    alone = evaluate(
        ground_truth, results_of(kept, ground_truth), Request(max_dets=(10,), dets_per_class=())
    )['segm']['old@10']
    if len(letters) == 1:
        assert found['AP'] == alone[f'AP{letters}']
    for letter in 'rcf':
        expected = alone[f'AP{letter}'] if letter in letters else -1
        assert found[f'AP{letter}'] == expected


def test_reranking_without_limits_is_the_plain_cap(case):
    ground_truth, results, _ = case
    matches = match(ground_truth, results)
    np.testing.assert_array_equal(keep_reranked(matches, -1, 20), matches.image_rank < 20)
    np.testing.assert_array_equal(keep_reranked(matches, 15, -1), keep_per_category(matches, 15))


def test_fixed_ap_ignores_a_rising_change_of_the_scores_of_a_category(case):
    ground_truth, results, _ = case
    scale = 1 + results.category.astype(np.float64)
    changed = dataclasses.replace(results, score=results.score**3 * scale + scale)
    request = Request(dets_per_class=(15,), max_dets=())
    first = evaluate(ground_truth, results, request)['segm']
    second = evaluate(ground_truth, changed, request)['segm']
    assert first['fixed@15'] == second['fixed@15']
    assert first['pool@15'] != second['pool@15']
    everywhere = dataclasses.replace(results, score=2 * results.score + 1)
    assert evaluate(ground_truth, everywhere, request)['segm'] == first


def test_a_category_that_is_neither_positive_nor_negative_does_not_count(case):
    ground_truth, results, _ = case
    n = len(ground_truth.category_ids)
    seen = set(
        zip(ground_truth.ann_image.tolist(), ground_truth.ann_category.tolist(), strict=True)
    )
    image = np.repeat(np.arange(len(ground_truth.image_ids)), np.diff(ground_truth.neg_offset))
    seen |= set(zip(image.tolist(), ground_truth.neg_category.tolist(), strict=True))
    foreign = next(k for k in range(n) if (0, k) not in seen)
    last = len(results) - 1
    more = {
        name: np.append(getattr(results, name), getattr(results, name)[last])
        for name in ('rle_offset', 'rle_length', 'rle_height', 'rle_width')
    }
    added = dataclasses.replace(
        results,
        image=np.append(results.image, np.int32(0)),
        category=np.append(results.category, np.int32(foreign)),
        score=np.append(results.score, 9.0),
        **more,
    )
    request = Request(max_dets=(-1,))
    assert evaluate(ground_truth, added, request) == evaluate(ground_truth, results, request)


def test_the_pool_of_one_category_is_that_category(case):
    ground_truth, results, _ = case
    matches = match(ground_truth, results)
    category = int(np.argmax(matches.n_gt[0]))
    keep = matches.category == category
    alone = np.zeros_like(matches.n_gt)
    alone[:, category] = matches.n_gt[:, category]
    one = dataclasses.replace(matches, n_gt=alone)
    expected = accumulate(matches, keep).precision[:, :, category, 0].mean()
    # Ties between images are resolved alike, so even the last bit agrees.
    assert accumulate_pools(one, keep, ground_truth.frequency)['AP'] == expected


def test_the_table_of_categories_holds_what_the_means_are_made_of(case):
    ground_truth, results, _ = case
    report = evaluate(ground_truth, results, Request(per_category=True, bins='lvis'))['segm']
    table = report['per_category']
    assert list(table) == [str(i) for i in ground_truth.category_ids.tolist()]
    for name in ('AP', 'APs', 'AP50', 'AP75'):
        values = [row['old@300'][name] for row in table.values() if row['old@300'][name] > -1]
        assert np.mean(values) == pytest.approx(report['old@300'][name], abs=1e-12)
    recalls = [row['fixed@10000']['AR'] for row in table.values() if row['instances']]
    assert np.mean(recalls) == pytest.approx(report['fixed@10000']['AR@10000'], abs=1e-12)
    assert sum(row['instances'] for row in table.values()) == len(ground_truth.ann_id)
    frequent = [r for r in table.values() if r['frequency'] == 'f' and r['instances']]
    assert np.mean([row['old@300']['AP'] for row in frequent]) == pytest.approx(
        report['old@300']['APf'], abs=1e-12
    )
    many = [row['old@300']['AP'] for row in table.values() if row['train_instances'] >= 1000]
    defined = [value for value in many if value > -1]
    assert report['bins@300']['AP4'] == pytest.approx(np.mean(defined), abs=1e-12)


def test_bins_without_counts_are_an_error(case):
    ground_truth, results, _ = case
    uncounted = dataclasses.replace(ground_truth, train_instances=None)
    with pytest.raises(ResultsError, match='bins need the training instances'):
        evaluate(uncounted, results, Request(bins='lvis'))


def test_nothing_to_evaluate_is_undefined():
    data = {
        'images': [{'id': 1, 'height': 5, 'width': 5}],
        'categories': [{'id': 1, 'name': 'a', 'frequency': 'r'}],
        'annotations': [],
    }
    empty = ground_truth_of(data)
    for rules in (COCO, Request().rules):
        report = evaluate(empty, results_of([], empty), Request(rules=rules, max_dets=(100,)))
        values = next(iter(report['segm'].values()))
        assert set(values.values()) == {-1.0}
