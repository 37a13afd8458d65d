"""Two processes: what is counted is summed, what is drawn differs by rank."""

import torch

from plugins.losses import (
    BalancedGroupSoftmaxLoss,
    EqualizationLossV2,
    FederatedLoss,
    SyncSeesawLoss,
)
from tests.two_processes import on_two_processes

COUNTS = torch.tensor([5, 50, 500, 5000])


def _run(rank: int) -> dict:
    # The ranks see disjoint classes, and different numbers of RoIs.
    labels = torch.tensor([0, 1, 4]) if rank == 0 else torch.tensor([2, 3, 3, 4])
    generator = torch.Generator().manual_seed(rank)
    found = {}
    for name, loss, channels in (
        ('seesaw', SyncSeesawLoss(num_classes=4), 6),
        ('eqlv2', EqualizationLossV2(num_classes=4), 5),
    ):
        logits = torch.randn(len(labels), channels, generator=generator)
        loss(logits, labels)
        found[name] = loss.state_dict()
        found[f'{name}-logits'] = logits
    federated = FederatedLoss(num_classes=4, num_sampled=2)
    groups = BalancedGroupSoftmaxLoss(num_classes=4, beta=1.0)
    for loss in (federated, groups):
        loss.set_category_counts(COUNTS, COUNTS, 6000)
        loss.start_training(seed=0, resumed=False)
    one = torch.zeros(1, dtype=torch.int64)
    found['federated'] = [
        federated.term_weights(torch.zeros(1, 4), one, torch.ones(1)).tolist() for _ in range(30)
    ]
    found['bags'] = [
        torch.rand(3, generator=groups.next_generator(torch.device('cpu'))).tolist()
        for _ in range(5)
    ]
    return found


def test_counts_are_summed_and_draws_are_not_shared(tmp_path):
    first, second = on_two_processes(tmp_path, _run)
    assert first['seesaw']['cum_samples'].tolist() == [1, 1, 1, 2, 2]
    for name in ('seesaw', 'eqlv2'):
        for key, value in first[name].items():
            assert torch.equal(value, second[name][key]), (name, key)
    # One process that sees both batches accumulates the same gradients.
    alone = EqualizationLossV2(num_classes=4)
    logits = torch.cat([first['eqlv2-logits'], second['eqlv2-logits']])
    alone(logits, torch.tensor([0, 1, 4, 2, 3, 3, 4]))
    for key, value in alone.state_dict().items():
        torch.testing.assert_close(first['eqlv2'][key], value)
    assert first['federated'] != second['federated'] and first['bags'] != second['bags']
