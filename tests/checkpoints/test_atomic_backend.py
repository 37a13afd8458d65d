import os
import stat

import pytest
from mmengine.fileio import get_file_backend

from plugins.checkpoints import AtomicLocalBackend


def test_backend_is_found_by_its_name():
    backend = get_file_backend('any/path', backend_args=dict(backend='atomic_local'))
    assert isinstance(backend, AtomicLocalBackend)


def test_file_is_written_with_the_usual_permissions(tmp_path):
    target, plain = tmp_path / 'new' / 'x.pth', tmp_path / 'plain'
    AtomicLocalBackend().put(b'content', target)
    plain.write_bytes(b'')
    assert target.read_bytes() == b'content'
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize('failing_step', ['fsync', 'replace'])
def test_failed_write_leaves_the_old_file_and_no_remains(tmp_path, monkeypatch, failing_step):
    target = tmp_path / 'x.pth'
    target.write_bytes(b'old')

    def disk_full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, failing_step, disk_full)
    with pytest.raises(OSError, match='No space left'):
        AtomicLocalBackend().put(b'new', target)
    assert target.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['x.pth']
