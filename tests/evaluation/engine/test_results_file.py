"""Result files of any form become the same records as through plain JSON, or one clear error."""

import copy
import gzip
import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.evaluation.engine import GroundTruth, Results, ResultsError, results_file, scan_blocks
from plugins.evaluation.engine.ground_truth_file import read_ground_truth
from plugins.evaluation.engine.results_file import read_results
from tests.evaluation.engine.plain_records import load, results_of

CASES = ('basic', 'ties', 'few_categories', 'empty_masks', 'mask_and_bbox', 'mixed_formats')


@pytest.fixture(params=['scanner', 'parser'])
def way(request, monkeypatch):
    """Both ways to read a file, the scanner in many blocks."""
    monkeypatch.setattr(results_file, '_SCAN_FROM', 0 if request.param == 'scanner' else 1 << 60)
    monkeypatch.setattr(scan_blocks, '_BLOCK', 1 << 10)
    monkeypatch.setattr(results_file, '_ENTRIES', 7)
    return request.param


@pytest.fixture
def ground_truth() -> GroundTruth:
    """Two images of different size and three categories."""
    return read_ground_truth(
        {
            'images': [dict(id=2, height=10, width=20), dict(id=9, height=8, width=6)],
            'annotations': [],
            'categories': [dict(id=k, name=f'category {k}') for k in (4, 7, 1000)],
        }
    )


def code(height: int, width: int, seed: int = 0) -> dict:
    pixels = np.random.default_rng(seed).integers(0, 2, height * width, np.uint8)
    if seed % 2:
        pixels[:45] = np.arange(45) == 44  # a run of 44 begins with a backslash
    found = mask_util.encode(pixels.reshape((height, width), order='F'))
    return {'size': found['size'], 'counts': found['counts'].decode()}


@pytest.fixture
def entries() -> list[dict]:
    """Results with masks and boxes; some codes have a backslash."""
    sizes = {2: (10, 20), 9: (8, 6)}
    return [
        dict(
            image_id=image, category_id=category, score=score, bbox=[1, 2.5, 3, 1e-3 * k],
            segmentation=code(*sizes[image], seed=k),
        )
        for k, (image, category, score) in enumerate(
            [(9, 7, 0.5), (2, 1000, 0.1234567890123456), (2, 4, 1), (9, 4, -3.5e-9), (2, 7, 1e-30)]
            * 8
        )
    ]  # fmt: skip


def write(folder, content, name='results.json'):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def codes_in(results: Results) -> list[bytes]:
    found = []
    for first, length in zip(results.rle_offset, results.rle_length, strict=True):
        text = bytes(results.rle[first : first + length])
        found.append(text.replace(b'\\\\', b'\\') if results.escaped else text)
    return found


def assert_same(found: Results, expected: Results):
    for name in ('image', 'category', 'score', 'box', 'rle_height', 'rle_width'):
        value, wanted = getattr(found, name), getattr(expected, name)
        assert (value is None) == (wanted is None), name
        if value is not None:
            assert value.dtype == wanted.dtype
            np.testing.assert_array_equal(value, wanted, err_msg=name)
    assert (found.rle is None) == (expected.rle is None)
    if found.rle is not None:
        assert codes_in(found) == codes_in(expected)


@pytest.mark.parametrize('case', CASES)
def test_records_are_those_of_the_plain_reader(shared, tmp_path, way, case):
    ground_truth = read_ground_truth(shared / f'golden/eval/{case}.gt.json.gz', masks=False)
    path = shared / f'golden/eval/{case}.dt.json.gz'
    entries = load(path)
    has_boxes = 'bbox' in entries[0]
    expected = results_of(entries, ground_truth)
    types = ('segm', 'bbox') if has_boxes else 'segm'
    found = read_results(path, ground_truth, iou_type=types)
    assert_same(found, expected)
    assert bool(found.warnings) == bool((expected.category < 0).any())
    assert_same(read_results(entries, ground_truth, iou_type=types), expected)


LAYOUTS = {
    'compact': lambda entries: json.dumps(entries, separators=(',', ':')),
    'indented': lambda entries: '\n\r\t ' + json.dumps(entries, indent=3) + '\n\n',
    'sorted keys': lambda entries: json.dumps(entries, sort_keys=True),
    'reversed keys': lambda entries: json.dumps([dict(reversed(e.items())) for e in entries]),
    'further keys': lambda entries: json.dumps(
        [
            {'id': k, 'note': 'a}, {"b": "c\\\\', 'nested': [{'score': [1, {}]}, None], **e,
             'image_idea': 5, 'segmentation': {'who': True, **e['segmentation'], 'x': [[]]}}
            for k, e in enumerate(entries)
        ]
    ),
    'escapes': lambda entries: json.dumps(
        [{**e, 'note': 'line\nbreak \u00e9 "quoted"', 'image\tid': 3} for e in entries]
    ),
    'escaped code': lambda entries: json.dumps(entries).replace('counts": "', 'counts": "\\u0031'),
    'ids with a point': lambda entries: json.dumps([{**e, 'image_id': float(e['image_id'])}
                                                    for e in entries]),
    'long numbers': lambda entries: json.dumps(entries).replace('"score": 0.5,',
                                                               '"score": 0.50000000000000000000,'),
    'byte order mark': lambda entries: '\ufeff' + json.dumps(entries),
}  # fmt: skip


@pytest.mark.parametrize('name', ['compact', 'indented', 'sorted keys', 'reversed keys'])
def test_the_scanner_is_used_where_it_can_be(tmp_path, monkeypatch, ground_truth, entries, name):
    monkeypatch.setattr(results_file, '_SCAN_FROM', 0)
    monkeypatch.setattr(scan_blocks, '_BLOCK', 1 << 10)
    monkeypatch.setattr(results_file, 'gather_entries', None)
    path = write(tmp_path, LAYOUTS[name](entries))
    done = []
    found = read_results(
        path, ground_truth, iou_type=('segm', 'bbox'), progress=lambda *step: done.append(step)
    )
    assert len(done) > 3
    assert done[-1][0] == done[-1][1] == len(done)
    assert found.escaped
    monkeypatch.undo()
    assert_same(found, read_results(entries, ground_truth, iou_type=('segm', 'bbox')))


@pytest.mark.parametrize('layout', LAYOUTS.values(), ids=LAYOUTS)
def test_any_legal_json_gives_the_same(tmp_path, way, ground_truth, entries, layout):
    path = write(tmp_path, layout(entries))
    for types in ('segm', 'bbox', ('segm', 'bbox')):
        expected = results_of(json.loads(layout(entries).removeprefix('\ufeff')), ground_truth)
        found = read_results(path, ground_truth, iou_type=types)
        np.testing.assert_array_equal(found.score, expected.score)
        np.testing.assert_array_equal(found.image, expected.image)
        np.testing.assert_array_equal(found.category, expected.category)
        assert (found.box is not None) == ('bbox' in types)
        assert (found.rle is not None) == ('segm' in types)
        if found.box is not None:
            np.testing.assert_array_equal(found.box, expected.box)
        if found.rle is not None:
            assert codes_in(found) == codes_in(expected)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_the_scanner_agrees_with_the_parser_on_whatever_that_takes(
    tmp_path, monkeypatch, ground_truth, entries, data
):
    text = json.dumps(entries[:6], indent=1)
    place = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.sampled_from(['', *'[]{}",:\\0123456789.eE-+ntf \n']))
    stop = data.draw(st.integers(place, place + 1))
    path = write(tmp_path, text[:place] + character + text[stop:])
    monkeypatch.setattr(scan_blocks, '_BLOCK', 300)
    found = []
    for scan_from in (1 << 60, 0):
        monkeypatch.setattr(results_file, '_SCAN_FROM', scan_from)
        try:
            found.append(read_results(path, ground_truth, iou_type=('segm', 'bbox')))
        except ResultsError as error:
            found.append(error)
    if isinstance(found[0], Results):
        assert_same(found[1], found[0])


def test_gzip_and_number_of_threads_change_nothing(tmp_path, way, ground_truth, entries):
    path = write(tmp_path, entries)
    expected = read_results(path, ground_truth)
    packed = tmp_path / 'results.json.gz'
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert_same(read_results(packed, ground_truth), expected)
    assert_same(read_results(str(path), ground_truth, threads=1), expected)


def test_an_empty_list_is_no_error(tmp_path, way, ground_truth):
    for source in (write(tmp_path, '[]'), write(tmp_path, ' [ \n ] ', 'other.json'), []):
        found = read_results(source, ground_truth, iou_type=('segm', 'bbox'))
        assert len(found) == 0
        assert len(found.box) == len(found.rle_offset) == 0


def test_boxes_are_those_of_the_masks_where_the_first_result_has_none(
    tmp_path, way, ground_truth, entries
):
    for entry in entries:
        del entry['bbox']
    found = read_results(write(tmp_path, entries), ground_truth, iou_type='bbox')
    assert found.box is None
    assert codes_in(found) == [entry['segmentation']['counts'].encode() for entry in entries]
    with pytest.raises(ResultsError, match='no `bbox` to take the sizes from'):
        read_results(entries, ground_truth, area_from_box=True)


def test_boxes_are_filled_where_there_is_no_mask(tmp_path, way, ground_truth, entries):
    for entry in entries:
        del entry['segmentation']
    expected = results_of(entries, ground_truth)
    found = read_results(write(tmp_path, entries), ground_truth, area_from_box=True)
    assert_same(found, expected)
    assert found.area_from_box


def test_numpy_values_and_bytes_are_taken_from_memory(ground_truth, entries):
    expected = results_of(entries, ground_truth)
    for entry in entries:
        entry['image_id'] = np.int64(entry['image_id'])
        entry['score'] = np.float64(entry['score'])
        entry['bbox'] = np.array(entry['bbox'])
        entry['segmentation']['counts'] = entry['segmentation']['counts'].encode()
    assert_same(read_results(entries, ground_truth, iou_type=('segm', 'bbox')), expected)


def test_categories_may_be_mapped(tmp_path, way, ground_truth, entries):
    path = write(tmp_path, entries)
    found = read_results(path, ground_truth, category_map={1000: 4, 4: 7, 3: 1000, 7: 5})
    wanted = {1000: 0, 4: 1, 7: -1}
    assert found.category.tolist() == [wanted[entry['category_id']] for entry in entries]
    (warning,) = found.warnings
    assert '16 of 40 results' in warning
    assert '(7)' in warning


def spoil(entries, **values):
    entries = copy.deepcopy(entries)
    for key, value in values.items():
        if value is None:
            del entries[11][key]
        else:
            entries[11][key] = value
    return entries


NAMED = 'result 11 (image 2, category 1000)'
BAD_RESULTS = {
    'NaN score': (dict(score=float('nan')), f'{NAMED} has score NaN, which is not a finite'),
    'infinite score': (dict(score=float('-inf')), f'{NAMED} has score -Infinity, which is not'),
    'text score': (dict(score='high'), f'{NAMED} has score high, which is not a finite number'),
    'true score': (dict(score=True), f'{NAMED} has score True'),
    'no score': (dict(score=None), f'{NAMED} has no `score`'),
    'no image': (dict(image_id=None), 'result 11 (category 1000) has no `image_id`'),
    'no category': (dict(category_id=None), 'result 11 (image 2) has no `category_id`'),
    'fractional id': (dict(category_id=1.5), 'has category_id 1.5, which is not a whole number'),
    'huge id': (dict(category_id=10**30), 'which is too large'),
    'no mask': (dict(segmentation=None, bbox=None), f'{NAMED} has no `segmentation`'),
    'no counts': (dict(segmentation={'size': [10, 20]}), f'{NAMED} has no `counts`'),
    'no size': (dict(segmentation={'counts': 'a'}), f'{NAMED} has no `size`'),
    'odd size': (dict(segmentation={'counts': 'a', 'size': [10]}), f'{NAMED} has a mask of size'),
    'wrong size': (
        dict(segmentation={'size': [20, 10], 'counts': 'a'}),
        f'{NAMED} has a mask of size [20, 10] for an image of [10, 20] (1 such results)',
    ),
    'odd polygon': (dict(segmentation=[[1, 1, 2, 2, 3, 3, 4]]), f'{NAMED} has a polygon of an odd'),
    'short runs': (dict(segmentation={'size': [10, 20], 'counts': [7]}), 'runs cover 7 of 200'),
    'empty mask': (dict(segmentation=[]), f'{NAMED} has a segmentation that is neither'),
    'unknown image': (
        dict(image_id=3), 'result 11 is for image 3, which annotations in memory does not list'
    ),
}  # fmt: skip


@pytest.mark.parametrize('values, message', BAD_RESULTS.values(), ids=BAD_RESULTS)
def test_a_bad_result_is_named_with_the_file(tmp_path, way, ground_truth, entries, values, message):
    path = write(tmp_path, spoil(entries, **values))
    with pytest.raises(ResultsError) as caught:
        read_results(path, ground_truth)
    assert str(caught.value).startswith(f'{path}: ')
    assert message in str(caught.value)
    assert '\n' not in str(caught.value)


BAD_BOXES = {
    'NaN': ([1, 1, float('nan'), 1], 'has bbox NaN'),
    'overflow': ('[1, 1, 1e999, 1]', 'has bbox inf|result 11 has box'),
    'three numbers': ([1, 1, 1], 'has bbox \\[1, 1, 1\\]; it must be'),
    'text': ('1234', "has bbox '1234'; it must be"),
    'missing': (None, 'has no `bbox`'),
}


@pytest.mark.parametrize('box, message', BAD_BOXES.values(), ids=BAD_BOXES)
def test_a_bad_box_is_named(tmp_path, way, ground_truth, entries, box, message):
    text = json.dumps(spoil(entries, bbox=box))
    path = write(tmp_path, text.replace('"[1, 1, 1e999, 1]"', '[1, 1, 1e999, 1]'))
    with pytest.raises(ResultsError, match=message):
        read_results(path, ground_truth, iou_type='bbox')


def test_results_of_another_data_set_are_refused(tmp_path, way, ground_truth, entries):
    for key, message in (
        ('image_id', 'result 0 is for image .*40 of 40 results.*another data set'),
        ('category_id', '40 of 40 results have a category id that .*another data set'),
    ):
        other = [{**entry, key: entry[key] + 5000} for entry in entries]
        with pytest.raises(ResultsError, match=message):
            read_results(write(tmp_path, other), ground_truth)


def test_other_files_are_refused(tmp_path, way, ground_truth, entries):
    text = json.dumps(entries)
    for content, message in (
        ('', 'the file is empty'),
        ('\n', 'the file is empty'),
        (text[:-2], 'breaks off at byte .*truncated'),
        (text[: len(text) // 2], 'breaks off at byte .*truncated'),
        ('[', 'truncated'),
        ('GIF89a', 'not a JSON file'),
        ('{"annotations": []}', 'an object, not a list of results; is it the annotation file'),
        (text.replace('"score": 1,', '"score": 1;', 1), 'not a JSON file'),
        (text.replace('}, {', '}  {', 1), 'not a JSON file'),
        (text[:-1] + ',]', 'not a JSON file'),
        ('[1, 2]', 'result 0 is not an object'),
        ('[{}]', 'result 0 has no `image_id`'),
        ('[null]', 'result 0 is not an object'),
    ):
        with pytest.raises(ResultsError, match=message) as caught:
            read_results(write(tmp_path, content), ground_truth)
        assert 'results.json: ' in str(caught.value)
    packed = tmp_path / 'results.json.gz'
    packed.write_bytes(gzip.compress(text.encode())[:-40])
    for path, message in (
        (packed, 'damaged or truncated gzip'),
        (tmp_path / 'nowhere.json', 'no such file'),
        (tmp_path, 'this is a folder'),
    ):
        with pytest.raises(ResultsError, match=message):
            read_results(path, ground_truth)
