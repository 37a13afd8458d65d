"""Samplers draw one list per seed and epoch, and the processes share it out."""

import json

import pytest
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.dataset import DefaultSampler

from plugins.datasets import ClassAwareImageSampler, ClassDrawSampler, RepeatFactorSampler

SAMPLERS = {
    DefaultSampler: dict(),
    RepeatFactorSampler: dict(repeat_threshold=0.4),
    ClassAwareImageSampler: dict(),
    ClassDrawSampler: dict(samples_per_epoch=101),
}


def _epoch(samplers, epoch=0):
    """Return the samples of an epoch in the order in which the processes see them together."""
    for sampler in samplers:
        sampler.set_epoch(epoch)
    parts = [list(sampler) for sampler in samplers]
    assert {len(part) for part in parts} == {len(sampler) for sampler in samplers}
    assert len({len(part) for part in parts}) == 1
    return [sample for step in zip(*parts, strict=True) for sample in step]


@pytest.mark.parametrize('world_size', [2, 3, 4, 8])
@pytest.mark.parametrize('sampler', SAMPLERS, ids=lambda s: s.__name__)
def test_any_number_of_processes_sees_the_list_that_one_sees(labels, as_rank, sampler, world_size):
    settings = dict(seed=3, **SAMPLERS[sampler])
    alone = as_rank(sampler, labels, **settings)
    ranks = [as_rank(sampler, labels, rank, world_size, **settings) for rank in range(world_size)]
    for epoch in (0, 5):
        expected, found = _epoch([alone], epoch), _epoch(ranks, epoch)
        assert found[: len(expected)] == expected
        # What fills up the last step, fewer samples than there are processes.
        assert len(found) - len(expected) < world_size


@pytest.mark.parametrize('sampler', [RepeatFactorSampler, ClassDrawSampler])
def test_more_processes_than_samples(make_labels, as_rank, sampler):
    settings = dict(seed=0) | (dict(samples_per_epoch=2) if sampler is ClassDrawSampler else {})
    dataset = make_labels([[0], [0]])
    ranks = [as_rank(sampler, dataset, rank, 7, **settings) for rank in range(7)]
    assert len(_epoch(ranks)) == 7


def _draw_as_rank(rank, folder, dataset):
    """Join a group of two, draw two epochs from every sampler, write them down."""
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2
    )
    drawn = {}
    for sampler, settings in SAMPLERS.items():
        for seed in (3, None):
            built = sampler(dataset, seed=seed, **settings)
            epochs = []
            for epoch in (0, 5):
                built.set_epoch(epoch)
                epochs.append(list(built))
            drawn[f'{sampler.__name__} {seed}'] = dict(seed=built.seed, epochs=epochs)
    (folder / f'{rank}.json').write_text(json.dumps(drawn))
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def two_processes(tmp_path_factory, make_labels):
    """What two processes that know each other only by gloo draw."""
    images = [[0, 1] if i < 20 else [0] for i in range(199)]
    images[3] = [2, 0]
    dataset = make_labels(images)
    folder = tmp_path_factory.mktemp('two processes')
    context = mp.get_context('fork')
    processes = [
        context.Process(target=_draw_as_rank, args=(rank, folder, dataset)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    return dataset, [json.loads((folder / f'{rank}.json').read_text()) for rank in range(2)]


@pytest.mark.parametrize('sampler', SAMPLERS, ids=lambda s: s.__name__)
@pytest.mark.parametrize('seed', [3, None])
def test_two_real_processes_share_the_list_of_one(two_processes, sampler, seed):
    dataset, ranks = two_processes
    drawn = [rank[f'{sampler.__name__} {seed}'] for rank in ranks]
    # Without a seed in the config the processes agree on one.
    assert drawn[0]['seed'] == drawn[1]['seed']
    alone = sampler(dataset, seed=drawn[0]['seed'], **SAMPLERS[sampler])
    for position, epoch in enumerate((0, 5)):
        alone.set_epoch(epoch)
        steps = zip(*(rank['epochs'][position] for rank in drawn), strict=True)
        found = [sample for step in steps for sample in step]
        expected = json.loads(json.dumps(list(alone)))
        assert found[: len(expected)] == expected and len(found) - len(expected) < 2
