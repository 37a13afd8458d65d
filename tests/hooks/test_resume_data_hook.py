"""A run that is killed and resumed sees what one run from start to end sees."""

import logging
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner, loops
from torch import nn

from plugins.checkpoints import latest_complete_checkpoint
from plugins.datasets import ClassDraw
from plugins.datasets.class_draw import images_of_labels
from plugins.datasets.partners import ServesPartners
from plugins.hooks.resume_data_hook import ResumeDataHook

NUM_IMAGES = 22
EPOCH = dict(type='EpochBasedTrainLoop', max_epochs=3)
ITERS = dict(type='IterBasedTrainLoop', max_iters=17)
PLAIN = dict(type='ResumableBatchSampler')
GROUPED = dict(type='ResumableAspectRatioBatchSampler')
SAMPLERS = [
    dict(type='DefaultSampler', shuffle=True),
    dict(type='RepeatFactorSampler', repeat_threshold=0.9),
    dict(type='ClassAwareImageSampler'),
    dict(type='ClassDrawSampler', samples_per_epoch=19),
]


class _Numbers(ServesPartners, BaseDataset):
    """Images that are nothing but their number and some noise; every third is portrait."""

    METAINFO: ClassVar[dict] = dict(classes=('even', 'first'))

    def load_data_list(self):
        return [dict(width=4 if i % 3 else 2, height=3) for i in range(NUM_IMAGES)]

    def get_cat_ids(self, i):
        return [0] * (i % 2 == 0) + [1] * (i < 2)

    def images_of_labels(self):
        return images_of_labels(self, 2)

    def get_data_info(self, i):
        return super().get_data_info(i.index if isinstance(i, ClassDraw) else i)

    def prepare_data(self, i):
        image = tuple(i) if isinstance(i, ClassDraw) else i
        return dict(inputs=image, noise=np.random.rand())


class _Recorder(BaseModel):
    """A model of one weight that notes what it is trained on, and dies when told to."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen = []
        self.noise = []
        self.dies_after = None

    def forward(self, inputs, noise, mode):
        if len(self.seen) == self.dies_after:
            raise KeyboardInterrupt
        self.seen.append(inputs)
        self.noise.append([float(n) for n in noise])
        return dict(loss=self.weight.square())


class _EpochEnds(Hook):
    def __init__(self):
        self.iters = []

    def after_train_epoch(self, runner):
        self.iters.append(runner.iter)


class _Run:
    """Runs of one config in one folder, each with a process's fresh state."""

    def __init__(self, work_dir, train_cfg, sampler, batch_sampler=None, seed=None, **loader):
        self.cfg = dict(
            work_dir=str(work_dir),
            train_cfg=train_cfg,
            train_dataloader=dict(
                sampler=sampler, batch_sampler=batch_sampler, batch_size=4, num_workers=0
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            param_scheduler=dict(type='MultiStepLR', milestones=[1, 2]),
            default_scope='mmdet',
            default_hooks=dict(
                # The plain backend: waiting for the disk after every iteration takes most time.
                checkpoint=dict(
                    type='AtomicCheckpointHook',
                    by_epoch=False,
                    interval=1,
                    backend_args=dict(backend='local'),
                )
            ),
            randomness=dict(seed=seed),
            log_level='WARNING',
        )
        self.cfg['train_dataloader'].update(loader)
        self.num_runs = 0

    def train(self, dies_after=None, resume=False, **more):
        """Train a fresh model until it is done or dies; return its runner."""
        cfg = Config({**self.cfg, **more}).to_dict()
        # Serialising collects garbage, which takes longer than all the rest.
        cfg['train_dataloader']['dataset'] = _Numbers(serialize_data=False)
        self.num_runs += 1
        checkpoint = latest_complete_checkpoint(cfg['work_dir']) if resume else None
        runner = Runner(
            _Recorder(),
            **cfg,
            resume=resume,
            load_from=checkpoint,
            experiment_name=f'{cfg["work_dir"]}_{self.num_runs}',
        )
        runner.register_hook(ResumeDataHook())
        runner.ends = _EpochEnds()
        runner.register_hook(runner.ends)
        runner.model.dies_after = dies_after
        try:
            runner.train()
        except KeyboardInterrupt:
            assert dies_after is not None
        # Left to the garbage collector, workers take five seconds each to end.
        runner.train_loop.dataloader_iterator = None
        runner.train_dataloader._iterator = None
        return runner


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """mmengine's iteration-based loop waits two seconds between rounds."""
    monkeypatch.setattr(loops, 'time', SimpleNamespace(sleep=lambda seconds: None))


def _compare(run, killed_after):
    """Check that runs killed after so many iterations each are, in sum, one undisturbed run."""
    whole = run.train()
    parts = [run.train(killed_after[0])]
    for count in killed_after[1:]:
        parts.append(run.train(count, resume=True))
    parts.append(run.train(resume=True))
    together = [batch for part in parts for batch in part.model.seen]
    assert together == whole.model.seen
    assert [noise for part in parts for noise in part.model.noise] == whole.model.noise
    assert [part.iter for part in parts][-1] == whole.iter == whole.max_iters
    assert parts[-1].epoch == whole.epoch
    # A run killed between two epochs had ended the first; its checkpoint is from just before.
    assert list(dict.fromkeys(i for part in parts for i in part.ends.iters)) == whole.ends.iters
    assert parts[-1].optim_wrapper.get_lr() == whole.optim_wrapper.get_lr()
    return whole


@pytest.mark.parametrize('loop', [EPOCH, ITERS], ids=['epochs', 'iterations'])
@pytest.mark.parametrize('sampler', SAMPLERS, ids=lambda s: s['type'])
@pytest.mark.parametrize('batch_sampler', [PLAIN, GROUPED], ids=['plain', 'grouped'])
def test_resumed_run_sees_what_an_undisturbed_one_sees(tmp_path, loop, sampler, batch_sampler):
    # Killed within the first epoch and, counted from there, within a later one.
    whole = _compare(_Run(tmp_path, loop, sampler, batch_sampler, seed=3), [2, 6])
    length = len(whole.train_dataloader)
    assert whole.model.seen[:length] != whole.model.seen[length : 2 * length]


@pytest.mark.parametrize('loop', [EPOCH, ITERS], ids=['epochs', 'iterations'])
def test_checkpoint_of_the_last_batch_ends_its_epoch_when_resumed(tmp_path, loop):
    # 22 images in batches of 4: six batches.
    _compare(_Run(tmp_path, loop, SAMPLERS[0], GROUPED, seed=3), [6])


@pytest.mark.parametrize('loop', [EPOCH, ITERS], ids=['epochs', 'iterations'])
@pytest.mark.parametrize('persistent', [False, True])
def test_workers_make_no_difference(tmp_path, loop, persistent):
    workers = dict(num_workers=2, persistent_workers=persistent)
    run = _Run(tmp_path, loop, SAMPLERS[1], GROUPED, seed=3, **workers)
    single = _Run(tmp_path / 'single', loop, SAMPLERS[1], GROUPED, seed=3).train()
    whole = _compare(run, [8])
    assert (whole.model.seen, whole.model.noise) == (single.model.seen, single.model.noise)


@pytest.mark.parametrize('loop', [EPOCH, ITERS], ids=['epochs', 'iterations'])
@pytest.mark.parametrize('workers', [0, 2])
def test_order_is_kept_when_the_config_names_no_seed(tmp_path, loop, workers):
    run = _Run(tmp_path, loop, SAMPLERS[0], PLAIN, num_workers=workers)
    first = run.train(8)
    again = run.train(resume=True)
    one_epoch = [i for batch in (first.model.seen + again.model.seen)[6:12] for i in batch]
    assert sorted(one_epoch) == list(range(NUM_IMAGES))


def test_endless_sampler_goes_on_in_its_list(tmp_path):
    for workers in (0, 2):
        sampler, folder = dict(type='InfiniteSampler'), tmp_path / str(workers)
        _compare(_Run(folder, ITERS, sampler, GROUPED, seed=3, num_workers=workers), [2, 9])


@pytest.mark.parametrize('loop', [EPOCH, ITERS], ids=['epochs', 'iterations'])
def test_skipped_images_are_not_loaded(tmp_path, monkeypatch, loop):
    loaded = []
    prepare = _Numbers.prepare_data
    monkeypatch.setattr(_Numbers, 'prepare_data', lambda d, i: loaded.append(i) or prepare(d, i))
    run = _Run(tmp_path, loop, SAMPLERS[0], GROUPED, seed=3)
    run.train(10)
    loaded.clear()
    resumed = run.train(resume=True)
    assert loaded == [i for batch in resumed.model.seen for i in batch]


def test_checkpoint_of_an_epochs_end_starts_the_next_one(tmp_path):
    run = _Run(tmp_path, EPOCH, SAMPLERS[0], GROUPED, seed=3)
    run.cfg['default_hooks']['checkpoint'].update(by_epoch=True)
    whole = run.train()
    run.train(8)
    resumed = run.train(resume=True)
    assert resumed.model.seen == whole.model.seen[6:]
    assert resumed.iter == whole.iter


@pytest.fixture
def warnings(monkeypatch):
    """What the hook warns of."""
    texts = []

    def note(text, logger, level=logging.INFO):
        if level == logging.WARNING:
            texts.append(text)

    monkeypatch.setattr('plugins.hooks.resume_data_hook.print_log', note)
    return texts


def test_batch_sampler_that_cannot_skip_starts_the_epoch_anew_with_one_warning(tmp_path, warnings):
    run = _Run(tmp_path, EPOCH, SAMPLERS[0], dict(type='AspectRatioBatchSampler'), seed=3)
    whole = run.train()
    run.train(8)
    assert warnings == []
    assert run.train(resume=True).model.seen == whole.model.seen[6:]
    assert len(warnings) == 1
    assert 'epoch 2' in warnings[0] and 'AspectRatioBatchSampler, which cannot' in warnings[0]


def test_iteration_based_loop_replays_a_batch_sampler_that_cannot_skip(tmp_path, warnings):
    run = _Run(tmp_path, ITERS, SAMPLERS[0], num_workers=2)
    first = run.train(8)
    resumed = run.train(resume=True)
    images = [i for b in (first.model.seen + resumed.model.seen)[6:12] for i in b]
    assert sorted(images) == list(range(NUM_IMAGES))
    assert len(warnings) == 1
    assert 'the 8 batches done so far are loaded once more' in warnings[0]


def test_epoch_of_another_length_starts_anew_with_a_warning(tmp_path, warnings):
    run = _Run(tmp_path, EPOCH, SAMPLERS[0], PLAIN, seed=3)
    run.train(8)
    run.cfg['train_dataloader']['batch_size'] = 2
    resumed = run.train(resume=True)
    # The second and third epoch, of eleven batches each.
    assert len(resumed.model.seen) == 22
    assert len(warnings) == 1 and 'it had 6 batches and has 11 now' in warnings[0]


def test_checkpoint_inside_an_epoch_of_a_run_that_changed_its_length(tmp_path, warnings):
    run = _Run(tmp_path, EPOCH, SAMPLERS[0], PLAIN, seed=3)
    run.train(8)
    run.cfg['train_dataloader']['batch_size'] = 2
    second = run.train(5, resume=True)
    third = run.train(resume=True)
    undisturbed = _Run(tmp_path / 'other', EPOCH, SAMPLERS[0], PLAIN, seed=3, batch_size=2).train()
    assert second.model.seen + third.model.seen == undisturbed.model.seen[11:]
    assert len(warnings) == 1


def test_checkpoint_of_another_program_is_not_taken_for_one_inside_an_epoch(tmp_path, warnings):
    run = _Run(tmp_path, EPOCH, SAMPLERS[0], PLAIN, seed=3)
    run.train(8)
    path = latest_complete_checkpoint(tmp_path)
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint['meta']['train_data']
    torch.save(checkpoint, path)
    assert len(run.train(resume=True).model.seen) == 12
    assert len(warnings) == 1 and 'does not say' in warnings[0]


def test_weights_alone_place_nothing(tmp_path, warnings):
    run = _Run(tmp_path, EPOCH, SAMPLERS[0], PLAIN, seed=3)
    whole = run.train()
    torch.save(_Recorder().state_dict(), tmp_path / 'weights.pth')
    hook, runner = ResumeDataHook(), SimpleNamespace()
    hook.after_load_checkpoint(runner, torch.load(tmp_path / 'weights.pth'))
    assert hook._saved == {}
    run.train(8)
    fine_tuned = run.train(dies_after=3)
    assert fine_tuned.model.seen == whole.model.seen[:3] and warnings == []
