"""Mixed samples are the same in every worker and process layout, and a model trains on them."""

import copy
import hashlib

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmdet.registry import DATASETS
from plugins.datasets import RepeatFactorSampler, ResumableAspectRatioBatchSampler

MIXING = """
train_pipeline = _base_.train_pipeline
train_pipeline.insert(2, dict(type='BalancedMosaic', img_scale=(192, 160), repeat_threshold=0.2))
train_pipeline[-1:] = [
    dict(type='BalancedCopyPaste', repeat_threshold=0.2),
    dict(type='FilterAnnotations', by_mask=True, keep_empty=False),
    train_pipeline[-1],
]
train_dataloader = dict(num_workers=2, dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=1, val_interval=1)
"""


@pytest.fixture(scope='module')
def mixing_config(experiment) -> str:
    """The experiment with both transforms that mix images."""
    text = f'_base_ = {experiment.config!r}\n{MIXING}'
    (experiment.folder / 'mixing.py').write_text(text)
    return 'mixing.py'


@pytest.fixture(scope='module')
def dataset(experiment, mixing_config, module_monkeypatch):
    module_monkeypatch.chdir(experiment.folder)
    config = Config.fromfile(mixing_config)
    return DATASETS.build(config.train_dataloader.dataset)


@pytest.fixture(scope='module')
def module_monkeypatch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def fingerprint(inputs, data_sample) -> str:
    """What a model would see of a sample."""
    instances = data_sample.gt_instances
    parts = [
        inputs.numpy(),
        instances.bboxes.tensor.numpy(),
        instances.labels.numpy(),
        instances.masks.to_ndarray(),
        np.array(data_sample.neg_labels),
        np.array(data_sample.not_exhaustive_labels),
    ]
    return hashlib.sha256(b''.join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest()


def samples(dataset, num_workers, rank=0, world_size=1, epoch=0):
    """Fingerprints of one epoch of a rank, in its order."""
    sampler = RepeatFactorSampler(dataset, repeat_threshold=0.2, seed=5)
    sampler.rank, sampler.world_size = rank, world_size
    sampler.num_samples //= world_size
    sampler.set_epoch(epoch)
    loader = Runner.build_dataloader(
        dict(
            dataset=dataset,
            sampler=sampler,
            batch_sampler=ResumableAspectRatioBatchSampler(sampler, batch_size=1),
            num_workers=num_workers,
        ),
        seed=1,
    )
    return [
        fingerprint(inputs, data_sample)
        for batch in loader
        for inputs, data_sample in zip(batch['inputs'], batch['data_samples'], strict=True)
    ]


def test_workers_and_processes_make_no_difference(dataset):
    alone = samples(dataset, 0)
    assert len(set(alone)) == len(alone)
    assert samples(dataset, 2) == alone
    ranks = [samples(dataset, workers, rank, 2) for rank, workers in enumerate((0, 4))]
    together = [one for step in zip(*ranks, strict=True) for one in step]
    assert together == alone[: len(together)]


def test_epochs_differ(dataset):
    assert not set(samples(dataset, 0)) & set(samples(dataset, 0, epoch=1))


def test_loading_leaves_the_data_set_as_it_was(dataset):
    before = [copy.deepcopy(dataset.get_data_info(i)) for i in range(len(dataset))]
    samples(dataset, 0)
    assert [dataset.get_data_info(i) for i in range(len(dataset))] == before


@pytest.mark.parametrize('processes', ['1', '2'])
def test_a_model_trains_on_mixed_samples(experiment, mixing_config, processes):
    output = experiment.run(
        'dist_train.sh', mixing_config, processes, '--work-dir', f'mixed {processes}'
    )
    assert 'segm AP_old@300' in output
    assert (experiment.folder / f'mixed {processes}/epoch_1.pth').exists()
