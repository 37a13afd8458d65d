"""A run with averaged weights and early stopping, undisturbed and after kill -9."""

import os
import signal
import subprocess
import time

import cv2
import pytest
import torch

AP = 'lvis/bbox_AP_old@300'
BEST = 'best_lvis_bbox_AP_old@300_epoch_3.pth'
CONFIG = f"""
_base_ = './my config.py'
train_cfg = dict(max_epochs=6, val_interval=1)
default_hooks = dict(checkpoint=dict(save_best={AP!r}, rule='greater'))
# No gain of AP is above 1: the run ends after the first validation and two more.
custom_hooks = [
    dict(type='WeightsEMAHook', momentum=0.1, gamma=20),
    dict(type='PatientEarlyStoppingHook', monitor={AP!r}, patience=2, min_delta=1.0),
    dict(type='APCurveHook'),
    dict(type='ResumeValidationHook'),
]
"""


@pytest.fixture(scope='module')
def stopped(experiment):
    """The experiment's folder with a run in `whole` that stopped early."""
    (experiment.folder / 'averaged.py').write_text(CONFIG)
    output = experiment.run('train.py', 'averaged.py', '--work-dir', 'whole')
    assert f'early stopping at epoch 3: {AP} has not improved by more than 1.0' in output
    return experiment


def _load(experiment, *path):
    return torch.load(experiment.folder.joinpath(*path), weights_only=True)


def _assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            _assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            _assert_same(*pair)
    else:
        assert one == other


def test_run_stops_at_the_right_epoch_with_its_picture_and_its_best(stopped):
    folder = stopped.folder / 'whole'
    names = sorted(path.name for path in folder.glob('*.pth'))
    assert names == [BEST, 'epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']
    meta = _load(stopped, 'whole', 'epoch_3.pth')['meta']
    assert meta['early_stopping'][AP]['bad_count'] == 2
    assert meta['early_stopping'][AP]['best_at'] == 1
    assert [point['at'] for point in meta['ap_curve']] == [1, 2, 3]
    # Masks and boxes side by side.
    height, width, _ = cv2.imread(str(folder / 'ap_curve.png')).shape
    assert width > 2 * height


def test_best_checkpoint_holds_the_weights_that_were_validated(stopped):
    best = _load(stopped, 'whole', BEST)
    raw = best['ema_state_dict']['module.roi_head.bbox_head.fc_cls.weight']
    assert not torch.equal(best['state_dict']['roi_head.bbox_head.fc_cls.weight'], raw)
    validated = best['meta']['ap_curve'][-1]['values']
    assert validated[AP] > 0
    stopped.run('test.py', 'my config.py', f'whole/{BEST}', '--work-dir', 'best tested')
    tested = stopped.metrics('best tested')
    assert {key: tested[key] for key in validated} == validated


def _train_until(experiment, path, arguments):
    """Start a training and kill it, hard and with its workers, once a file is there."""
    with open(experiment.folder / 'killed.log', 'w') as log:
        process = subprocess.Popen(
            experiment.command('train.py', *arguments),
            cwd=experiment.folder,
            env=experiment.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 300
        while not path.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def test_killed_and_resumed_run_ends_as_the_undisturbed_one(stopped):
    arguments = ['averaged.py', '--work-dir', 'killed']
    _train_until(stopped, stopped.folder / 'killed/epoch_2.pth', arguments)
    assert not (stopped.folder / 'killed/epoch_3.pth').exists()
    output = stopped.run('train.py', *arguments, '--resume')
    assert 'resumed epoch: 2' in output and 'early stopping at epoch 3' in output
    whole, killed = (_load(stopped, folder, 'epoch_3.pth') for folder in ('whole', 'killed'))
    for key in ('state_dict', 'ema_state_dict', 'optimizer'):
        _assert_same(killed[key], whole[key])
    for key in ('early_stopping', 'ap_curve', 'validated', 'epoch', 'iter'):
        _assert_same(killed['meta'][key], whole['meta'][key])
    names = [
        sorted(path.name for path in (stopped.folder / run).glob('*.pth'))
        for run in ('whole', 'killed')
    ]
    assert names[0] == names[1]
