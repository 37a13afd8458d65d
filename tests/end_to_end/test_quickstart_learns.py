"""The quickstart's model and data, with two of its six epochs, against the untrained model."""

import dataclasses
import os
import re

import pytest
import torch
from mmengine.config import Config

from tests.steps import build_detector
from tools.data.synthetic import SyntheticOptions, generate_dataset

# AP50 on the validation split after these two epochs, in per cent, seeds 0 to 3: boxes 14.6, 18.3,
# 15.8, 18.4; masks 11.6, 14.4, 11.2, 11.4. The margins are half of the worst.
MARGINS = {'bbox': 7.0, 'segm': 5.5}

CONFIG = """
_base_ = {base!r}

data_root = 'data/'
train_cfg = dict(max_epochs=2, val_interval=2)
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = 2
param_scheduler[1].T_max = 2
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/synthetic_val.json')
test_evaluator = val_evaluator
randomness = dict(seed=0)
"""


@pytest.fixture
def quickstart(experiment, root, tmp_path):
    """The quickstart's own experiment on its own data set, shortened, in another folder."""
    base = root / 'configs/quickstart/mask-rcnn_nano_fpn_rfs5e-2-6e_synthetic.py'
    (tmp_path / 'short.py').write_text(CONFIG.format(base=str(base)))
    workers = os.cpu_count() or 1
    generate_dataset(tmp_path / 'data', SyntheticOptions(), workers=workers, progress=False)
    return dataclasses.replace(experiment, folder=tmp_path, config='short.py')


def _ap50(output: str) -> dict[str, float]:
    """The last AP50 of each kind that a run printed, in per cent."""
    pattern = r'(bbox|segm) AP_old@300 \(%\):.* AP50 +([0-9.]+)'
    return {kind: float(value) for kind, value in re.findall(pattern, output)}


def _save_untrained(path, config) -> None:
    torch.manual_seed(0)
    model = build_detector(Config.fromfile(config).model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), path)


def test_two_epochs_beat_the_untrained_model_by_the_measured_margin(quickstart):
    _save_untrained(quickstart.folder / 'untrained.pth', quickstart.folder / 'short.py')
    before = _ap50(quickstart.run('test.py', 'short.py', 'untrained.pth', '--work-dir', 'before'))
    after = _ap50(quickstart.run('train.py', 'short.py', '--work-dir', 'after'))
    assert set(before) == set(after) == set(MARGINS)
    for kind, margin in MARGINS.items():
        assert after[kind] - before[kind] > margin, (kind, before, after)
