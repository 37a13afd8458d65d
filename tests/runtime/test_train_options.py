import pytest
import torch
from mmengine.config import Config

from plugins.errors import UserError
from plugins.runtime import scale_learning_rate, use_mixed_precision


def test_mixed_precision_without_a_gpu_is_an_error_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper')))
    with pytest.raises(UserError, match='--amp needs a GPU'):
        use_mixed_precision(cfg)
    assert cfg.optim_wrapper == dict(type='OptimWrapper')


def test_mixed_precision_changes_the_wrapper_and_keeps_the_optimizer(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    settings = dict(optimizer=dict(type='SGD', lr=0.02), clip_grad=dict(max_norm=35))
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper', **settings)))
    use_mixed_precision(cfg)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', loss_scale='dynamic', **settings)


def test_learning_rate_is_scaled_from_the_configs_batch_size():
    cfg = Config(dict(auto_scale_lr=dict(enable=False, base_batch_size=16)))
    scale_learning_rate(cfg)
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=16)


@pytest.mark.parametrize('settings', [dict(), dict(auto_scale_lr=dict(enable=False))])
def test_learning_rate_without_a_base_batch_size_is_an_error(settings):
    with pytest.raises(UserError, match='auto_scale_lr=dict'):
        scale_learning_rate(Config(settings))
