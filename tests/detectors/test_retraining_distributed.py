"""Two processes: a step of calibration leaves them with the same weights, rightly balanced."""

import copy

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel

from plugins.roi_heads.bbox_heads.calibration_batch import balance_ranks
from tests.roi_heads.nano import drawn_batch, nano_model
from tests.steps import build_detector
from tests.two_processes import distributed_step, on_two_processes

SIMCAL = dict(
    type='RetrainedDetector',
    trained=['roi_head.bbox_head.second_classifier'],
    roi_head=dict(
        bbox_head=dict(
            type='TwoClassifierShared2FCBBoxHead',
            second_classifier=dict(hidden_fcs=1, match='own'),
        )
    ),
    train_cfg=dict(rcnn=dict(sampler=dict(type='ClassDrawRoISampler'))),
)
WEIGHTS = [[1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]]
VALUES = [[1.0, 2.0, 50.0, 3.0], [70.0, 80.0, 6.0, 90.0]]


def _mean_of_kept(rank):
    """The average over the ranks of what a box head computes, divided by its own kept RoIs."""
    weights = torch.tensor(WEIGHTS[rank])
    loss = (balance_ranks(weights) * torch.tensor(VALUES[rank])).sum() / (weights > 0).sum()
    dist.all_reduce(loss)
    return float(loss) / 2


def _step(rank):
    torch.manual_seed(0)
    detector = build_detector(nano_model('mask-rcnn', **copy.deepcopy(SIMCAL)))
    detector.load_state_dict(detector.state_dict())
    model = MMDistributedDataParallel(detector, broadcast_buffers=False)
    model.train()
    torch.manual_seed(rank)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for label in (rank, rank + 2):
        batch = drawn_batch(num_images=1 + rank, label=label)
        distributed_step(model, optimizer, batch)
    return detector.state_dict()


def _run(rank):
    return _mean_of_kept(rank), _step(rank)


def test_ranks_agree_after_steps_of_calibration(tmp_path):
    (mean, weights), (other_mean, other_weights) = on_two_processes(tmp_path, _run)
    assert mean == other_mean == (1 + 2 + 3 + 6) / 4
    for name, value in weights.items():
        assert torch.equal(value, other_weights[name]), name
    torch.manual_seed(0)
    started = build_detector(nano_model('mask-rcnn', **copy.deepcopy(SIMCAL))).state_dict()
    changed = {n for n, value in weights.items() if not torch.equal(value, started[n])}
    assert changed == {n for n in weights if n.startswith('roi_head.bbox_head.second_classifier.')}
