import pytest

from plugins.errors import UserError
from plugins.runtime.unfinished_test import UnfinishedTest

MADE_OF = {'weights': 'aa', 'annotations': 'bb'}


def test_folder_is_found_again_by_what_it_is_made_of(tmp_path):
    first = UnfinishedTest(tmp_path, MADE_OF)
    assert not first.is_begun()
    first.begin()
    (first.path / 'metric0').mkdir()
    first._lock.release()  # as the system does when a process ends
    again = UnfinishedTest(tmp_path, dict(reversed(MADE_OF.items())))
    assert again.path == first.path and again.is_begun()
    again.begin()
    assert not (again.path / 'metric0').exists() and again.is_begun()


def test_differences_of_the_most_similar_test_are_named(tmp_path):
    for made_of in ({'weights': 'xx', 'annotations': 'yy'}, {'weights': 'xx', 'annotations': 'bb'}):
        UnfinishedTest(tmp_path, made_of).begin()
    assert 'has another weights' in UnfinishedTest(tmp_path, MADE_OF).differences()
    assert UnfinishedTest(tmp_path / 'empty', MADE_OF).differences() is None


def test_two_programs_cannot_write_to_the_same_place(tmp_path):
    first = UnfinishedTest(tmp_path, MADE_OF)
    with pytest.raises(UserError, match=r'another program is running this test.*--work-dir'):
        UnfinishedTest(tmp_path, MADE_OF)
    UnfinishedTest(tmp_path, {'weights': 'other'})
    first.remove()
    UnfinishedTest(tmp_path, MADE_OF)


def test_finished_tests_leave_nothing(tmp_path):
    root = tmp_path / 'results'
    first, second = UnfinishedTest(root, MADE_OF), UnfinishedTest(root, {'weights': 'other'})
    first.begin()
    second.begin()
    first.remove()
    assert [path.name for path in root.iterdir()] == [second.path.name]
    second.remove()
    assert not root.exists()
