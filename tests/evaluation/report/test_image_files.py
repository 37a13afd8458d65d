import gzip

import numpy as np
import pytest

from plugins.annotations import AnnotationError
from plugins.evaluation.report.image_files import ImageFiles
from tests.evaluation.report import small_set


def test_pictures_are_read_by_image_id(tmp_path):
    annotations, _, pictures = small_set.write(tmp_path)
    files = ImageFiles.of(annotations, pictures)
    assert np.array_equal(files.read(7), np.full((100, 200, 3), 200, np.uint8))
    assert files.missing == set()


def test_names_are_read_from_a_compressed_file(tmp_path):
    annotations, _, pictures = small_set.write(tmp_path)
    packed = tmp_path / 'val.json.gz'
    packed.write_bytes(gzip.compress(annotations.read_bytes()))
    assert ImageFiles.of(packed, pictures).read(9).shape == (100, 200, 3)


def test_missing_empty_and_nameless_pictures_are_noted(tmp_path):
    annotations, _, pictures = small_set.write(tmp_path)
    (pictures / '9.png').write_bytes(b'')
    (pictures / '7.png').unlink()
    files = ImageFiles.of(annotations, pictures)
    assert files.read(7) is None and files.read(9) is None and files.read(1234) is None
    assert files.missing == {7, 9, 1234}


def test_a_missing_folder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(AnnotationError, match='nowhere: no such image folder'):
        ImageFiles([], tmp_path / 'nowhere')
