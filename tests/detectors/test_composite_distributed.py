"""Two processes, one without objects or proposals: no gradient is waited for that never comes."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.model import MMDistributedDataParallel

from tests.detectors.test_composite_detector import NOTHING_PROPOSED, RESNET, SWIN
from tests.roi_heads.nano import NUM_CLASSES, nano_model
from tests.steps import build_detector, make_batch


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
        data = detector.data_preprocessor(batch, training=True)
        loss, _ = detector.parse_losses(model(**data, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return dict(detector.named_parameters())


def _work(rank, folder, backbone):
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2
    )
    try:
        torch.save(_step(rank, backbone), folder / f'{rank}.pth')
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    'backbone', [dict(SWIN, with_cp=[True, False]), RESNET], ids=['swin', 'resnet']
)
def test_ranks_agree_after_steps_with_assistants(tmp_path, backbone):
    mp.start_processes(_work, args=(tmp_path, backbone), nprocs=2, start_method='fork')
    weights, others = (torch.load(tmp_path / f'{rank}.pth') for rank in (0, 1))
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
