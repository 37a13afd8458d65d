"""Bit-equality with lvis-api and pycocotools on random sets full of ties and limits."""

import contextlib
import io
import logging
from copy import deepcopy

import cv2
import lvis
import numpy as np
import pycocotools.mask as mask_util
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import coco as coco_api
from pycocotools.cocoeval import COCOeval

from plugins.evaluation.engine import (
    COCO,
    accumulate,
    keep_per_category,
    keep_per_image,
    match,
    summarise,
)
from tests.evaluation.engine.plain_records import ground_truth_of, results_of
from tests.evaluation.engine.random_sets import lvis_sets

QUICK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def numpy_of_lvis_api(monkeypatch):
    monkeypatch.setattr(np, 'float', float, raising=False)
    logging.getLogger('lvis').setLevel(logging.ERROR)


def lvis_api(data, entries, iou_type, cap, *, with_boxes, boundary=False):
    """The finished evaluation of lvis-api; its objects take over what they are given."""
    ground_truth = lvis.LVIS.__new__(lvis.LVIS)
    ground_truth.logger = logging.getLogger('lvis')
    ground_truth.dataset = deepcopy(data)
    ground_truth._create_index()
    entries = [
        {k: v for k, v in entry.items() if k != 'bbox' or with_boxes} for entry in deepcopy(entries)
    ]
    found = lvis.LVISResults(ground_truth, entries, max_dets=cap)
    evaluation = (BoundaryEval if boundary else lvis.LVISEval)(ground_truth, found, iou_type)
    if boundary:
        # Its upper ends are exclusive.
        ranges = np.array(evaluation.params.area_rng, np.float64)
        ranges[:, 1] = np.nextafter(ranges[:, 1], 0)
        evaluation.params.area_rng = ranges.tolist()
    evaluation.params.max_dets = cap
    evaluation.run()
    return evaluation


class BoundaryEval(lvis.LVISEval):
    """lvis-api with the smaller one of mask IoU and boundary IoU, by bitmaps."""

    def compute_iou(self, img_id, cat_id):
        ious = super().compute_iou(img_id, cat_id)
        gt, dt = self._get_gt_dt(img_id, cat_id)
        if len(gt) == 0 or len(dt) == 0:
            return ious
        order = np.argsort([-d['score'] for d in dt], kind='mergesort')
        first = [edge_of(dt[i]['segmentation']) for i in order]
        second = [edge_of(g['segmentation']) for g in gt]
        return np.minimum(ious, mask_util.iou(first, second, [0] * len(gt)))


def edge_of(code):
    mask = mask_util.decode(code)
    height, width = mask.shape
    radius = max(1, round(0.02 * np.sqrt(height**2 + width**2)))
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=radius)[1:-1, 1:-1]
    return mask_util.encode(np.asfortranarray(mask - eroded))


def assert_same(evaluation, curves):
    np.testing.assert_array_equal(curves.precision, evaluation.eval['precision'])
    np.testing.assert_array_equal(curves.recall, evaluation.eval['recall'])


@QUICK
@given(lvis_sets(), st.sampled_from([-1, 0, 1, 3, 300]))
def test_masks_equal_lvis_api(case, cap):
    data, entries = case
    # lvis-api fails on an empty list.
    cap = cap if cap != 0 else 2
    evaluation = lvis_api(data, entries, 'segm', cap, with_boxes=False)
    ground_truth = ground_truth_of(data)
    matches = match(ground_truth, results_of(entries, ground_truth))
    curves = accumulate(matches, keep_per_image(matches, cap))
    assert_same(evaluation, curves)
    ours = summarise(curves, ground_truth, str(cap))
    assert ours == {name: pytest.approx(v, abs=0) for name, v in evaluation.results.items()}


@QUICK
@given(lvis_sets(), st.booleans(), st.sampled_from([2, 300]))
def test_boxes_equal_lvis_api(case, with_boxes, cap):
    data, entries = case
    evaluation = lvis_api(data, entries, 'bbox', cap, with_boxes=with_boxes)
    if not with_boxes:
        entries = [{k: v for k, v in entry.items() if k != 'bbox'} for entry in entries]
    ground_truth = ground_truth_of(data)
    matches = match(ground_truth, results_of(entries, ground_truth), iou_type='bbox')
    assert_same(evaluation, accumulate(matches, keep_per_image(matches, cap)))


@QUICK
@given(lvis_sets())
def test_areas_of_boxes_equal_lvis_api(case):
    data, entries = case
    evaluation = lvis_api(data, entries, 'segm', 300, with_boxes=True)
    ground_truth = ground_truth_of(data)
    matches = match(ground_truth, results_of(entries, ground_truth, area_from_box=True))
    assert_same(evaluation, accumulate(matches, keep_per_image(matches, 300)))


@QUICK
@given(lvis_sets())
def test_boundaries_equal_lvis_api_with_bitmaps(case):
    data, entries = case
    evaluation = lvis_api(data, entries, 'segm', 300, with_boxes=False, boundary=True)
    ground_truth = ground_truth_of(data)
    matches = match(ground_truth, results_of(entries, ground_truth), iou_type='boundary')
    assert_same(evaluation, accumulate(matches, keep_per_image(matches, 300)))


@QUICK
@given(lvis_sets(), st.integers(1, 4))
def test_a_cap_per_category_equals_lvis_api_on_the_best_of_each(case, cap):
    data, entries = case
    order = sorted(range(len(entries)), key=lambda i: -entries[i]['score'])
    seen, best = {}, []
    for i in order:
        category = entries[i]['category_id']
        seen[category] = seen.get(category, 0) + 1
        if seen[category] <= cap:
            best.append(i)
    evaluation = lvis_api(data, [entries[i] for i in sorted(best)], 'segm', -1, with_boxes=False)
    ground_truth = ground_truth_of(data)
    matches = match(ground_truth, results_of(entries, ground_truth))
    assert_same(evaluation, accumulate(matches, keep_per_category(matches, cap)))


@QUICK
@given(lvis_sets(), st.sampled_from(['segm', 'bbox']))
def test_coco_rules_equal_pycocotools(case, iou_type):
    data, entries = deepcopy(case)
    known = {category['id'] for category in data['categories']}
    if iou_type == 'segm':
        entries = [{k: v for k, v in entry.items() if k != 'bbox'} for entry in entries]
    ground_truth = ground_truth_of(data)
    matches = match(ground_truth, results_of(entries, ground_truth), iou_type=iou_type, rules=COCO)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_api.COCO()
        coco.dataset = data
        coco.createIndex()
        entries = [entry for entry in entries if entry['category_id'] in known]
        if not entries:
            return
        evaluation = COCOeval(coco, coco.loadRes(entries), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
    for index, cap in enumerate(evaluation.params.maxDets):
        curves = accumulate(matches, keep_per_image(matches, cap))
        np.testing.assert_array_equal(curves.precision, evaluation.eval['precision'][..., index])
        np.testing.assert_array_equal(curves.recall, evaluation.eval['recall'][..., index])
