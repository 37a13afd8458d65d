import gzip
import json

import pytest

from plugins.annotations import AnnotationError, find_problems, read_annotations, verify_annotations
from plugins.annotations.cache import open_annotations
from plugins.annotations.cache.blocks import IrregularFileError, decode_text
from tests.annotations.cache.conftest import TOLERATED


def complaints(path, allow=()) -> list[str]:
    """What reading and checking a whole file says, by the code for whole files."""
    try:
        return list(map(str, verify_annotations(read_annotations(path), path, allow)))
    except AnnotationError as error:
        return ['error', str(error)]


def complaints_of_cache(path, allow=()) -> list[str]:
    try:
        return list(map(str, open_annotations(path, cache_dir=False, allow=allow).problems))
    except AnnotationError as error:
        return ['error', str(error)]


def damaged(**changes):
    """A change of the second annotation."""
    return lambda data: data['annotations'][1].update(changes)


DAMAGES = {
    'no categories': lambda data: data.pop('categories'),
    'empty images': lambda data: data.update(images=[]),
    'images no list': lambda data: data.update(images={}),
    'annotations no list': lambda data: data.update(annotations='x'),
    'annotation no object': lambda data: data['annotations'].append(7),
    'image without id': lambda data: data['images'][1].pop('id'),
    'image of no size': lambda data: data['images'][1].update(width=0),
    'image without name': lambda data: data['images'][1].pop('file_name'),
    'image outside': lambda data: data['images'][1].update(file_name='../x.jpg'),
    'category name': lambda data: data['categories'][1].update(name=5),
    'same category name': lambda data: data['categories'][1].update(name='ladle'),
    'frequency': lambda data: data['categories'][1].update(frequency='x'),
    'category and image': lambda data: (
        data['categories'][1].update(id=True),
        data['images'][1].update(id='1'),
    ),
    'negative and present': lambda data: data['images'][0].update(neg_category_ids=[5]),
    'unknown negative': lambda data: data['images'][0].update(neg_category_ids=[55]),
    'no list': lambda data: data['images'][0].update(not_exhaustive_category_ids=None),
    'float id': damaged(id=1.0),
    'text id': damaged(image_id='1'),
    'boolean id': damaged(category_id=True),
    'huge id': damaged(id=2**64),
    'missing id': lambda data: data['annotations'][1].pop('id'),
    'same id': damaged(id=11),
    'unknown image': damaged(image_id=77),
    'unknown category': damaged(category_id=77),
    'no box': lambda data: data['annotations'][1].pop('bbox'),
    'text in box': damaged(bbox=[1, '2', 3, 4]),
    'nan in box': damaged(bbox=[1, float('nan'), 3, 4]),
    'huge box': damaged(bbox=[1, 10**400, 3, 4]),
    'negative box': damaged(bbox=[5, 5, -3, 4]),
    'empty box': damaged(bbox=[5, 5, 0, 4]),
    'box outside': damaged(bbox=[64, 5, 1, 4]),
    'box left of it': damaged(bbox=[-1, 5, 1, 4]),
    'box too large': damaged(bbox=[5, 5, 70, 4]),
    'box too high': damaged(bbox=[5, -2.5, 6, 40]),
    'no area': lambda data: data['annotations'][1].pop('area'),
    'area of text': damaged(area='5'),
    'area of zero': damaged(area=0),
    'area of nan': damaged(area=float('nan')),
    'no mask': damaged(segmentation=None),
    'empty mask': damaged(segmentation=[]),
    'flat polygon': damaged(segmentation=[1, 2, 3, 4, 5, 6]),
    'two points': damaged(segmentation=[[1, 2, 3, 4]]),
    'odd polygon': damaged(segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
    'nan in polygon': damaged(segmentation=[[1, 2, float('nan'), 4, 5, 6]]),
    'infinity in polygon': damaged(segmentation=[[1, 2, float('-inf'), 4, 5, 6]]),
    'far point': damaged(segmentation=[[1, 2, 1e9, 4, 5, 6]]),
    'text in polygon': damaged(segmentation=[[1, 2, '3', 4, 5, 6]]),
    'text as mask': damaged(segmentation='polygon'),
    'rle of another size': damaged(segmentation={'size': [4, 4], 'counts': [16]}),
    'rle without counts': damaged(segmentation={'size': [48, 64]}),
    'rle too short': damaged(segmentation={'size': [48, 64], 'counts': [16]}),
    'rle of an unknown image': damaged(segmentation={'size': [4, 4], 'counts': [16]}, image_id=77),
    'two faults': damaged(segmentation=[[1, 2]], bbox=[500, 1, 2, 3], area=0),
}


@pytest.mark.parametrize('damage', DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_or_reported_in_the_words_of_the_full_check(
    lvis_data, write, damage
):
    damage(lvis_data)
    path = write(lvis_data)
    expected = complaints(path)
    assert expected
    assert complaints_of_cache(path) == expected


def test_problems_of_many_blocks_are_counted_once(adversarial, write, monkeypatch):
    monkeypatch.setattr('plugins.annotations.cache.blocks._BLOCK', 4)
    path = write(adversarial)
    assert complaints_of_cache(path) == complaints(path)
    found = complaints(path, TOLERATED)
    assert found[0] != 'error' and len(found) > 6
    assert complaints_of_cache(path, TOLERATED) == found


@pytest.mark.parametrize(
    'harmless', [dict(bbox=[5, 5, 61, 4]), dict(area=10**400), dict(area=3), dict(ignore=1)]
)
def test_what_the_full_check_accepts_is_accepted(lvis_data, write, harmless):
    lvis_data['annotations'][1].update(harmless)
    path = write(lvis_data)
    assert complaints_of_cache(path) == complaints(path) == []


TEXTS = {
    'empty': b'',
    'white': b' \n ',
    'truncated': b'{"images": [{"id": 1, "wid',
    'a list': b'[]',
    'not JSON': b'<html>',
    'trailing text': b'{"images": [], "annotations": [], "categories": []} x',
    'not UTF-8': b'{"images": [], "annotations": [], "categories": [], "x": "\xff\xfe"}',
    'deep': b'{"images": ' + b'[' * 100_000,
    'damaged gzip': gzip.compress(b'{}' * 1000)[:-9],
    'NaN in a field': b'{"images": [], "annotations": [{"x": NaN}], "categories": []}',
}


@pytest.mark.parametrize('text', TEXTS.values(), ids=TEXTS)
def test_text_that_is_no_annotation_file_is_refused_in_the_same_words(write, text):
    path = write(text)
    expected = complaints(path)
    assert expected[0] == 'error'
    assert complaints_of_cache(path) == expected


def test_bytes_that_are_no_text_are_found_where_nothing_is_decoded(lvis_data, write):
    lvis_data['annotations'][0]['comment'] = 'XX'
    path = write(json.dumps(lvis_data).encode().replace(b'XX', b'\xc3('))
    assert 'not UTF-8' in complaints(path)[1]
    assert complaints_of_cache(path) == complaints(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / 'none.json', tmp_path):
        assert complaints(path)[0] == 'error'
        assert complaints_of_cache(path) == complaints(path)


def test_ordinary_files_take_the_fast_way(adversarial, lvis_data, coco_data):
    for data in (adversarial, lvis_data, coco_data):
        parts = decode_text(json.dumps(data).encode(), 'x')
        assert sum(map(len, parts.blocks)) == parts.num_annotations == len(data['annotations'])


def test_the_fast_way_gives_up_rather_than_guess(lvis_data):
    lvis_data['annotations'][0]['id'] = 1.5
    with pytest.raises(IrregularFileError):
        list(decode_text(json.dumps(lvis_data).encode(), 'x').blocks)


def test_only_records_that_may_be_at_fault_are_kept(lvis_data, write, monkeypatch):
    kept = []
    from plugins.annotations.cache import building

    checked = building.gather_problems
    monkeypatch.setattr(
        building,
        'gather_problems',
        lambda data, columns, suspects, rest: kept.extend(suspects)
        or checked(data, columns, suspects, rest),
    )
    lvis_data['annotations'][3]['area'] = -1
    open_annotations(write(lvis_data), cache_dir=False)
    assert [record['id'] for record in kept] == [14]
    assert len(find_problems(lvis_data)) == 1


def test_missing_category_of_an_image_is_told_before_anything_is_cached(lvis_data, write, tmp_path):
    lvis_data['images'][0].pop('file_name')
    path = write(lvis_data)
    with pytest.raises(AnnotationError, match='neither `file_name` nor `coco_url`'):
        open_annotations(path, allow=['no-file-name'])
    assert not list(tmp_path.glob('**/*.columns'))
