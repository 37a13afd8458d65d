from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from plugins.checkpoints import CheckpointError
from plugins.hooks import CheckpointFitHook
from plugins.test_time import MaskTTAModel


def _runner(model):
    return SimpleNamespace(model=model, _load_from='work_dirs/x/epoch_1.pth')


def _model(width=4):
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))


def test_the_models_own_checkpoint_passes():
    model = _model()
    CheckpointFitHook(whole=True).after_load_checkpoint(
        _runner(model), dict(state_dict=model.state_dict(), meta={})
    )


def test_bare_state_dict_passes():
    model = _model()
    CheckpointFitHook(whole=True).after_load_checkpoint(_runner(model), model.state_dict())


def test_test_time_wrapper_is_looked_through():
    model = _model()
    model.test_step = None  # the wrapper only asks for its existence
    wrapped = MaskTTAModel(module=model, tta_cfg=ConfigDict(max_per_img=1))
    CheckpointFitHook(whole=True).after_load_checkpoint(
        _runner(wrapped), dict(state_dict=model.state_dict())
    )


def test_missing_step_counter_of_batch_norm_does_not_matter():
    weights = _model().state_dict()
    del weights['1.num_batches_tracked']
    CheckpointFitHook(whole=True).after_load_checkpoint(_runner(_model()), weights)


def test_missing_tensor_is_named_when_the_whole_model_is_needed():
    weights = _model().state_dict()
    del weights['1.running_mean']
    with pytest.raises(
        CheckpointError, match=r'epoch_1\.pth.*1 are missing \(first 1\.running_mean'
    ):
        CheckpointFitHook(whole=True).after_load_checkpoint(_runner(_model()), weights)


def test_other_shape_is_shown():
    with pytest.raises(CheckpointError, match=r'0\.weight: \(8, 3\) in the file, \(4, 3\) here'):
        CheckpointFitHook(whole=True).after_load_checkpoint(
            _runner(_model()), _model(8).state_dict()
        )


def test_part_of_a_model_is_enough_for_fine_tuning_but_nothing_is_not():
    hook = CheckpointFitHook(whole=False)
    hook.after_load_checkpoint(_runner(_model()), {'0.weight': torch.zeros(4, 3)})
    with pytest.raises(CheckpointError, match='0 of the 7 tensors'):
        hook.after_load_checkpoint(_runner(_model()), {'encoder.weight': torch.zeros(4, 3)})
    with pytest.raises(CheckpointError, match='0 of the 7 tensors'):
        hook.after_load_checkpoint(_runner(_model()), dict(state_dict={}))
