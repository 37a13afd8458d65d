"""A small experiment as a user sets one up: generated data and a copied config, in folders whose
names have spaces, run by the scripts in tools/."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.data.synthetic import SyntheticOptions, generate_dataset

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Experiment:
    """Where the experiment is, and how its programs are run (from its own folder)."""

    folder: Path
    config: str

    def command(self, script: str, *arguments: str) -> list[str]:
        """Return the command line of a script in tools/."""
        program = ['bash'] if script.endswith('.sh') else [sys.executable]
        return [*program, str(ROOT / 'tools' / script), *arguments]

    def environment(self) -> dict[str, str]:
        """Return the environment of a user who set nothing but the interpreter."""
        return {**os.environ, 'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': ''}

    def run(self, script: str, *arguments: str, status: int = 0) -> str:
        """Run a script; return everything it printed."""
        done = subprocess.run(
            self.command(script, *arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1500,
        )
        assert done.returncode == status, done.stdout[-6000:]
        return done.stdout

    def metrics(self, work_dir: str) -> dict[str, float]:
        """Return the AP values of the newest test under a work dir, without timings."""
        newest = max((self.folder / work_dir).glob('2*/2*.json'), key=os.path.getmtime)
        values = json.loads(newest.read_text().splitlines()[-1])
        return {key: value for key, value in values.items() if key.startswith('lvis/')}


@pytest.fixture(scope='session')
def experiment(tmp_path_factory) -> Experiment:
    """A set of 16 + 6 images and a config that differs from the quickstart's in a few lines."""
    folder = tmp_path_factory.mktemp('my experiments')
    options = SyntheticOptions(categories=7, train_images=16, val_images=6)
    generate_dataset(folder / 'tiny data', options, workers=1, progress=False)
    (folder / 'my config.py').write_text(
        f"""
_base_ = {str(ROOT / 'configs/quickstart/mask-rcnn_nano_fpn_rfs5e-2-6e_synthetic.py')!r}

data_root = 'tiny data/'
model = dict(roi_head=dict(bbox_head=dict(num_classes=7), mask_head=dict(num_classes=7)))
train_cfg = dict(max_epochs=2, val_interval=2)
train_dataloader = dict(batch_size=2, num_workers=1, dataset=dict(data_root=data_root))
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/synthetic_val.json')
test_evaluator = val_evaluator
randomness = dict(seed=0)
default_hooks = dict(logger=dict(interval=1))
"""
    )
    return Experiment(folder, 'my config.py')


@pytest.fixture(scope='session')
def trained(experiment) -> Experiment:
    """The experiment after two epochs on one process; its checkpoints are in `one process`."""
    experiment.run('dist_train.sh', experiment.config, '1', '--work-dir', 'one process')
    return experiment
