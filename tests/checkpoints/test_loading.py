import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import save_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint

from plugins.checkpoints import CheckpointError, allow_runner_globals, load_from_local


class _RunsOnLoad:
    """Pickles to a call of any function, which an unsafe reader would carry out."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('protocol', [2, 4])
@pytest.mark.parametrize(
    'payload',
    [
        lambda mark: _RunsOnLoad(os.system, f'touch {mark}'),
        lambda mark: _RunsOnLoad(eval, f'open({str(mark)!r}, "w")'),
        lambda mark: _RunsOnLoad(exec, f'open({str(mark)!r}, "w")'),
        # The classic way round an allow-list: walk from an allowed name through attributes.
        lambda mark: _RunsOnLoad(getattr, HistoryBuffer, '__init__'),
    ],
    ids=['os.system', 'eval', 'exec', 'getattr'],
)
def test_malicious_checkpoint_is_refused_and_never_runs(tmp_path, payload, protocol):
    mark, path = tmp_path / 'executed', tmp_path / 'epoch_1.pth'
    torch.save({'state_dict': {}, 'meta': payload(mark)}, path, pickle_protocol=protocol)
    with pytest.raises(CheckpointError, match=r'epoch_1\.pth'):
        load_from_local(str(path))
    assert not mark.exists()


def test_plain_pickle_with_code_is_refused(tmp_path):
    mark, path = tmp_path / 'executed', tmp_path / 'old.pth'
    path.write_bytes(pickle.dumps(_RunsOnLoad(os.system, f'touch {mark}')))
    with pytest.raises(CheckpointError, match='old.pth'):
        load_from_local(str(path))
    assert not mark.exists()


def test_refusal_names_the_code_and_the_switch(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save({'meta': _RunsOnLoad(os.getcwd)}, path)
    with pytest.raises(CheckpointError, match='getcwd.*TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'):
        load_from_local(str(path))


def test_the_users_own_switch_lifts_the_restriction(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save({'where': _RunsOnLoad(os.getcwd)}, path)
    code = (
        'import sys; sys.path.insert(0, sys.argv[2])\n'
        'from plugins.checkpoints import load_from_local\n'
        'print(load_from_local(sys.argv[1])["where"])'
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    environment = {**os.environ, 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD': '1'}
    done = subprocess.run(
        [sys.executable, '-c', code, str(path), root],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.strip() == str(tmp_path)


def test_what_the_runner_saves_is_read_back(tmp_path):
    allow_runner_globals()
    hub = MessageHub.get_instance('checkpoint_round_trip')
    for step in range(3):
        hub.update_scalar('train/loss', torch.tensor(1.0 + step))
        hub.update_scalar('train/rate', np.float64(0.5))
    hub.update_info('best_score', np.float32(0.25))
    state = dict(
        state_dict=dict(weight=torch.arange(4.0)),
        message_hub=hub.state_dict(),
        meta=dict(epoch=1, dataset_meta=dict(classes=('a', 'b'), palette=[(1, 2, 3)])),
    )
    path = tmp_path / 'epoch_1.pth'
    save_checkpoint(state, str(path), backend_args=dict(backend='atomic_local'))
    read = _load_checkpoint(str(path))
    buffer = read['message_hub']['log_scalars']['train/loss']
    assert buffer.mean() == 2.0 and buffer.current() == 3.0
    assert read['message_hub']['runtime_info']['best_score'] == np.float32(0.25)
    assert torch.equal(read['state_dict']['weight'], torch.arange(4.0))


def test_history_buffer_gives_out_public_statistics_only(tmp_path):
    path = tmp_path / 'x.pth'
    torch.save({'ok': _RunsOnLoad(getattr, HistoryBuffer, 'mean')}, path)
    assert load_from_local(str(path))['ok'] is HistoryBuffer.mean
    torch.save({'no': _RunsOnLoad(getattr, HistoryBuffer, '__globals__')}, path)
    with pytest.raises(CheckpointError, match='x.pth'):
        load_from_local(str(path))


@pytest.mark.parametrize('kept', [0, 10, 0.5, 0.99])
def test_truncated_checkpoint_gives_one_clear_error(tmp_path, kept):
    path = tmp_path / 'epoch_3.pth'
    torch.save({'state_dict': {'w': torch.zeros(1000)}}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(CheckpointError, match=r'epoch_3\.pth cannot be read|epoch_3\.pth was not'):
        load_from_local(str(path))


def test_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match='nowhere.pth does not exist'):
        load_from_local(str(tmp_path / 'nowhere.pth'))


def test_every_local_path_goes_through_this_loader():
    assert CheckpointLoader._get_checkpoint_loader('work_dirs/a/epoch_1.pth') is load_from_local
    assert CheckpointLoader._get_checkpoint_loader('/abs/epoch_1.pth') is load_from_local
