import pytest
from torch.utils.data import DataLoader

from plugins.datasets.samplers import remaining_sampler
from plugins.datasets.samplers.remaining_sampler import RemainingSampler


@pytest.mark.parametrize('processes', [1, 2, 3, 8])
@pytest.mark.parametrize('remaining', [[], [4], [1, 2, 5, 7, 8]])
def test_every_remaining_image_is_on_one_rank(monkeypatch, processes, remaining):
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(remaining_sampler, 'get_dist_info', lambda r=rank: (r, processes))
        sampler = RemainingSampler(range(10), remaining)
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1])
    assert sorted(index for share in shares for index in share) == remaining
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_loader_that_is_there_already_yields_what_remains():
    loader = DataLoader(list('abcdef'), batch_size=2)
    assert len(loader) == 3
    loader.batch_sampler.sampler = RemainingSampler(loader.dataset, [1, 4, 5])
    assert list(loader) == [['b', 'e'], ['f']] and len(loader) == 2
