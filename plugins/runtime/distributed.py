"""Distributed runs on machines without a GPU, which mmengine's defaults do not allow for."""

import os
import subprocess
from datetime import timedelta

import torch
import torch.distributed as dist
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from plugins.errors import UserError


def prepare_launch(cfg: Config) -> None:
    """Make a launched config run on what this machine has; with a GPU, change nothing.

    On a CPU-only machine, mmengine would call CUDA for every rank and pass GPU ids to the model
    wrapper. Here the gloo process group is started first (mmengine then keeps it), the wrapper
    gets no device, one thread per process is used, and SyncBN, which torch has for GPUs only,
    becomes BN.

    Args:
        cfg: The config of the run, changed in place; ``cfg.launcher`` is set.
    """
    if torch.cuda.is_available():
        return
    if cfg.get('launcher', 'none') == 'none':
        return
    # OpenMP threads of several processes on the same cores spin: 3-30 times slower.
    if 'OMP_NUM_THREADS' not in os.environ:
        torch.set_num_threads(1)
    if not dist.is_initialized():
        _start_gloo(cfg)
    wrapper = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    own = cfg.setdefault('model_wrapper_cfg', ConfigDict(wrapper))
    if own.get('type', wrapper['type']) == wrapper['type']:
        own.setdefault('device_ids', None)
    replaced = _replace_sync_bn(cfg.model)
    if replaced:
        print_log(
            f'SyncBN needs GPUs: {replaced} norm layers of the config use BN, each process with '
            'statistics of its own',
            logger='current',
            level=30,
        )


def _start_gloo(cfg: Config) -> None:
    """Start the process group that torchrun or Slurm describes in the environment."""
    if 'RANK' not in os.environ:
        _translate_slurm(cfg.launcher)
    timeout = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout', 1800)
    dist.init_process_group('gloo', timeout=timedelta(seconds=timeout))


def _translate_slurm(launcher: str) -> None:
    """Give torch the names it reads for what Slurm says of this process."""
    # A batch script has Slurm's variables too; only under srun do they describe one process.
    if launcher != 'slurm' or 'SLURM_PROCID' not in os.environ:
        raise UserError(
            f'--launcher {launcher} was given, but neither torchrun nor Slurm started this '
            'process: use tools/dist_train.sh, tools/slurm_train.sh or --launcher none'
        )
    os.environ['RANK'] = os.environ['SLURM_PROCID']
    os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
    os.environ['LOCAL_RANK'] = os.environ.get('SLURM_LOCALID', '0')
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_slurm_host(os.environ['SLURM_NODELIST'])


def _first_slurm_host(nodes: str) -> str:
    """Return the first host of Slurm's compressed list, such as ``gpu[3-7]``."""
    try:
        listing = subprocess.run(
            ['scontrol', 'show', 'hostnames', nodes], capture_output=True, text=True, check=True
        )
        return listing.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise UserError(
            f'Slurm does not say which host comes first in {nodes!r} ({error}); '
            'set MASTER_ADDR to its name'
        ) from error


def _replace_sync_bn(node: object) -> int:
    """Replace every ``norm_cfg`` of type SyncBN below ``node``; return how many there were."""
    if isinstance(node, list | tuple):
        return sum(_replace_sync_bn(value) for value in node)
    if not isinstance(node, dict):
        return 0
    count = sum(_replace_sync_bn(value) for value in node.values())
    if node.get('type') in ('SyncBN', 'MMSyncBN'):
        node['type'] = 'BN'
        count += 1
    return count
