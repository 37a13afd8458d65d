import base64

import cv2
import numpy as np
import pytest

from plugins.evaluation.engine.ground_truth_file import read_ground_truth
from plugins.evaluation.engine.results_file import read_results
from plugins.evaluation.report.mistakes import Mistakes
from plugins.evaluation.report.scoring import Settings, score_run
from plugins.evaluation.report.shapes import Shapes
from tests.evaluation.report import small_set


def make_mistakes(iou_type='segm', read_picture=None, max_dets=300):
    truth = read_ground_truth(small_set.annotations())
    results = read_results(small_set.results(), truth, iou_type=iou_type)
    settings = Settings(title='', iou_type=iou_type, max_dets=max_dets)
    scores = score_run(truth, results, settings)
    shapes = Shapes(truth, results, iou_type)
    return Mistakes(truth, results, scores.matches, scores.keep, shapes, read_picture)


def words(found):
    return [crop.words for crop in found.crops]


@pytest.mark.parametrize('iou_type', ['segm', 'bbox'])
def test_false_positives_come_by_falling_score_with_their_cause(iou_type):
    cups = make_mistakes(iou_type).examples(category=0, most=6).false_positives
    assert [crop.score for crop in cups.crops] == [0.8, 0.7, 0.5]
    assert words(cups) == [
        'found before (IoU 0.88)',
        'annotated as fork (IoU 1.00)',
        'nothing annotated here',
    ]
    plates = make_mistakes(iou_type).examples(category=1, most=6).false_positives
    assert words(plates) == ['badly placed (IoU 0.33)']


@pytest.mark.parametrize('iou_type', ['segm', 'bbox'])
def test_misses_say_what_was_found_instead(iou_type):
    mistakes = make_mistakes(iou_type)
    assert words(mistakes.examples(0, 6).misses) == ['nothing found here']
    assert words(mistakes.examples(1, 6).misses) == ['badly placed (IoU 0.33, score 60.0 %)']
    assert words(mistakes.examples(2, 6).misses) == ['found as cup (score 70.0 %)']


def test_a_detection_beyond_the_cap_makes_a_miss_that_says_so():
    capped = make_mistakes(max_dets=1).examples(0, 6)
    assert capped.false_positives.total == 0
    assert words(make_mistakes(max_dets=0).examples(0, 1).misses) == [
        'its detection counts for a neighbour or is beyond the limit'
    ]


def test_the_largest_misses_come_first_and_the_total_counts_all():
    missed = make_mistakes(max_dets=0).examples(0, 2).misses
    assert missed.total == 3
    assert [crop.image for crop in missed.crops] == [9, 7]


def test_pictures_of_another_size_than_annotated_are_not_drawn_on():
    def colours(picture):
        crop = make_mistakes(read_picture=lambda image: picture).examples(0, 3).false_positives
        content = base64.b64decode(crop.crops[2].picture.partition(',')[2])
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[0, 0]

    white = np.full((100, 200, 3), 255, np.uint8)
    assert colours(white).min() > 240
    assert colours(np.ascontiguousarray(white[:50])).max() < 100
