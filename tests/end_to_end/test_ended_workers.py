"""A data-loading worker that the system kills ends the run with a message, and nobody waits."""

import pytest

KILLER = """
import os
import signal
from pathlib import Path

from mmcv.transforms import BaseTransform
from torch.utils.data import get_worker_info

from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class KillWorkerOnce(BaseTransform):
    def __init__(self, marker):
        self.marker = Path(marker)
        self.count = 0

    def transform(self, results):
        self.count += 1
        if self.count > 2 and get_worker_info() is not None and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return results
"""


@pytest.mark.parametrize('processes', [1, 2])
def test_a_killed_worker_ends_training_with_one_line(experiment, monkeypatch, processes):
    folder = experiment.folder / f'killed {processes}'
    folder.mkdir()
    (folder / 'worker_killer.py').write_text(KILLER)
    config = folder / 'config.py'
    config.write_text(
        f"""
_base_ = {str(experiment.folder / experiment.config)!r}
custom_imports = dict(imports=['plugins', 'worker_killer'], allow_failed_imports=False)
train_pipeline = _base_.train_pipeline
train_pipeline.insert(4, dict(type='KillWorkerOnce', marker={str(folder / 'killed')!r}))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
"""
    )
    monkeypatch.setenv('PYTHONPATH', str(folder))
    arguments = ['--work-dir', str(folder / 'runs')]
    if processes == 1:
        printed = experiment.run('train.py', str(config), *arguments, status=1)
    else:
        printed = experiment.run('dist_train.sh', str(config), '2', *arguments, status=1)
    assert (folder / 'killed').exists()
    lines = [line for line in printed.splitlines() if line.startswith('error: a data-loading')]
    assert len(lines) == 1
    assert 'train_dataloader.num_workers' in lines[0] and 'DataLoader worker (pid' in lines[0]
    assert 'Traceback' not in printed
