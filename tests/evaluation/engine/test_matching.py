import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.evaluation.engine import (
    IOU_THRESHOLDS,
    Results,
    ResultsError,
    accumulate,
    keep_per_image,
    match,
    matching,
)
from tests.evaluation.engine.plain_records import ground_truth_of, load, results_of
from tests.evaluation.engine.random_sets import lvis_sets

QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ARRAYS = ('detection', 'category', 'image', 'score', 'image_rank', 'category_rank', 'tp', 'ignored')


@pytest.fixture(scope='module')
def ties(shared):
    folder = shared / 'golden/eval'
    data = load(folder / 'ties.gt.json.gz')
    return data, load(folder / 'ties.dt.json.gz')


def assert_equal(first, second):
    for name in (*ARRAYS, 'n_gt', 'category_offset', 'pool_order'):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def test_any_number_of_threads_and_chunks_gives_the_same(ties, monkeypatch):
    ground_truth = ground_truth_of(ties[0])
    results = results_of(ties[1], ground_truth)
    types = ('segm', 'boundary')
    whole = match(ground_truth, results, iou_type=types, threads=1)
    monkeypatch.setattr(matching, '_WORK_PER_CHUNK', 50)
    calls = []
    parts = match(
        ground_truth, results, iou_type=types, threads=3, progress=lambda *call: calls.append(call)
    )
    for name in types:
        assert_equal(whole[name], parts[name])
    assert len(calls) > 20
    assert calls[-1][0] == calls[-1][1]


def test_one_pass_for_several_types_equals_separate_passes(ties):
    ground_truth = ground_truth_of(ties[0])
    results = results_of(ties[1], ground_truth)
    together = match(ground_truth, results, iou_type=('boundary', 'bbox', 'segm'))
    assert list(together) == ['boundary', 'bbox', 'segm']
    for name, matches in together.items():
        assert_equal(matches, match(ground_truth, results, iou_type=name))


def test_the_order_of_images_and_categories_in_the_file_does_not_matter(ties):
    data, entries = ties
    shuffled = dict(data, images=data['images'][::-1], categories=data['categories'][::-1])
    first, second = ground_truth_of(data), ground_truth_of(shuffled)
    assert_equal(
        match(first, results_of(entries, first)), match(second, results_of(entries, second))
    )


def test_matches_are_sorted_by_category_score_and_image(ties):
    ground_truth = ground_truth_of(ties[0])
    results = results_of(ties[1], ground_truth)
    matches = match(ground_truth, results)
    keys = (matches.detection, matches.image, -matches.score, matches.category)
    np.testing.assert_array_equal(np.lexsort(keys), np.arange(len(matches)))
    pool = (matches.category, matches.image, -matches.score)
    expected = np.lexsort((matches.detection, *pool))
    np.testing.assert_array_equal(matches.pool_order, expected)
    np.testing.assert_array_equal(matches.score, results.score[matches.detection])
    sizes = np.diff(matches.category_offset)
    np.testing.assert_array_equal(np.repeat(np.arange(len(sizes)), sizes), matches.category)


@QUICK
@given(lvis_sets(), st.integers(0, 9))
def test_results_that_no_cap_admits_change_nothing_for_the_others(case, cap):
    data, entries = case
    ground_truth = ground_truth_of(data)
    results = results_of(entries, ground_truth)
    matches = match(ground_truth, results)
    admitted = np.sort(np.flatnonzero(matches.ranking.image_rank < cap))
    fewer = match(ground_truth, results_of([entries[i] for i in admitted], ground_truth))
    keep = keep_per_image(matches, cap)
    np.testing.assert_array_equal(matches.detection[keep], admitted[fewer.detection])
    np.testing.assert_array_equal(matches.tp[:, keep], fewer.tp)
    np.testing.assert_array_equal(matches.ignored[:, keep], fewer.ignored)


@QUICK
@given(lvis_sets())
def test_boundary_matches_are_never_better_than_mask_matches(case):
    data, entries = case
    ground_truth = ground_truth_of(data)
    results = results_of(entries, ground_truth)
    matches = match(ground_truth, results, iou_type=('segm', 'boundary'))
    total = {name: np.bitwise_count(found.tp[0]).sum() for name, found in matches.items()}
    assert total['boundary'] <= total['segm']


@QUICK
@given(lvis_sets(), st.sampled_from([0.5, 0.75, 0.95]))
def test_kept_pairs_belong_together(case, threshold):
    data, entries = case
    ground_truth = ground_truth_of(data)
    results = results_of(entries, ground_truth)
    matches = match(ground_truth, results, keep_pairs_at=threshold)
    level = int(np.argmin(abs(IOU_THRESHOLDS - threshold)))
    paired = np.flatnonzero(matches.pair >= 0)
    annotation = matches.pair[paired]
    assert len(np.unique(annotation)) == len(annotation)
    np.testing.assert_array_equal(ground_truth.ann_image[annotation], matches.image[paired])
    np.testing.assert_array_equal(ground_truth.ann_category[annotation], matches.category[paired])
    # What is matched to an ignored annotation is paired, but no true positive.
    is_tp = (matches.tp[0] >> level) & 1 == 1
    np.testing.assert_array_equal(is_tp[paired], ~ground_truth.ann_ignore[annotation])
    assert not is_tp[matches.pair < 0].any()


def test_pairs_are_not_kept_unless_asked_for(ties):
    ground_truth = ground_truth_of(ties[0])
    results = results_of(ties[1], ground_truth)
    assert match(ground_truth, results).pair is None
    with pytest.raises(ValueError, match='keep_pairs_at must be one of'):
        match(ground_truth, results, keep_pairs_at=0.77)


def test_an_unknown_type_is_an_error(ties):
    ground_truth = ground_truth_of(ties[0])
    results = results_of(ties[1], ground_truth)
    with pytest.raises(ValueError, match="not 'keypoints'"):
        match(ground_truth, results, iou_type=('segm', 'keypoints'))


def test_a_mask_of_another_size_matches_nothing(ties):
    ground_truth = ground_truth_of(ties[0])
    results = results_of(ties[1], ground_truth)
    swapped = dataclasses.replace(
        results, rle_height=results.rle_width, rle_width=results.rle_height
    )
    matches = match(ground_truth, swapped)
    square = (ground_truth.height == ground_truth.width)[matches.image]
    assert not matches.tp[:, ~square].any()
    assert match(ground_truth, results).tp.any()


def test_broken_masks_missing_masks_and_missing_boxes_are_errors(ties):
    ground_truth = ground_truth_of(ties[0])
    results = results_of(ties[1], ground_truth)
    length = results.rle_length.copy()
    length[match(ground_truth, results).detection[7]] -= 1
    with pytest.raises(ResultsError, match='is not a complete run-length code'):
        match(ground_truth, dataclasses.replace(results, rle_length=length), threads=2)
    boxes = Results(results.image, results.category, results.score)
    with pytest.raises(ResultsError, match='there are no masks'):
        match(ground_truth, boxes)
    with pytest.raises(ResultsError, match='areas shall come from boxes'):
        match(ground_truth, dataclasses.replace(results, area_from_box=True))
    unread = dataclasses.replace(ground_truth, mask_offset=np.zeros(0, np.int64))
    with pytest.raises(ResultsError, match='read without masks'):
        match(unread, results)


def test_results_in_memory_equal_those_of_a_file(ties):
    ground_truth = ground_truth_of(ties[0])
    results = results_of(ties[1], ground_truth)
    by_image = [np.flatnonzero(results.image == i) for i in range(len(ground_truth.image_ids))]
    masks = [
        [
            {
                'size': [results.rle_height[k], results.rle_width[k]],
                'counts': results.rle[
                    results.rle_offset[k] : results.rle_offset[k] + results.rle_length[k]
                ].tobytes(),
            }
            for k in which
        ]
        for which in by_image
    ]
    gathered = Results.from_arrays(
        range(len(by_image)),
        [results.category[which] for which in by_image],
        [results.score[which] for which in by_image],
        masks=masks,
    )
    first, second = match(ground_truth, results), match(ground_truth, gathered)
    curves = [accumulate(m, keep_per_image(m, 300)) for m in (first, second)]
    np.testing.assert_array_equal(curves[0].precision, curves[1].precision)
    order = np.concatenate(by_image)
    np.testing.assert_array_equal(first.detection, order[second.detection])
