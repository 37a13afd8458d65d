"""Two processes, one without objects or proposals: no gradient is waited for that never comes."""

import pytest
import torch
from mmengine.model import MMDistributedDataParallel

from tests.detectors.test_composite_detector import NOTHING_PROPOSED, RESNET, SWIN
from tests.roi_heads.nano import NUM_CLASSES, nano_model
from tests.steps import build_detector, make_batch
from tests.two_processes import distributed_step, on_two_processes


def _step(rank, backbone):
    torch.manual_seed(0)
    more = dict(train_cfg=NOTHING_PROPOSED) if rank else {}
    config = nano_model('htc', type='CompositeDetector', backbone=backbone, **more)
    detector = build_detector(config)
    model = MMDistributedDataParallel(detector, broadcast_buffers=False)
    model.train()
    torch.manual_seed(rank)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    # The second step fails if the first left a gradient out.
    for _ in range(2):
        batch = make_batch(NUM_CLASSES, num_objects=0 if rank else 3)
        distributed_step(model, optimizer, batch)
    return dict(detector.named_parameters())


@pytest.mark.parametrize(
    'backbone', [dict(SWIN, with_cp=[True, False]), RESNET], ids=['swin', 'resnet']
)
def test_ranks_agree_after_steps_with_assistants(tmp_path, backbone):
    weights, others = on_two_processes(tmp_path, _step, backbone)
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
