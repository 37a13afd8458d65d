import copy

import pytest

from plugins.annotations import (
    AnnotationError,
    find_problems,
    read_annotations,
    verify_annotations,
)


def test_a_clean_file_has_no_problems(lvis_data, coco_data):
    assert find_problems(lvis_data, thorough=True) == []
    assert verify_annotations(coco_data, 'a.json') == []


def test_real_files_pass(shared):
    for name in (
        'coco_small/annotations/instances_train.json',
        'coco_small/annotations/instances_val.json',
    ):
        path = shared / 'data' / name
        assert verify_annotations(read_annotations(path), path) == []


def test_taco_repeats_two_annotation_ids(shared):
    path = shared / 'data/taco/annotations.json'
    with pytest.raises(
        AnnotationError, match='2 annotation ids used more than once: annotation id'
    ):
        verify_annotations(read_annotations(path), path)


@pytest.mark.parametrize(
    ('section', 'kind', 'value'),
    [('images', 'image', 1), ('annotations', 'annotation', 11), ('categories', 'category', 5)],
)
def test_duplicated_ids_are_named(lvis_data, problem_of, section, kind, value):
    extra = copy.deepcopy(lvis_data[section][0])
    if kind == 'category':
        extra['name'] = 'other'
    lvis_data[section].append(extra)
    found = problem_of(lvis_data)
    assert found.code == f'duplicate-{kind}-id'
    assert found.examples == (f'{kind} id {value}',)
    assert found.fatal


def test_a_repeated_category_name_is_named(lvis_data, problem_of):
    lvis_data['categories'][1]['name'] = 'spoon'
    assert problem_of(lvis_data).examples == ("'spoon'",)


def test_annotations_of_unknown_images_are_named(lvis_data, problem_of):
    lvis_data['annotations'][0]['image_id'] = 77
    found = problem_of(lvis_data)
    assert found.code == 'unknown-image'
    assert found.examples == ('annotation 11 (image 77)',)


def test_annotations_of_unknown_categories_are_named_with_their_image(lvis_data, problem_of):
    lvis_data['annotations'][0]['category_id'] = 6
    found = problem_of(lvis_data)
    assert found.code == 'unknown-category'
    assert found.examples == ('annotation 11 (category 6) of image 1',)


@pytest.mark.parametrize(
    'name', ['/etc/passwd', '../a.jpg', 'a/../../b.jpg', 'C:\\a.jpg', '\\a.jpg']
)
def test_names_that_leave_the_folder_are_refused(lvis_data, problem_of, name):
    lvis_data['images'][1]['file_name'] = name
    found = problem_of(lvis_data)
    assert found.code == 'unsafe-file-name'
    assert 'image 2' in found.examples[0]


def test_an_image_without_a_name_is_named(lvis_data, problem_of):
    del lvis_data['images'][2]['file_name']
    assert problem_of(lvis_data).examples == ('image 3',)


def test_every_class_of_problem_has_one_line_with_the_file_and_how_many_more(lvis_data):
    for record in lvis_data['annotations']:
        record['bbox'] = None
        record['segmentation'] = [[1.0] * 7]
    with pytest.raises(AnnotationError) as caught:
        verify_annotations(lvis_data, 'folder/a.json')
    lines = str(caught.value).split('\n')
    assert len(lines) == 2
    for line in lines:
        assert line.startswith('folder/a.json: 5 annotations')
        assert 'annotation 11 (image 1)' in line
        assert 'and 2 more' in line
        assert line.endswith('tools/data/coco_to_lvis.py drops or repairs them')


def test_allowed_problems_are_returned_instead_of_raised(lvis_data):
    lvis_data['annotations'][0]['bbox'] = [50.0, 10.0, 30.0, 20.0]
    with pytest.raises(AnnotationError, match='more than 2 px outside'):
        verify_annotations(lvis_data, 'a.json')
    found = verify_annotations(lvis_data, 'a.json', allow={'box-partly-outside'})
    assert [one.code for one in found] == ['box-partly-outside']


def test_a_file_without_annotations_is_structurally_sound(lvis_data):
    lvis_data['annotations'] = []
    assert find_problems(lvis_data, thorough=True) == []
