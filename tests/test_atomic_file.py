"""A file is there whole or not at all."""

import pytest

from plugins.atomic_file import atomic_file


def test_name_belongs_to_what_is_complete(tmp_path):
    path = tmp_path / 'new/folder/out.bin'
    for content in (b'first', b'second'):
        with atomic_file(path) as file:
            file.write(content)
            file.flush()
            assert path.exists() == (content == b'second')
            assert not path.exists() or path.read_bytes() == b'first'
        assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == ['out.bin']


@pytest.mark.parametrize('existed', [True, False])
def test_interrupted_file_leaves_what_was_there(tmp_path, existed):
    path = tmp_path / 'folder/out.json'
    if existed:
        path.parent.mkdir()
        path.write_text('before')
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as file:
        file.write(b'half')
        raise KeyboardInterrupt
    assert [p.name for p in path.parent.iterdir()] == (['out.json'] if existed else [])
    assert not existed or path.read_text() == 'before'
