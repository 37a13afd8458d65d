"""Images that files, folders and patterns stand for."""

import os

import cv2
import numpy as np
import pytest

from plugins.errors import UserError
from plugins.inference import find_images, read_image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A tree of empty files; the tests run in it."""
    names = (
        'a/1.jpg',
        'a/2.PNG',
        'a/b/1.jpg',
        'a/notes.txt',
        'c/1.jpg',
        'odd [1].jpg',
        'out/1.jpg',
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*inputs, **options):
    return [image.name for image in find_images(inputs, **options)]


def test_folder_stands_for_all_images_below_it(folder):
    assert names('a') == ['1.jpg', '2.PNG', 'b/1.jpg']


def test_names_tell_apart_files_of_one_name(folder):
    assert names('a/1.jpg', 'c/1.jpg', 'a/b/1.jpg') == ['a/1.jpg', 'c/1.jpg', 'a/b/1.jpg']


def test_every_file_is_taken_once_where_it_is_first_named(folder):
    found = find_images(['a/b/1.jpg', './a', str(folder / 'a')])
    assert [image.path for image in found] == ['a/b/1.jpg', './a/1.jpg', './a/2.PNG']


def test_patterns_find_images_and_a_file_is_a_file_whatever_its_name(folder):
    assert names('a/*') == ['1.jpg', '2.PNG']
    assert names('**/1.jpg') == ['a/1.jpg', 'a/b/1.jpg', 'c/1.jpg', 'out/1.jpg']
    assert names('odd [1].jpg') == ['odd [1].jpg']
    assert names('a/notes.txt') == ['notes.txt']


def test_pictures_of_an_earlier_run_are_not_looked_at(folder):
    assert names('.', leave_out='out') == [
        'a/1.jpg',
        'a/2.PNG',
        'a/b/1.jpg',
        'c/1.jpg',
        'odd [1].jpg',
    ]


@pytest.mark.parametrize(
    ('given', 'message'),
    [('nowhere', 'nowhere does not exist'), ('*.bmp', 'has no images'), ('empty', 'has no images')],
)
def test_input_without_images_is_an_error(folder, given, message):
    (folder / 'empty').mkdir()
    with pytest.raises(UserError, match=message):
        find_images(['a', given])
    with pytest.raises(UserError, match='no images are given'):
        find_images([])


def test_what_is_no_image_is_an_error_that_names_it(folder):
    (folder / 'text.jpg').write_text('text')
    for name in ('a/1.jpg', 'text.jpg', 'gone.jpg'):
        with pytest.raises(UserError, match=name):
            read_image(name)


@pytest.mark.skipif(os.name != 'posix' or os.geteuid() == 0, reason='root may read everything')
def test_file_without_permission_is_an_error(folder):
    (folder / 'a/1.jpg').chmod(0)
    with pytest.raises(UserError, match='cannot be read'):
        read_image('a/1.jpg')


def test_deep_and_grey_pixels_become_bytes_in_three_channels(folder):
    deep = np.arange(0, 60000, 10000, np.uint16).reshape(2, 3)
    cv2.imwrite('deep.png', deep)
    image = read_image('deep.png')
    assert image.dtype == np.uint8 and image.shape == (2, 3, 3)
    assert (image == (deep // 256)[..., None]).all()
