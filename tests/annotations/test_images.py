import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.annotations import (
    AnnotationError,
    find_missing,
    find_unreadable,
    image_name,
    image_path,
    read_annotations,
)


def _noise(path, size=(40, 30), **options) -> str:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return str(path)


@pytest.mark.parametrize(
    ('record', 'name'),
    [
        ({'file_name': '000000000009.jpg'}, '000000000009.jpg'),
        ({'file_name': 'batch_1/000006.jpg', 'coco_url': None}, 'batch_1/000006.jpg'),
        ({'file_name': 'COCO_val2014_000000391895.jpg'}, '000000391895.jpg'),
        (
            {'coco_url': 'http://images.cocodataset.org/train2017/000000391895.jpg'},
            'train2017/000000391895.jpg',
        ),
        ({'coco_url': 'val2017/a.png'}, 'val2017/a.png'),
        (
            {'file_name': 'a.jpg', 'coco_url': 'http://images.cocodataset.org/val2017/a.jpg'},
            'a.jpg',
        ),
        ({'file_name': '', 'coco_url': ''}, None),
        ({}, None),
    ],
)
def test_names_of_each_format(record, name):
    assert image_name(record) == name


def test_path_joins_the_folder(tmp_path):
    record = {'id': 1, 'coco_url': 'http://images.cocodataset.org/val2017/a.jpg'}
    assert image_path(record, tmp_path) == str(tmp_path / 'val2017' / 'a.jpg')


@pytest.mark.parametrize(
    'name', ['/a.jpg', '../a.jpg', 'x/../../a.jpg', 'C:/a.jpg', '..\\a.jpg', 'a\0.jpg']
)
def test_names_that_leave_the_folder_are_refused(name, tmp_path):
    with pytest.raises(AnnotationError, match=r'image 4: .* leaves the image folder'):
        image_path({'id': 4, 'file_name': name}, tmp_path)


def test_a_url_cannot_climb(tmp_path):
    with pytest.raises(AnnotationError):
        image_path({'id': 4, 'coco_url': 'http://host/../a.jpg'}, tmp_path)


def test_a_record_without_a_name_is_an_error(tmp_path):
    with pytest.raises(AnnotationError, match='image 4 has neither'):
        image_path({'id': 4}, tmp_path)


def test_missing_files_and_folders_are_told_apart(tmp_path):
    here = _noise(tmp_path / 'a.png')
    lost, nowhere = str(tmp_path / 'b.png'), str(tmp_path / 'no' / 'c.png')
    found = find_missing([here, lost, nowhere])
    assert [(one.path, one.code) for one in found] == [
        (lost, 'missing'),
        (nowhere, 'missing-folder'),
    ]


def test_missing_files_are_found_by_one_listing_per_folder(tmp_path, monkeypatch):
    paths = [_noise(tmp_path / f'{k}.png') for k in range(5)]
    calls = []
    list_folder = os.listdir
    monkeypatch.setattr(os, 'listdir', lambda folder: calls.append(folder) or list_folder(folder))
    assert find_missing(paths) == []
    assert len(calls) == 1


@pytest.mark.parametrize('deep', [False, True])
@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.bmp'])
def test_good_images_pass_and_their_size_is_compared(tmp_path, name, deep):
    path = _noise(tmp_path / name)
    assert find_unreadable([path], [(40, 30)], deep=deep) == []
    (fault,) = find_unreadable([path], [(30, 40)], deep=deep)
    assert (fault.code, fault.detail) == ('size', '40x30, annotated as 30x40')


@pytest.mark.parametrize('name', ['a.jpg', 'a.png'])
@pytest.mark.parametrize('keep', [0.3, 0.9, 0.999])
def test_truncated_images_are_found_without_decoding(tmp_path, name, keep):
    path = _noise(tmp_path / name, size=(200, 150))
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: int(len(content) * keep)])
    (fault,) = find_unreadable([path])
    assert fault.code == 'truncated'


def test_padding_after_a_jpeg_is_accepted(tmp_path):
    for name, length in (('little.jpg', 1000), ('much.jpg', 20_000)):
        path = _noise(tmp_path / name)
        with open(path, 'ab') as file:
            file.write(b'\0' * length)
        assert find_unreadable([path], [(40, 30)]) == []


def test_empty_and_foreign_files_are_named_in_order(tmp_path):
    empty, text = tmp_path / 'empty.jpg', tmp_path / 'text.jpg'
    empty.touch()
    text.write_text('not an image')
    good = _noise(tmp_path / 'good.jpg')
    found = find_unreadable([str(text), good, str(empty)], threads=3)
    assert [(one.path, one.code) for one in found] == [
        (str(text), 'undecodable'),
        (str(empty), 'empty'),
    ]


@pytest.mark.parametrize('deep', [False, True])
def test_exif_orientation_is_applied_as_in_training(tmp_path, deep):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = _noise(tmp_path / 'sideways.jpg', exif=exif)
    assert find_unreadable([path], [(30, 40)], deep=deep) == []


def test_a_damaged_body_is_found_by_the_deep_check(tmp_path):
    path = _noise(tmp_path / 'a.png', size=(200, 150))
    content = bytearray(Path(path).read_bytes())
    content[60:-60] = b'\xaa' * (len(content) - 120)
    Path(path).write_bytes(content)
    assert find_unreadable([path]) == []
    assert [one.code for one in find_unreadable([path], deep=True)] in (['undecodable'], ['size'])


def test_real_photos_are_complete(shared):
    folder = shared / 'data/coco_small'
    data = read_annotations(folder / 'annotations/instances_val.json')
    paths = [image_path(record, folder / 'val') for record in data['images']]
    sizes = [(record['width'], record['height']) for record in data['images']]
    assert find_unreadable(paths, sizes) == []
    assert find_unreadable(paths, sizes, deep=True) == []
