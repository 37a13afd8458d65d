"""Files of a prediction run: names, and what counts as done."""

import json
import os

import cv2
import numpy as np
import pytest

from plugins.errors import UserError
from plugins.inference import ImageFile, OutputFiles

PIXELS = np.full((4, 5, 3), 90, np.uint8)
IMAGES = [ImageFile('x/a.jpg', 'a.jpg'), ImageFile('x/b/a.tif', 'b/a.tif')]


def opened(folder, *, settings=None, resume=False, images=IMAGES, **wanted):
    files = OutputFiles(folder, **{'pictures': True, 'predictions': True, **wanted})
    files.open(settings or {'thr': 1}, images, resume=resume)
    return files


def write(files, image):
    files.write_picture(image, PIXELS)
    files.write_record(image, dict(detections=[]))


def test_names_follow_the_images_and_files_are_whole(tmp_path):
    files = opened(tmp_path / 'new/out')
    for image in IMAGES:
        write(files, image)
    found = sorted(
        path.relative_to(tmp_path / 'new/out').as_posix()
        for path in (tmp_path / 'new/out').rglob('*')
        if path.is_file()
    )
    assert found == [
        'pictures/a.jpg',
        'pictures/b/a.tif.jpg',
        'predictions/a.jpg.json',
        'predictions/b/a.tif.json',
        'settings.json',
    ]
    assert cv2.imread(str(tmp_path / 'new/out/pictures/a.jpg')).shape == PIXELS.shape
    assert json.loads((tmp_path / 'new/out/settings.json').read_text()) == {'thr': 1}


def test_image_is_done_when_all_that_is_wanted_is_there(tmp_path):
    files = opened(tmp_path)
    assert not files.is_done(IMAGES[0])
    files.write_picture(IMAGES[0], PIXELS)
    assert not files.is_done(IMAGES[0])
    assert opened(tmp_path, resume=True, predictions=False).is_done(IMAGES[0])
    files.write_record(IMAGES[0], {})
    assert files.is_done(IMAGES[0]) and not files.is_done(IMAGES[1])


def test_files_of_other_settings_are_not_taken_for_done(tmp_path):
    write(opened(tmp_path), IMAGES[0])
    assert opened(tmp_path, resume=True).is_done(IMAGES[0])
    with pytest.raises(UserError, match='made with another thr; leave --resume out'):
        opened(tmp_path, settings={'thr': 2}, resume=True)
    # A run with other settings that was stopped at once.
    earlier = (tmp_path / 'settings.json').stat().st_mtime_ns
    for path in tmp_path.rglob('a.*'):
        os.utime(path, ns=(earlier - 1, earlier - 1))
    opened(tmp_path, settings={'thr': 2})
    assert not opened(tmp_path, settings={'thr': 2}, resume=True).is_done(IMAGES[0])


def test_two_images_cannot_share_a_picture(tmp_path):
    images = [ImageFile('x/a.tif', 'a.tif'), ImageFile('x/a.tif.jpg', 'a.tif.jpg')]
    with pytest.raises(UserError, match='would have one picture'):
        opened(tmp_path, images=images)


def test_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='cannot be written .*--out-dir'):
        opened(tmp_path / 'file')
