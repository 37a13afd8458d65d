"""Runs of a network of a few weights that are killed and resumed, and report an AP."""

import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner, loops
from torch import nn

from plugins.checkpoints import latest_complete_checkpoint
from plugins.hooks import CheckpointFitHook, ResumeDataHook

AP = 'lvis/segm_AP_old@300'
NUM_IMAGES = 12  # three batches
EPOCHS = dict(type='EpochBasedTrainLoop', max_epochs=6)
ITERS = dict(type='IterBasedTrainLoop', max_iters=18, val_interval=3)

_numbers = itertools.count()


class Numbers(BaseDataset):
    """Images that are four numbers."""

    def load_data_list(self):
        generator = torch.Generator().manual_seed(7)
        return [dict(inputs=x) for x in torch.randn(NUM_IMAGES, 4, generator=generator)]

    def prepare_data(self, i):
        return self.data_list[i]


class Network(BaseModel):
    """Layers of all kinds: batch norm, dropout, a frozen weight, and a buffer of counts."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1)
        )
        self.frozen = nn.Parameter(torch.randn(3), requires_grad=False)
        self.register_buffer('counts', torch.tensor([2**40, 0]))
        self.num_steps = self.num_tests = 0
        self.dies_in_step = self.dies_in_test = None

    def forward(self, inputs, mode):
        is_training = mode == 'loss'
        self.num_steps += is_training
        self.num_tests += not is_training
        count, limit = (
            (self.num_steps, self.dies_in_step)
            if is_training
            else (self.num_tests, self.dies_in_test)
        )
        if count == limit:
            raise KeyboardInterrupt
        x = self.layers(torch.stack(list(inputs)))
        if is_training:
            self.counts += 1
            return dict(loss=(x - 1).square().mean())
        return [dict(found=float(value)) for value in x]


class Score(BaseMetric):
    """AP that rises and falls with what the network finds."""

    default_prefix = 'lvis'

    def process(self, data_batch, data_samples):
        self.results.extend(sample['found'] for sample in data_samples)

    def compute_metrics(self, results):
        value = math.fsum(results)
        ap = math.sin(3 * value) ** 2
        return {'segm_AP_old@300': ap, 'segm_APr_old@300': ap / 2, 'found': value}


class Run:
    """Runs of one config in one folder, each with a process's fresh state."""

    def __init__(self, work_dir: Path, train_cfg: dict, hooks: list[dict], **more):
        by_epoch = train_cfg['type'] == 'EpochBasedTrainLoop'
        loader = dict(batch_size=4, num_workers=0)
        checkpoint = dict(
            type='AtomicCheckpointHook',
            interval=1 if by_epoch else 3,
            by_epoch=by_epoch,
            backend_args=dict(backend='local'),
        )
        self.cfg = dict(
            work_dir=str(work_dir),
            train_cfg=train_cfg,
            train_dataloader=dict(
                **loader,
                sampler=dict(type='DefaultSampler', shuffle=True),
                batch_sampler=dict(type='ResumableBatchSampler'),
            ),
            val_cfg=dict(type='ValLoop'),
            val_dataloader=dict(**loader, sampler=dict(type='DefaultSampler', shuffle=False)),
            val_evaluator=dict(),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.05)),
            param_scheduler=dict(type='ExponentialLR', gamma=0.9),
            default_scope='mmdet',
            default_hooks=dict(checkpoint=checkpoint),
            custom_hooks=hooks,
            randomness=dict(seed=3),
            log_level='ERROR',
        )
        self.cfg = Config({**self.cfg, **more}).to_dict()

    def build(self, resume=False, load_from=None, network=None) -> Runner:
        """Make the runner of a new process."""
        cfg = Config(self.cfg).to_dict()
        cfg['test_cfg'] = dict(type='TestLoop')
        cfg['test_dataloader'] = dict(cfg['val_dataloader'])
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            cfg[loader]['dataset'] = Numbers(serialize_data=False)
        cfg['val_evaluator'], cfg['test_evaluator'] = Evaluator(Score()), Evaluator(Score())
        if resume:
            load_from = load_from or latest_complete_checkpoint(cfg['work_dir'])
        runner = Runner(
            network or Network(),
            **cfg,
            resume=resume,
            load_from=load_from,
            experiment_name=f'run_{next(_numbers)}',
        )
        runner.register_hook(CheckpointFitHook(whole=resume))
        runner.register_hook(ResumeDataHook())
        return runner

    def train(self, dies_in_step=None, dies_in_test=None, **options) -> Runner:
        """Train until the end, or until the network dies in its n-th step or batch of a test."""
        runner = self.build(**options)
        network = getattr(runner.model, 'module', runner.model)
        network.dies_in_step, network.dies_in_test = dies_in_step, dies_in_test
        try:
            runner.train()
        except KeyboardInterrupt:
            assert dies_in_step or dies_in_test
        return runner


def hook_of(runner: Runner, kind: type) -> object:
    """The run's hook of a class."""
    return next(hook for hook in runner.hooks if isinstance(hook, kind))


def without_waiting(monkeypatch) -> None:
    """Take the two seconds out that mmengine's loop by iterations waits between rounds."""
    monkeypatch.setattr(loops, 'time', SimpleNamespace(sleep=lambda seconds: None))


def same_state(one: dict, other: dict) -> bool:
    """Whether two state dicts are the same, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
