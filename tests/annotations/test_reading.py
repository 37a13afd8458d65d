import gzip
import json
import math
import pickle

import pytest

from plugins.annotations import AnnotationError, read_annotations, write_annotations


@pytest.fixture
def rejected(tmp_path):
    """Message with which reading the given content is refused."""

    def read(content: bytes | dict | list, name: str = 'bad.json') -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        with pytest.raises(AnnotationError) as caught:
            read_annotations(path)
        message = str(caught.value)
        assert message.startswith(str(path))
        assert '\n' not in message
        return message

    return read


def test_a_valid_file_is_read_as_written(tmp_path, lvis_data):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(lvis_data))
    assert read_annotations(path) == lvis_data


def test_gzip_is_told_by_content_and_a_byte_order_mark_is_skipped(tmp_path, lvis_data):
    text = json.dumps(lvis_data).encode()
    for name, content in (
        ('a.json.gz', gzip.compress(text)),
        ('misnamed.json', gzip.compress(text)),
        ('from_windows.json', b'\xef\xbb\xbf' + text),
    ):
        (tmp_path / name).write_bytes(content)
        assert read_annotations(tmp_path / name) == lvis_data


def test_a_missing_file_says_what_to_check(tmp_path):
    with pytest.raises(AnnotationError, match=r'no such annotation file; check `ann_file`'):
        read_annotations(tmp_path / 'absent.json')


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match='this is a folder'):
        read_annotations(tmp_path)


@pytest.mark.parametrize('content', [b'', b'  \n'])
def test_an_empty_file_is_named(rejected, content):
    assert 'is empty' in rejected(content)


def test_a_truncated_file_names_the_byte_it_ends_at(rejected, lvis_data):
    text = json.dumps(lvis_data).encode()
    for length in range(1, len(text), 37):
        assert f'breaks off at byte {length};' in rejected(text[:length])


def test_a_truncated_gzip_file_is_refused(rejected, lvis_data):
    packed = gzip.compress(json.dumps(lvis_data).encode())
    assert 'truncated gzip' in rejected(packed[: len(packed) // 2], 'a.json.gz')
    assert 'gzip' in rejected(packed[:20] + b'\xff' * 30, 'b.json.gz')


@pytest.mark.parametrize(
    'content', [b'<html>404</html>', b'[1,]', b'{} x', b'\xff\xfe{\x00', b'{"a": "\xff"}']
)
def test_what_is_not_json_is_refused(rejected, content):
    assert 'not a JSON file' in rejected(content) or 'not UTF-8' in rejected(content)


def test_deep_nesting_does_not_crash(rejected):
    assert 'nested too deeply' in rejected(b'[' * 100_000)


def test_a_pickle_is_never_executed(rejected, tmp_path):
    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / 'executed'), 'w')

    rejected(pickle.dumps(Bomb()))
    assert not (tmp_path / 'executed').exists()


@pytest.mark.parametrize('content', [[], 3, None, 'text'])
def test_the_top_level_must_be_an_object(rejected, content):
    assert 'top level' in rejected(json.dumps(content).encode())


@pytest.mark.parametrize('section', ['images', 'annotations', 'categories'])
def test_missing_and_mistyped_sections_are_named(rejected, lvis_data, section):
    assert f'`{section}` must be a list' in rejected({**lvis_data, section: {}})
    del lvis_data[section]
    assert f'`{section}` is missing' in rejected(lvis_data)


def test_a_file_without_images_or_categories_is_refused(rejected, lvis_data):
    assert '`images` is empty' in rejected({**lvis_data, 'images': []})
    assert '`categories` is empty' in rejected({**lvis_data, 'categories': []})


@pytest.mark.parametrize(
    ('section', 'key', 'place'),
    [
        ('images', 'id', 'images[1] has'),
        ('images', 'width', 'images[1] (image 2) has'),
        ('annotations', 'image_id', 'annotations[1] (annotation 12) has'),
        ('annotations', 'category_id', 'annotations[1] (annotation 12) has'),
        ('categories', 'name', 'categories[1] (category 7) has'),
    ],
)
def test_a_missing_key_names_record_and_key(rejected, lvis_data, section, key, place):
    del lvis_data[section][1][key]
    message = rejected(lvis_data)
    assert place in message
    assert f'no `{key}`' in message


@pytest.mark.parametrize('value', ['7', 1.5, True, None, 2**63])
def test_ids_must_be_whole_numbers_of_64_bits(rejected, lvis_data, value):
    lvis_data['annotations'][2]['image_id'] = value
    message = rejected(lvis_data)
    assert 'annotation 13' in message
    assert 'whole number' in message


def test_an_image_without_extent_is_refused(rejected, lvis_data):
    lvis_data['images'][0]['height'] = 0
    assert 'image 1 has size 64x0' in rejected(lvis_data)


def test_a_record_that_is_no_object_is_named(rejected, lvis_data):
    lvis_data['annotations'][3] = [1, 2]
    assert 'annotations[3] must be an object' in rejected(lvis_data)


def test_nan_reaches_the_structure_check(tmp_path, lvis_data):
    lvis_data['annotations'][0]['bbox'][0] = math.nan
    path = tmp_path / 'nan.json'
    path.write_text(json.dumps(lvis_data))
    assert math.isnan(read_annotations(path)['annotations'][0]['bbox'][0])


@pytest.mark.parametrize('name', ['out.json', 'deep/folder/out.json.gz'])
def test_written_files_are_read_back(tmp_path, lvis_data, name):
    path = tmp_path / name
    write_annotations(path, lvis_data)
    assert read_annotations(path) == lvis_data
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file(tmp_path, lvis_data):
    path = tmp_path / 'out.json'
    write_annotations(path, lvis_data)
    with pytest.raises(TypeError):
        write_annotations(path, {'images': object()})
    assert read_annotations(path) == lvis_data
    assert len(list(tmp_path.iterdir())) == 1
