import os

import pytest
import torch

from plugins.checkpoints import latest_complete_checkpoint


@pytest.fixture
def run(tmp_path):
    for epoch in (1, 2, 10):
        torch.save({'epoch': epoch, 'w': torch.zeros(500)}, tmp_path / f'epoch_{epoch}.pth')
    torch.save({}, tmp_path / 'best_lvis_segm_AP_epoch_11.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_10.pth'))
    return tmp_path


def test_checkpoints_outside_the_work_dir_are_found_by_the_pointer(run, tmp_path):
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    (work_dir / 'last_checkpoint').write_text(str(run / 'epoch_10.pth'))
    assert latest_complete_checkpoint(work_dir) == str(run / 'epoch_10.pth')
    _cut(run / 'epoch_10.pth', 0.9)
    assert latest_complete_checkpoint(work_dir) == str(run / 'epoch_2.pth')


def test_pointer_that_was_cut_off_while_written_is_ignored(run):
    (run / 'last_checkpoint').write_text('')
    assert latest_complete_checkpoint(run) == str(run / 'epoch_10.pth')


def _cut(path, fraction):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])


def test_newest_step_counts_as_a_number_and_best_files_do_not(run):
    (run / 'last_checkpoint').unlink()
    assert latest_complete_checkpoint(run) == str(run / 'epoch_10.pth')


def test_pointer_comes_first_and_follows_a_moved_folder(run):
    (run / 'last_checkpoint').write_text('/old/place/epoch_2.pth')
    assert latest_complete_checkpoint(run) == str(run / 'epoch_2.pth')


def test_checkpoint_that_a_killed_run_had_not_named_yet_comes_first(run):
    pointer = run / 'last_checkpoint'
    pointer.write_text(str(run / 'epoch_2.pth'))
    written = pointer.stat().st_mtime_ns
    for epoch, later in ((1, -1), (2, -1), (10, 1)):
        os.utime(run / f'epoch_{epoch}.pth', ns=(written, written + later * 10**9))
    assert latest_complete_checkpoint(run) == str(run / 'epoch_10.pth')
    _cut(run / 'epoch_10.pth', 0.9)
    assert latest_complete_checkpoint(run) == str(run / 'epoch_2.pth')


def test_truncated_last_checkpoint_falls_back_to_the_one_before(run):
    _cut(run / 'epoch_10.pth', 0.9)
    assert latest_complete_checkpoint(run) == str(run / 'epoch_2.pth')


def test_flipped_byte_is_found(run):
    path = run / 'epoch_10.pth'
    content = bytearray(path.read_bytes())
    position = content.index(bytes(1000))
    content[position + 500] ^= 1
    path.write_bytes(bytes(content))
    assert latest_complete_checkpoint(run) == str(run / 'epoch_2.pth')


def test_run_without_a_complete_checkpoint_starts_anew(tmp_path):
    assert latest_complete_checkpoint(tmp_path) is None
    (tmp_path / 'epoch_1.pth').write_bytes(b'half')
    assert latest_complete_checkpoint(tmp_path) is None
