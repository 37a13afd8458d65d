import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from torch import nn

from plugins.runtime.test_fingerprint import describe_test


@pytest.fixture
def parts(tmp_path):
    (tmp_path / 'val.json').write_text('{"images": []}')
    torch.manual_seed(0)
    return dict(
        cfg=Config(
            dict(
                model=dict(type='MaskRCNN', norm_cfg=dict(type='SyncBN'), size=(3, 4)),
                test_dataloader=dict(batch_size=1, dataset=dict(pipeline=[dict(type='Resize')])),
                test_cfg=dict(type='TestLoop'),
                work_dir='here',
            )
        ),
        model=nn.Sequential(nn.Linear(2, 3), nn.BatchNorm2d(3)),
        ann_files=[str(tmp_path / 'val.json')],
        keeps=[None],
    )


def _changed(parts, **changes):
    """Which parts differ after a change."""
    before, after = describe_test(**parts), describe_test(**{**parts, **changes})
    return [part for part in before if before[part] != after[part]]


def _config(parts, **options):
    cfg = copy.deepcopy(parts['cfg'])
    cfg.merge_from_dict(options)
    return cfg


def test_what_detections_do_not_depend_on_changes_nothing(parts):
    cfg = _config(parts, **{'work_dir': 'there', 'test_dataloader.batch_size': 4, 'seed': 7})
    assert _changed(parts, cfg=cfg) == []
    assert _changed(parts, model=copy.deepcopy(parts['model'])) == []
    # On CPU processes it is replaced, see prepare_launch.
    assert _changed(parts, cfg=_config(parts, **{'model.norm_cfg.type': 'BN'})) == []


@pytest.mark.parametrize(
    ('option', 'part'),
    [
        ({'model.norm_cfg.eps': 0.1}, 'model config'),
        ({'test_cfg.fp16': True}, 'model config'),
        ({'test_dataloader.dataset.pipeline.0.type': 'Pad'}, 'data set config'),
    ],
)
def test_every_setting_of_model_and_data_counts(parts, option, part):
    assert _changed(parts, cfg=_config(parts, **option)) == [part]


def test_every_weight_and_buffer_counts(parts):
    for name in parts['model'].state_dict():
        model = copy.deepcopy(parts['model'])
        model.state_dict()[name].add_(1)
        assert _changed(parts, model=model) == ['weights'], name


def test_wrapper_of_distributed_runs_does_not_count(parts):
    class Wrapper(MMDistributedDataParallel):
        def __init__(self, module):
            nn.Module.__init__(self)
            self.module = module

    assert _changed(parts, model=Wrapper(parts['model'])) == []


def test_content_of_the_annotations_counts_not_their_name(parts, tmp_path):
    (tmp_path / 'copy.json').write_text('{"images": []}')
    assert _changed(parts, ann_files=[str(tmp_path / 'copy.json')]) == []
    (tmp_path / 'copy.json').write_text('{"images": [1]}')
    assert _changed(parts, ann_files=[str(tmp_path / 'copy.json')]) == ['annotations']


def test_what_is_kept_counts(parts):
    assert _changed(parts, keeps=['everything']) == ['detections kept']
