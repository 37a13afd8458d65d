import base64
import json

import numpy as np
import pytest

from plugins.evaluation.engine import COCO
from plugins.evaluation.engine.ground_truth_file import read_ground_truth
from plugins.evaluation.engine.results_file import read_results
from plugins.evaluation.report import Run, Settings, gather
from plugins.evaluation.report.columns import CURVE_STEPS
from tests.evaluation.report import small_set

REFERENCES = {
    'AP_old@300': 'lvis@300',
    'AP_fixed@10000': 'fixed@10000',
    'boundary AP_old@300': 'boundary@300',
    'boundary AP_fixed@10000': 'boundary_fixed@10000',
}


@pytest.fixture(scope='module')
def golden(shared):
    """Case `not_exhaustive` of the golden data as report, with what is expected of it."""
    folder = shared / 'golden' / 'eval'
    expected = json.loads((folder / 'not_exhaustive.expected.json').read_text())
    truth = read_ground_truth(
        folder / 'not_exhaustive.gt.json.gz', counts=folder / 'lvis_v05_train_counts.json'
    )
    results = read_results(folder / 'not_exhaustive.dt.json.gz', truth)
    settings = Settings(title='golden', with_boundary=True, listed=3, examples=2)
    return gather(truth, [Run('one', results)], settings), expected['expected']['segm/drop_bbox']


def test_protocols_carry_the_numbers_of_the_reference(golden):
    report, expected = golden
    values = {protocol.label: protocol.values[0] for protocol in report.protocols}
    for label, key in REFERENCES.items():
        for name in ('AP', 'AP50', 'AP75', 'APr', 'APc', 'APf'):
            if name in expected[key]:
                found = -1 if values[label][name] is None else values[label][name]
                assert found == pytest.approx(expected[key][name], abs=1e-12), (label, name)


def test_columns_carry_the_ap_of_every_category(golden):
    report, expected = golden
    found = dict(zip(map(str, report.categories.id), report.runs[0].columns['AP'], strict=True))
    assert {key for key, value in found.items() if value is not None} == set(
        expected['per_category']
    )
    for key, value in expected['per_category'].items():
        assert found[key] == pytest.approx(value, abs=1e-6)


def test_the_mean_of_a_curve_is_the_ap_of_its_category(golden):
    report, _ = golden
    steps = np.frombuffer(base64.b64decode(report.runs[0].curves), np.uint8)
    curves = steps.reshape(len(report.categories.id), 3, 101)
    columns = report.runs[0].columns
    for kind, key in enumerate(('AP50', 'AP75', 'AP')):
        for curve, value in zip(curves[:, kind], columns[key], strict=True):
            if value is None:
                assert (curve == 255).all()
            else:
                assert curve.mean() / CURVE_STEPS == pytest.approx(value, abs=0.501 / CURVE_STEPS)


def test_reliability_of_groups_adds_up_to_that_of_all(golden):
    report, _ = golden
    diagrams = {(d.iou, d.group): np.array(d.count) for d in report.runs[0].reliability}
    for iou in (0.5, 0.75):
        assert diagrams[iou, 'all'].sum() > 100
        assert np.array_equal(diagrams[iou, 'all'], sum(diagrams[iou, group] for group in 'rcf'))


def test_every_listed_category_has_its_examples(golden):
    report, _ = golden
    assert [found.kind for found in report.examples] == ['worst', 'best']
    assert set(report.gallery) == {k for found in report.examples for k in found.categories}
    assert all(len(entries) == 1 for entries in report.gallery.values())


def small_report(results=None, counts=None, **settings):
    truth = read_ground_truth(small_set.annotations(), counts=counts)
    listed = small_set.results() if results is None else results
    iou_type = settings.get('iou_type', 'segm')
    run = Run('run', read_results(listed, truth, iou_type=iou_type))
    return gather(truth, [run, Run('again', run.results)], Settings(title='t', **settings))


def test_runs_that_agree_have_no_gains_or_losses():
    assert [found.kind for found in small_report().examples] == ['worst', 'best']


def test_without_training_counts_there_are_no_bins_and_the_axis_says_so():
    report = small_report()
    assert not any(protocol.label.startswith('bins') for protocol in report.protocols)
    assert report.categories.train == [None, None, None]
    assert 'not known' in report.counts_words
    counted = small_report(counts=small_set.annotations())
    assert counted.categories.train is not None and None not in counted.categories.train


def test_no_result_at_all_gives_zeros_and_all_annotations_as_misses():
    report = small_report(results=[])
    assert report.protocols[0].values[0]['AP'] == 0
    assert report.runs[0].columns['AP'] == [0, 0, 0]
    assert sum(report.gallery[k][0].misses.total for k in range(3)) == 5
    assert report.runs[0].reliability[0].ece is None


def test_boxes_and_rules_of_coco_are_labelled_as_such():
    report = small_report(iou_type='bbox', rules=COCO, max_dets=100)
    assert report.iou_words == 'box IoU'
    assert report.protocols[0].label == 'AP_coco@100'
