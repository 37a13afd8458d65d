import json
import os
import shutil
import signal
import time

import numpy as np
import pytest

from plugins.annotations import AnnotationError
from plugins.annotations.cache import AnnotationStore, find_places, layout, open_annotations
from plugins.annotations.cache.building import build_cache
from plugins.errors import UserError

pytestmark = pytest.mark.usefixtures('long_ago')


@pytest.fixture
def builds(monkeypatch):
    """A list that grows with every build in this process."""
    done = []

    def counted(path, **options):
        done.append(path)
        return build_cache(path, **options)

    monkeypatch.setattr('plugins.annotations.cache.building.build_cache', counted)
    return done


@pytest.fixture
def hashes(monkeypatch):
    """A list that grows whenever an annotation file is read to compare its content."""
    done = []
    from plugins.annotations.cache.opening import _Opener

    content = _Opener.content
    monkeypatch.setattr(_Opener, 'content', lambda self: done.append(1) or content(self))
    return done


@pytest.fixture
def path(lvis_data, write):
    return write(lvis_data)


@pytest.fixture
def said():
    return []


def test_the_second_opening_builds_nothing_and_reads_nothing(path, builds, hashes, said):
    first = open_annotations(path, log=said.append)
    second = open_annotations(path, log=said.append)
    assert first.path == second.path == path.parent / '.mmtail' / 'train.json.columns'
    assert (len(builds), hashes, said) == (1, [], [])


def test_a_changed_file_is_read_again(path, lvis_data, write, builds, said):
    assert len(open_annotations(path).is_crowd) == 5
    lvis_data['annotations'].pop()
    write(lvis_data)
    assert len(open_annotations(path, log=said.append).is_crowd) == 4
    assert len(builds) == 2
    assert said == [f'{path}: changed since it was cached; it is read again']


def test_a_change_that_keeps_size_and_time_is_noticed(path, builds):
    open_annotations(path)
    before = path.stat()
    path.write_text(path.read_text().replace('"spoon"', '"knife"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert open_annotations(path).names[0] == 'knife'
    assert len(builds) == 2


def test_a_file_that_was_only_touched_is_compared_once(path, builds, hashes, said):
    open_annotations(path)
    os.utime(path)
    for _ in range(3):
        open_annotations(path, log=said.append)
    assert (len(builds), len(hashes), said) == (1, 1, [])


def test_a_file_that_was_written_a_moment_ago_is_compared(path, builds, hashes, monkeypatch):
    monkeypatch.setattr('plugins.annotations.cache.stamps._SETTLED', 1000.0)
    for _ in range(3):
        open_annotations(path)
    assert (len(builds), len(hashes)) == (1, 2)


def places_to_damage(path):
    columns = find_places(path)[0].columns
    size = columns.stat().st_size
    yield from range(0, layout.PREFIX_BYTES + 200, 7)
    yield from (size // 2, size - 1)


def test_a_damaged_byte_is_found_wherever_it_is(path, builds, said):
    store = open_annotations(path)
    intact = store.path.read_bytes()
    damaged = sorted(set(places_to_damage(path)))
    # The zeros behind the prefix mean nothing.
    damaged = [place for place in damaged if not 36 <= place < 40]
    for number, place in enumerate(damaged):
        content = bytearray(intact)
        content[place] ^= 0x10
        store.path.write_bytes(content)
        said.clear()
        again = open_annotations(path, log=said.append)
        assert again.path.read_bytes() == intact
        assert len(builds) == number + 2
        assert len(said) == 1 and str(store.path) in said[0], place


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (lambda content: content[:-1], r'it has \d+ of \d+ bytes'),
        (lambda content: content[:20], 'it is truncated'),
        (lambda content: b'', 'it is empty'),
        (lambda content: content + b'\0', r'it has \d+ of \d+ bytes'),
        (lambda content: b'PK' + content[2:], 'it is something else'),
        (lambda content: content[:8] + b'\0\0\0\0' + content[12:], 'its format is 0, not 1'),
        (lambda content: b'\x80\x04cos\nsystem\n(S"echo"\ntR.' * 99, 'it is something else'),
    ],
)
def test_what_is_no_cache_of_this_format_is_replaced(path, builds, said, change, reason):
    store = open_annotations(path)
    store.path.write_bytes(change(store.path.read_bytes()))
    open_annotations(path, log=said.append)
    assert len(builds) == 2
    import re

    assert re.search(rf'is no cache to be used \({reason}\)', said[0]), said


def test_a_cache_that_was_copied_is_checked_and_used(path, builds, said):
    store = open_annotations(path)
    copied = store.path.with_name('copy')
    shutil.copy(store.path, copied)
    os.replace(copied, store.path)
    for _ in range(2):
        open_annotations(path, log=said.append)
    assert (len(builds), said) == (1, [])


def test_a_cache_of_another_file_is_not_used(path, lvis_data, write, builds):
    lvis_data['categories'][0]['name'] = 'other'
    other = write(lvis_data, 'other.json')
    stores = [open_annotations(one) for one in (path, other)]
    shutil.copy(stores[1].path, stores[0].path)
    assert open_annotations(path).names[0] == 'spoon'
    assert len(builds) == 3


def test_a_garbled_receipt_costs_a_check_and_no_more(path, builds, hashes):
    place = find_places(path)[0]
    open_annotations(path)
    for content in (b'', b'{}', b'\xff', b'[1, 2]', b'{"source": null, "columns": [1, 2, 3, 4]}'):
        place.receipt.write_bytes(content)
        open_annotations(path)
        open_annotations(path)
    assert (len(builds), len(hashes)) == (1, 5)


def test_fatal_problems_are_refused_from_the_cache_too(path, lvis_data, write, builds):
    lvis_data['annotations'][0]['bbox'] = [60, 10, 20, 20]
    write(lvis_data)
    with pytest.raises(AnnotationError, match='box more than 2 px outside'):
        open_annotations(path)
    assert not (path.parent / '.mmtail' / 'train.json.columns').exists()
    store = open_annotations(path, allow=['box-partly-outside'])
    with pytest.raises(AnnotationError, match=r'train\.json: 1 annotation with a box more than'):
        open_annotations(path)
    assert [problem.code for problem in store.problems] == ['box-partly-outside']
    assert len(builds) == 2


def block_writing(folder) -> None:
    """Root may write anywhere: a file where a folder is needed stops it, too."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text('')


def test_places_are_tried_in_order(path, tmp_path, monkeypatch, said):
    for name in ('MMTAIL_CACHE', 'XDG_CACHE_HOME', 'HOME', 'TMPDIR'):
        monkeypatch.delenv(name, raising=False)
    home, temporary = tmp_path / 'home', tmp_path / 'tmp'
    temporary.mkdir()
    monkeypatch.setenv('HOME', str(home))
    monkeypatch.setattr('tempfile.tempdir', str(temporary))
    block_writing(path.parent / '.mmtail')
    assert open_annotations(path).path.parent == home / '.cache' / 'mmtail'
    shutil.rmtree(home)
    block_writing(home / '.cache')
    store = open_annotations(path, log=said.append)
    assert store.path.parent == temporary / f'mmtail-{os.getuid()}'
    shutil.rmtree(store.path.parent)
    block_writing(store.path.parent)
    assert said == []
    store = open_annotations(path, log=said.append)
    assert store.path is None and 'kept in memory' in said[0]
    monkeypatch.setenv('MMTAIL_CACHE', str(tmp_path / 'named'))
    assert open_annotations(path).path.parent == tmp_path / 'named'


def test_a_cache_in_a_folder_that_cannot_be_written_is_used(path, builds, monkeypatch, said):
    store = open_annotations(path)
    # Another machine sees other inodes and times, so that the receipt means nothing to it.
    find_places(path)[0].receipt.unlink()
    place = find_places(path)[0]
    place.lock.unlink(missing_ok=True)
    place.lock.mkdir()
    assert open_annotations(path, log=said.append).path == store.path
    assert open_annotations(path, cache_dir=None).path == store.path
    assert (len(builds), said) == (1, [])


def test_a_folder_of_the_config_that_cannot_be_written_is_named(path, tmp_path, builds):
    block_writing(tmp_path / 'taken')
    with pytest.raises(UserError, match=r"cache_dir='.*taken' cannot be written \(.+\); name anot"):
        open_annotations(path, cache_dir=tmp_path / 'taken')
    assert builds == []


def test_a_full_disk_is_another_folder_that_cannot_be_written(
    path, tmp_path, builds, monkeypatch, said
):
    from plugins.annotations.cache import opening

    def fail(place, write):
        if place.columns.parent.name == '.mmtail':
            raise opening._UnwritableError('No space left on device')
        return put(place, write)

    put = opening._write
    monkeypatch.setattr(opening, '_write', fail)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    store = open_annotations(path, log=said.append)
    assert store.path.parent == tmp_path / 'xdg' / 'mmtail'
    assert len(builds) == 1 and len(store.instances(0).segmentations[0][0]) == 8


def test_an_interrupted_write_leaves_nothing(path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('plugins.annotations.cache.opening.os.fsync', interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_annotations(path)
    left = {file.name for file in (path.parent / '.mmtail').iterdir()}
    assert left <= {'train.json.columns.lock'}


def test_nothing_is_written_where_that_is_not_wanted(path, tmp_path):
    store = open_annotations(path, cache_dir=False)
    assert store.path is None
    assert [file.name for file in tmp_path.iterdir()] == ['train.json']


def test_no_folder_is_made_for_a_file_that_does_not_exist(tmp_path):
    with pytest.raises(AnnotationError, match='no such annotation file'):
        open_annotations(tmp_path / 'data' / 'train.json')
    with pytest.raises(AnnotationError, match='no such annotation file'):
        open_annotations(tmp_path / 'data' / 'train.json', cache_dir=tmp_path / 'cache')
    assert list(tmp_path.iterdir()) == []


def test_files_of_one_name_do_not_share_a_cache(lvis_data, write, tmp_path):
    folder = tmp_path / 'caches'
    paths = []
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        lvis_data['categories'][0]['name'] = name
        paths.append(write(lvis_data, f'{name}/train.json'))
    stores = [open_annotations(path, cache_dir=folder) for path in paths]
    assert [store.names[0] for store in stores] == ['a', 'b']
    assert len(list(folder.glob('*-train.json.columns'))) == 2


def test_a_fetched_file_is_known_by_its_content(path, tmp_path, builds, monkeypatch, write):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    fetched = tmp_path / 'fetched'
    fetched.mkdir()
    for name in ('abc.json', 'def.json'):
        shutil.copy(path, fetched / name)
        store = open_annotations(fetched / name, name='http://host/train.json', is_copy=True)
        assert store.path.parent == tmp_path / 'xdg' / 'mmtail'
    assert len(builds) == 1 and len(list(fetched.iterdir())) == 2
    write(path.read_text().replace('"spoon"', '"knife"'), 'fetched/abc.json')
    again = open_annotations(fetched / 'abc.json', name='http://host/train.json', is_copy=True)
    assert again.names[0] == 'knife' and len(builds) == 2


def test_processes_that_start_together_build_once(path, start_opening):
    processes = [start_opening(path, delay=1.5) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    results = [json.loads(lines[-1]) for lines in outputs]
    assert [result[0] for result in results] == [3, 3]
    assert results[0][1] == results[1][1]
    waited = f'{path}: waiting for the process that reads it'
    assert sorted(said for result in results for said in result[2]) == [waited, 'built']


def test_a_killed_builder_stops_nobody(path, start_opening):
    process = start_opening(path, delay=60)
    assert process.stdout.readline() == 'building\n'
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    folder = path.parent / '.mmtail'
    (folder / 'train.json.columns.77.partial').write_bytes(b'half')
    begin = time.monotonic()
    open_annotations(path)
    assert time.monotonic() - begin < 5
    assert not list(folder.glob('*.partial'))


def test_opening_needs_neither_torch_nor_compiled_code(path, start_opening, root):
    import subprocess
    import sys

    open_annotations(path)
    code = (
        'import sys\n'
        'from tools.light import import_light\n'
        'import_light("annotations.cache").open_annotations(sys.argv[1]).instances(0)\n'
        'print(sorted({"torch", "numba", "mmengine", "cv2", "tqdm"} & set(sys.modules)))\n'
    )
    command = [sys.executable, '-c', code, str(path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.stdout == '[]\n', done.stderr


def test_columns_cannot_be_changed(path):
    store = open_annotations(path)
    for one in (store, open_annotations(path, cache_dir=False)):
        with pytest.raises(ValueError, match='read-only'):
            one.categories[0] = 1
    assert np.array_equal(AnnotationStore.open(store.path).categories, store.categories)
