import json

import numpy as np
import pytest

from plugins.evaluation.calibration import (
    METHODS,
    CalibrationFile,
    MatchingOptions,
    Observations,
    fit_per_class,
    read_calibration,
    write_calibration,
)


@pytest.fixture
def stored(tmp_path, random_results):
    scores, matched = random_results
    observations = Observations(np.tile([4, 2, 8, 2], 100), scores, matched)
    methods = {
        name: fit_per_class(name, observations, fallback='group', group_of={4: 'r', 2: 'f', 9: 'r'})
        for name in METHODS
    }
    path = tmp_path / 'folder' / 'calibration.json'
    content = CalibrationFile(
        methods, MatchingOptions('bbox', 0.6), {4: {'name': 'owl', 'results': 100}}
    )
    write_calibration(path, content)
    return path, content


@pytest.mark.parametrize('method', METHODS)
def test_what_is_read_calibrates_like_what_was_written(stored, method):
    path, content = stored
    again = read_calibration(path)
    assert (again.training, again.categories) == (content.training, content.categories)
    category, scores = np.repeat([2, 4, 9, 77], 50), np.random.default_rng(2).random(200)
    np.testing.assert_array_equal(
        again.methods[method](category, scores), content.methods[method](category, scores)
    )
    assert [entry.name for entry in path.parent.iterdir()] == ['calibration.json']


@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (lambda document: document.update(format='other'), "its format is not 'mmtail-calib"),
        (lambda document: document.update(version=9), 'version 9 of the format'),
        (lambda document: document.pop('methods'), "is damaged: 'methods'"),
        (lambda document: document['methods'].update(magic={}), "'magic' is none of histogram"),
        (lambda document: document['methods']['platt'].update(fallback='?'), 'fallback'),
        (lambda document: document['training'].update(iou=0.8123), 'must be one of 0.50'),
        (lambda document: document['training'].update(iou_type='box'), "'segm' or 'bbox'"),
        (lambda document: document['training'].update(colour='red'), 'is damaged'),
        (
            lambda document: document['methods']['platt']['models']['2'].update(bias=float('nan')),
            'platt of category 2 is not a finite number',
        ),
        (
            lambda document: document['methods']['platt']['models']['2'].pop('slopes'),
            'parameters of platt are incomplete',
        ),
    ],
)
def test_damaged_files_are_errors_that_name_the_file(stored, edit, message):
    path, _ = stored
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message) as caught:
        read_calibration(path)
    assert str(path) in str(caught.value)


def test_truncated_and_missing_files_are_errors(stored):
    path, _ = stored
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match='is not JSON'):
        read_calibration(path)
    with pytest.raises(ValueError, match='cannot be read'):
        read_calibration(path.with_name('absent.json'))
