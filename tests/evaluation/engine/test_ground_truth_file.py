"""Annotation files become the same records as through pycocotools, or one clear error."""

import copy
import gzip
import json

import numpy as np
import pycocotools.mask as mask_util
import pytest

from plugins.annotations import AnnotationError
from plugins.evaluation.engine.ground_truth_file import read_ground_truth
from tests.evaluation.engine.plain_records import ground_truth_of, intervals, load

CASES = ('basic', 'few_categories', 'borders_holes', 'ignore_flags', 'not_exhaustive', 'coco_crowd')


@pytest.fixture
def data() -> dict:
    """Two images, three annotations with each kind of mask, two categories, all out of order."""
    plain = {'size': [10, 20], 'counts': [12, 3, 7, 3, 175]}
    return {
        'images': [
            dict(id=9, height=8, width=6, neg_category_ids=[], not_exhaustive_category_ids=[4]),
            dict(id=2, height=10, width=20, neg_category_ids=[4], not_exhaustive_category_ids=[]),
        ],
        'annotations': [
            dict(
                id=31, image_id=2, category_id=7, area=25.0, bbox=[1, 1, 5, 5],
                segmentation=[[1, 1, 6, 1, 6, 6, 1, 6]],
            ),
            dict(
                id=11, image_id=9, category_id=4, area=9.5, bbox=[0, 0, 3.5, 3], ignore=1,
                segmentation=[[0, 0, 3, 0, 3, 3], [2, 2, 5, 2, 5, 7, 2, 7]],
            ),
            dict(
                id=21, image_id=2, category_id=7, area=6, bbox=[1, 2, 2, 3], iscrowd=1,
                segmentation=plain,
            ),
        ],
        'categories': [
            dict(id=7, name='fork', frequency='f'), dict(id=4, name='spoon', frequency='r')
        ],
    }  # fmt: skip


def write(folder, data, name='gt.json'):
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def assert_same(found, expected):
    for field in expected.__dataclass_fields__:
        if field in ('source', 'names', 'train_instances'):
            continue
        value, wanted = getattr(found, field), getattr(expected, field)
        assert value.dtype == wanted.dtype, field
        np.testing.assert_array_equal(value, wanted, err_msg=field)
    assert found.names == expected.names


@pytest.mark.parametrize('case', CASES)
def test_records_are_those_of_the_plain_reader(shared, case):
    path = shared / f'golden/eval/{case}.gt.json.gz'
    assert_same(read_ground_truth(path), ground_truth_of(load(path)))


def test_file_gzip_file_and_dict_give_the_same(tmp_path, data):
    path = write(tmp_path, data)
    packed = tmp_path / 'gt.json.gz'
    packed.write_bytes(gzip.compress(path.read_bytes()))
    expected = ground_truth_of(data)
    for source in (path, str(packed), data):
        assert_same(read_ground_truth(source), expected)


def test_a_compressed_mask_may_have_bytes_or_text(tmp_path, data):
    code = mask_util.frPyObjects(data['annotations'][2]['segmentation'], 10, 20)
    data['annotations'][2]['segmentation'] = code
    expected = ground_truth_of(data)
    assert_same(read_ground_truth(data), expected)
    assert isinstance(code['counts'], bytes)
    as_text = {**code, 'counts': code['counts'].decode()}
    data['annotations'][2]['segmentation'] = as_text
    assert_same(read_ground_truth(write(tmp_path, data)), expected)


def test_without_masks_segmentations_are_not_looked_at(data):
    data['annotations'][0]['segmentation'] = 'nothing'
    ground_truth = read_ground_truth(data, masks=False)
    assert not ground_truth.has_masks
    assert ground_truth.ann_box.tolist()[1] == [0, 0, 3.5, 3]


def test_ids_may_be_written_with_a_decimal_point(tmp_path, data):
    expected = ground_truth_of(data)
    text = json.dumps(data).replace('"id": 9', '"id": 9.0').replace('"id": 2,', '"id": 2.0,')
    text = text.replace('"category_id": 7', '"category_id": 7.0')
    path = tmp_path / 'gt.json'
    path.write_text(text)
    assert_same(read_ground_truth(path), expected)


def test_long_coordinates_are_read_as_python_reads_them(tmp_path, data):
    ring = [0.1234567890123456789012345, 1e-30, 9.87654321e0, 0.5, 9.5, 7.999999999999999999999]
    path = tmp_path / 'gt.json'
    text = json.dumps(data).replace('[1, 1, 6, 1, 6, 6, 1, 6]', str(ring).replace(',', ' ,\n'))
    path.write_text(text)
    ground_truth = read_ground_truth(path)
    data['annotations'][0]['segmentation'] = [ring]
    assert_same(ground_truth, ground_truth_of(data))


def test_annotations_without_any_annotation_are_read(data):
    data['annotations'] = []
    ground_truth = read_ground_truth(data)
    assert len(ground_truth.ann_id) == 0
    assert ground_truth.has_masks


def test_lists_are_only_required_for_the_federated_rules(data):
    del data['images'][1]['neg_category_ids']
    assert read_ground_truth(data).neg_offset.tolist() == [0, 0, 0]
    with pytest.raises(AnnotationError, match='image 2 has no `neg_category_ids`.*coco_to_lvis'):
        read_ground_truth(data, federated=True)


def change(data, section, place, **values):
    data = copy.deepcopy(data)
    for key, value in values.items():
        if value is None:
            del data[section][place][key]
        else:
            data[section][place][key] = value
    return data


RING = [1, 1, 6, 1, 6, 6]
BAD_ANNOTATIONS = {
    'zero id': (dict(id=0), 'annotation id 0'),
    'repeated id': (dict(id=11), 'annotation id 11 is used more than once'),
    'unknown image': (dict(image_id=5), 'annotation 31 belongs to image 5'),
    'unknown category': (dict(category_id=5), 'annotation 31 belongs to category 5'),
    'broken id': (dict(image_id=2.5), 'annotation 31 has image_id 2.5, which'),
    'no area': (dict(area=None), 'numeric `area`: annotation 31'),
    'NaN area': (dict(area=float('nan')), 'annotation 31 has area nan'),
    'NaN box': (dict(bbox=[1, 1, float('nan'), 5]), 'annotation 31'),
    'short box': (dict(bbox=[1, 1, 5]), 'annotation 31'),
    'NaN polygon': (dict(segmentation=[[1, 1, float('nan'), 1, 6, 6]]), 'annotation 31'),
    'no mask': (dict(segmentation=None), 'annotation 31 has no segmentation'),
    'empty mask': (dict(segmentation=[]), 'annotation 31 has no segmentation'),
    'odd polygon': (dict(segmentation=[[*RING, 1]]), 'annotation 31 has a polygon of an odd'),
    'short polygon': (dict(segmentation=[RING[:4]]), 'annotation 31 .* fewer than three'),
    'far polygon': (dict(segmentation=[RING, [*RING, 1e7, 1]]), 'annotation 31 .* beyond'),
    'flat polygon': (dict(segmentation=RING), 'annotation 31 has a segmentation that is neither'),
    'text mask': (dict(segmentation='abc'), 'annotation 31 has a segmentation that is neither'),
    'mask of another size': (
        dict(segmentation={'size': [20, 10], 'counts': 'abc'}),
        r'annotation 31 .*size \[20, 10\] for an image of \[10, 20\]',
    ),
    'short run-length mask': (
        dict(segmentation={'size': [10, 20], 'counts': [3, 4]}),
        'annotation 31 .*cover 7 of 200',
    ),
    'broken run-length code': (
        dict(segmentation={'size': [10, 20], 'counts': 'PPP'}),
        'annotation 31 has a run-length mask that does not cover',
    ),
}


@pytest.mark.parametrize('values, message', BAD_ANNOTATIONS.values(), ids=BAD_ANNOTATIONS)
def test_a_bad_annotation_is_named_with_the_file(tmp_path, data, values, message):
    path = write(tmp_path, change(data, 'annotations', 0, **values))
    with pytest.raises(AnnotationError, match=message) as caught:
        read_ground_truth(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).count(str(path)) == str(caught.value).count('\n') + 1


@pytest.mark.parametrize(
    'section, values, message',
    [
        ('images', dict(id=2), 'image id 2 is used more than once'),
        ('images', dict(height=0), '6x0'),
        ('images', dict(height=2**16, width=2**16), 'image 9 has size'),
        ('images', dict(id=None), 'no `id`'),
        ('categories', dict(id=4), 'category id 4 is used more than once'),
        ('categories', dict(frequency='x'), "'x'"),
        ('categories', dict(name=None), 'no `name`'),
    ],
)
def test_a_bad_image_or_category_is_named(tmp_path, data, section, values, message):
    path = write(tmp_path, change(data, section, 0, **values))
    with pytest.raises(AnnotationError, match=message):
        read_ground_truth(path)


def test_other_files_are_refused(tmp_path, data):
    text = json.dumps(data)
    for content, message in (
        ('', 'the file is empty'),
        (' \n', 'the file is empty'),
        (text[:-200], 'truncated'),
        ('GIF89a', 'not a JSON file'),
        ('[]', 'a result file cannot serve as an annotation file'),
        ('{"images": [], "annotations": []}', 'missing'),
    ):
        path = tmp_path / 'gt.json'
        path.write_text(content)
        with pytest.raises(AnnotationError, match=message):
            read_ground_truth(path)
    path.write_bytes(gzip.compress(text.encode())[:-40])
    with pytest.raises(AnnotationError, match='truncated gzip'):
        read_ground_truth(path)
    with pytest.raises(AnnotationError, match='no such file'):
        read_ground_truth(tmp_path / 'nowhere.json')
    with pytest.raises(AnnotationError, match='folder'):
        read_ground_truth(tmp_path)


def test_many_masks_of_both_kinds_keep_their_order(data):
    polygon, code = data['annotations'][0], data['annotations'][2]
    data['annotations'] = [{**(polygon if k % 3 else code), 'id': k} for k in range(1, 40)]
    ground_truth = read_ground_truth(data)
    wanted = {
        0: intervals(mask_util.frPyObjects(code['segmentation'], 10, 20)),
        1: intervals(mask_util.merge(mask_util.frPyObjects(polygon['segmentation'], 10, 20))),
    }
    for k, annotation_id in enumerate(ground_truth.ann_id.tolist()):
        first, last = ground_truth.mask_offset[k : k + 2]
        start, end = wanted[min(1, annotation_id % 3)]
        assert ground_truth.mask_start[first:last].tolist() == start.tolist()
        assert ground_truth.mask_end[first:last].tolist() == end.tolist()
