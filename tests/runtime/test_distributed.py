import os

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config

from plugins.errors import UserError
from plugins.runtime import distributed, prepare_launch

LAUNCH_VARIABLES = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')


@pytest.fixture(autouse=True)
def cpu_only(monkeypatch):
    """A machine without a GPU, outside any launcher; what a test sets is undone."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    for name in {*LAUNCH_VARIABLES, *(n for n in os.environ if n.startswith('SLURM_'))}:
        # Set first: monkeypatch then also removes what the code under test puts there.
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.fixture
def started(monkeypatch):
    """Record how the process group would be started, instead of starting one."""
    calls = []
    monkeypatch.setattr(dist, 'init_process_group', lambda *args, **kw: calls.append((args, kw)))
    return calls


def _config(launcher='pytorch', **more):
    return Config(dict(launcher=launcher, model=dict(type='MaskRCNN'), **more))


def _describe_by_torchrun(monkeypatch):
    for name, value in zip(LAUNCH_VARIABLES, ('0', '1', '0', '127.0.0.1', '0'), strict=True):
        monkeypatch.setenv(name, value)


def test_with_a_gpu_nothing_changes(monkeypatch, started):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = _config()
    cfg.model.norm_cfg = dict(type='SyncBN')
    before = cfg.to_dict()
    prepare_launch(cfg)
    assert cfg.to_dict() == before and not started


def test_single_process_starts_no_group_and_gets_no_wrapper(started):
    cfg = _config('none')
    prepare_launch(cfg)
    assert not started and 'model_wrapper_cfg' not in cfg


def test_gloo_group_is_really_there_and_works(monkeypatch):
    _describe_by_torchrun(monkeypatch)
    prepare_launch(_config())
    assert dist.get_backend() == 'gloo' and dist.get_world_size() == 1
    total = torch.ones(2)
    dist.all_reduce(total)
    assert total.tolist() == [1, 1]


def test_group_of_someone_else_is_kept(monkeypatch, started):
    cfg = _config()
    with monkeypatch.context() as patch:
        patch.setattr(dist, 'is_initialized', lambda: True)
        prepare_launch(cfg)
    assert not started and cfg.model_wrapper_cfg.device_ids is None


def test_timeout_of_the_config_reaches_the_group(monkeypatch, started):
    _describe_by_torchrun(monkeypatch)
    prepare_launch(_config(env_cfg=dict(dist_cfg=dict(backend='nccl', timeout=60))))
    prepare_launch(_config())
    assert [call[0] for call in started] == [('gloo',), ('gloo',)]
    assert [call[1]['timeout'].total_seconds() for call in started] == [60, 1800]


@pytest.mark.parametrize('wanted', [False, True])
def test_model_wrapper_has_no_device_and_the_configs_setting(monkeypatch, started, wanted):
    _describe_by_torchrun(monkeypatch)
    cfg = _config(find_unused_parameters=wanted)
    prepare_launch(cfg)
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=wanted,
    )


def test_model_wrapper_of_the_config_is_not_overridden(monkeypatch, started):
    _describe_by_torchrun(monkeypatch)
    own = dict(type='MyWrapper', depth=2)
    cfg = _config(model_wrapper_cfg=dict(own))
    prepare_launch(cfg)
    assert cfg.model_wrapper_cfg == own


@pytest.mark.parametrize('given', [dict(), dict(type='MMDistributedDataParallel')])
def test_model_wrapper_of_the_config_gets_no_device_of_mmengines(monkeypatch, started, given):
    _describe_by_torchrun(monkeypatch)
    cfg = _config(model_wrapper_cfg=dict(static_graph=True, **given))
    prepare_launch(cfg)
    assert cfg.model_wrapper_cfg == dict(static_graph=True, device_ids=None, **given)


def test_sync_bn_becomes_bn_wherever_it_stands(monkeypatch, started):
    _describe_by_torchrun(monkeypatch)
    sync = dict(type='SyncBN', requires_grad=True)
    cfg = _config()
    cfg.model = dict(
        backbone=dict(norm_cfg=dict(sync)),
        neck=[dict(norm_cfg=dict(sync)), dict(stages=[[dict(norm_cfg=dict(type='MMSyncBN'))]])],
        roi_head=dict(bbox_head=[dict(norm_cfg=dict(type='GN', num_groups=4))]),
    )
    logged = []
    monkeypatch.setattr(distributed, 'print_log', lambda text, **_: logged.append(text))
    prepare_launch(cfg)
    assert cfg.model.backbone.norm_cfg == dict(type='BN', requires_grad=True)
    assert cfg.model.neck[0].norm_cfg == dict(type='BN', requires_grad=True)
    assert cfg.model.neck[1].stages[0][0].norm_cfg.type == 'BN'
    assert cfg.model.roi_head.bbox_head[0].norm_cfg.type == 'GN'
    assert len(logged) == 1 and '3 norm layers of the config use BN' in logged[0]


def test_sync_bn_stays_in_a_single_process_where_mmengine_reverts_it_itself():
    cfg = _config('none')
    cfg.model.norm_cfg = dict(type='SyncBN')
    prepare_launch(cfg)
    assert cfg.model.norm_cfg.type == 'SyncBN'


def test_slurm_variables_are_translated_to_what_torch_reads(monkeypatch, started):
    slurm = dict(PROCID='5', NTASKS='8', LOCALID='1', NODELIST='node[3-6]')
    for name, value in slurm.items():
        monkeypatch.setenv(f'SLURM_{name}', value)
    monkeypatch.setenv('MASTER_ADDR', 'node3')
    monkeypatch.setenv('MASTER_PORT', '1234')
    prepare_launch(_config('slurm'))
    assert [os.environ[name] for name in LAUNCH_VARIABLES] == ['5', '8', '1', 'node3', '1234']
    assert len(started) == 1


def test_slurm_master_is_the_first_node_of_the_job(monkeypatch, started, tmp_path):
    for name, value in dict(PROCID='0', NTASKS='2', NODELIST='node[3-4]').items():
        monkeypatch.setenv(f'SLURM_{name}', value)
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text(
        '#!/bin/sh\n[ "$*" = "show hostnames node[3-4]" ] && echo node3 && echo node4\n'
    )
    scontrol.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
    prepare_launch(_config('slurm'))
    assert os.environ['MASTER_ADDR'] == 'node3' and os.environ['MASTER_PORT'] == '29500'
    assert os.environ['LOCAL_RANK'] == '0'


def test_torchruns_variables_win_over_slurms(monkeypatch, started):
    _describe_by_torchrun(monkeypatch)
    monkeypatch.setenv('SLURM_PROCID', '7')
    prepare_launch(_config())
    assert os.environ['RANK'] == '0'


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_launcher_without_its_environment_is_one_clear_error(monkeypatch, started, launcher):
    if launcher != 'slurm':
        monkeypatch.setenv('SLURM_PROCID', '0')  # as in a batch script, outside srun
    message = rf'--launcher {launcher} .*neither torchrun nor Slurm.*tools/dist_train\.sh'
    with pytest.raises(UserError, match=message):
        prepare_launch(_config(launcher))
    assert not started


def test_launched_processes_get_one_thread_unless_the_user_says_otherwise(monkeypatch, started):
    asked = []
    monkeypatch.setattr(torch, 'set_num_threads', asked.append)
    _describe_by_torchrun(monkeypatch)
    monkeypatch.setenv('OMP_NUM_THREADS', '4')
    prepare_launch(_config())
    monkeypatch.delenv('OMP_NUM_THREADS')
    prepare_launch(_config('none'))
    assert asked == []
    prepare_launch(_config())
    assert asked == [1]
