import os

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger

from plugins.checkpoints import latest_complete_checkpoint
from plugins.hooks import AtomicCheckpointHook


class _Runner:
    """The part of a runner that the hook uses; its checkpoints are what it is told to write."""

    def __init__(self, work_dir):
        self.work_dir = str(work_dir)
        self.logger = MMLogger.get_instance('atomic_checkpoint_hook')
        self.message_hub = MessageHub.get_instance(f'hub_{work_dir.name}')
        self.epoch = self.iter = 0
        self.files_while_saving = []
        self.fails = False

    def save_checkpoint(self, out_dir, filename, *_, **__):
        self.files_while_saving.append(_checkpoints(out_dir))
        if self.fails:
            raise OSError(28, 'No space left on device')
        torch.save({'epoch': self.epoch}, os.path.join(out_dir, filename))


def _checkpoints(folder):
    return sorted(name for name in os.listdir(folder) if name.endswith('.pth'))


def _train(hook, runner, epochs):
    for _ in range(epochs):
        hook.after_train_epoch(runner)
        runner.epoch += 1


@pytest.fixture
def runner(tmp_path):
    return _Runner(tmp_path)


def _hook(runner, **kwargs):
    hook = AtomicCheckpointHook(interval=1, save_last=False, **kwargs)
    hook.before_train(runner)
    return hook


def test_old_checkpoint_goes_only_after_the_new_one_is_complete(runner, tmp_path):
    hook = _hook(runner, max_keep_ckpts=1)
    _train(hook, runner, 3)
    assert runner.files_while_saving == [[], ['epoch_1.pth'], ['epoch_2.pth']]
    assert _checkpoints(tmp_path) == ['epoch_3.pth']


def test_failed_save_leaves_the_previous_checkpoint_to_resume_from(runner, tmp_path):
    hook = _hook(runner, max_keep_ckpts=1)
    _train(hook, runner, 1)
    runner.fails = True
    with pytest.raises(OSError, match='No space left'):
        _train(hook, runner, 1)
    assert latest_complete_checkpoint(tmp_path) == str(tmp_path / 'epoch_1.pth')


def test_previous_best_goes_only_after_the_new_best_is_complete(runner, tmp_path):
    hook = _hook(runner, save_best='lvis/segm_AP_old@300', rule='greater')
    for score in (0.1, 0.05, 0.2):
        runner.epoch += 1
        hook.after_val_epoch(runner, {'lvis/segm_AP_old@300': score})
    name = 'best_lvis_segm_AP_old@300_epoch_{}.pth'
    assert runner.files_while_saving == [[], [name.format(1)]]
    assert _checkpoints(tmp_path) == [name.format(3)]


def test_best_checkpoint_written_again_under_its_name_is_kept(runner, tmp_path):
    hook = _hook(runner, save_best='ap', rule='greater')
    runner.epoch = 4
    hook.after_val_epoch(runner, {'ap': 0.1})
    hook.after_val_epoch(runner, {'ap': 0.2})
    assert _checkpoints(tmp_path) == ['best_ap_epoch_4.pth']


def test_files_are_written_by_the_atomic_backend_unless_told_otherwise():
    assert AtomicCheckpointHook().backend_args == dict(backend='atomic_local')
    assert (
        AtomicCheckpointHook(backend_args=dict(backend='petrel')).backend_args['backend']
        == 'petrel'
    )


@pytest.mark.parametrize('save_best', [None, 'AP'])
def test_validation_without_training_saves_nothing(runner, tmp_path, save_best):
    rule = dict(rule='greater') if save_best else {}
    hook = AtomicCheckpointHook(interval=1, save_best=save_best, **rule)
    hook.after_val_epoch(runner, {'AP': 0.5})
    assert _checkpoints(tmp_path) == []
