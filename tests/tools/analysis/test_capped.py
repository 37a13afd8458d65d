import numpy as np
import pytest

from plugins.evaluation.engine import Request, evaluate, match, read_ground_truth, read_results
from tools.analysis.capped import average_precision, keep_per_image_then_category


@pytest.mark.parametrize(('per_image', 'per_class'), [(300, 30), (50, 20), (1000, 10_000), (7, 3)])
def test_two_limits_equal_a_shorter_file_under_the_second(
    golden_case, read_packed, per_image, per_class
):
    truth_file, results_file, _ = golden_case('dets1000')
    truth = read_ground_truth(truth_file)
    records = read_packed(results_file)
    kept = []
    for image_id in sorted({record['image_id'] for record in records}):
        of_image = [record for record in records if record['image_id'] == image_id]
        kept += sorted(of_image, key=lambda record: -record['score'])[:per_image]
    shorter = read_results(kept, truth)
    request = Request(max_dets=(), dets_per_class=(per_class,))
    expected = evaluate(truth, shorter, request)['segm'][f'fixed@{per_class}']
    matches = match(truth, read_results(records, truth))
    keep = keep_per_image_then_category(matches, per_image, per_class)
    measured = average_precision(truth, matches, keep)
    assert measured == pytest.approx([expected[key] for key in ('AP', 'APr', 'APc', 'APf')])
    assert keep.sum() < len(keep) or per_image == 1000


def test_groups_restrict_the_first_value_only(golden_case):
    truth_file, results_file, _ = golden_case('basic')
    truth = read_ground_truth(truth_file)
    matches = match(truth, read_results(results_file, truth))
    everything = np.ones(len(matches), bool)
    values = average_precision(truth, matches, everything)
    assert average_precision(truth, matches, everything, 'c') == (values[2], *values[1:])
