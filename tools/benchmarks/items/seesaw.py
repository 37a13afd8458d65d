"""Seesaw loss, forward and backward, on the logits of one image batch of LVIS."""

from tools.benchmarks.devices import DEVICES, synchronize
from tools.benchmarks.item import Benchmark

NUM_ROIS = 1024
NUM_CLASSES = 1203
POSITIVE_FRACTION = 0.25


def make_inputs(device: str = 'cpu') -> dict:
    """RoIs as a box head samples them: a quarter foreground, long-tailed labels."""
    import torch

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.models.losses import SeesawLoss
    from plugins.losses import SyncSeesawLoss

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(NUM_ROIS, NUM_CLASSES + 2, generator=generator) * 3
    share = 1.0 / torch.arange(1, NUM_CLASSES + 1)
    labels = torch.full((NUM_ROIS,), NUM_CLASSES)
    num_positive = int(NUM_ROIS * POSITIVE_FRACTION)
    labels[:num_positive] = share.multinomial(num_positive, True, generator=generator)
    counts = (share * 1e6).round().long()
    losses = dict(
        ours=SyncSeesawLoss(num_classes=NUM_CLASSES), stock=SeesawLoss(num_classes=NUM_CLASSES)
    )
    for loss in losses.values():
        loss.cum_samples[:-1] = counts
        loss.to(device)
    batch = dict(logits=logits.to(device), labels=labels.to(device))
    return dict(**losses, **batch, weights=torch.ones(NUM_ROIS, device=device))


def run(inputs: dict, side: str, steps: int) -> dict:
    """Run some training steps from the same counts; return the last losses and gradient."""

    loss = inputs[side]
    counts = loss.cum_samples.clone()
    logits = inputs['logits'].requires_grad_()
    for _ in range(steps):
        logits.grad = None
        terms = loss(logits, inputs['labels'], inputs['weights'], avg_factor=NUM_ROIS)
        sum(terms.values()).backward()
    synchronize(logits)
    result = dict(**terms, gradient=logits.grad.clone(), counts=loss.cum_samples.clone())
    loss.cum_samples.copy_(counts)
    return result


def same_training(ours: dict, stock: dict) -> bool:
    """Whether losses, gradients and counts agree to the precision of float32."""
    import torch

    return all(
        torch.allclose(ours[name].double(), value.double(), rtol=1e-4, atol=1e-8)
        for name, value in stock.items()
    )


def make_cuda_inputs() -> dict:
    """The same on a GPU, where our side may not wait for it."""
    import torch

    inputs = make_inputs('cuda')
    torch.cuda.set_sync_debug_mode('error')
    ours = inputs['ours']
    ours(inputs['logits'], inputs['labels'], inputs['weights'], avg_factor=NUM_ROIS)
    torch.cuda.set_sync_debug_mode('default')
    return inputs


STEPS = 10

ITEMS = (
    Benchmark(
        name='seesaw',
        peer='mmdet SeesawLoss, 10 steps of 1024 x 1205 logits',
        setup=make_inputs,
        ours=lambda inputs: run(inputs, 'ours', STEPS),
        peer_run=lambda inputs: run(inputs, 'stock', STEPS),
        check=same_training,
    ),
)
if 'cuda' in DEVICES:
    ITEMS += (
        Benchmark(
            name='seesaw_cuda',
            peer='mmdet SeesawLoss, 10 steps of 1024 x 1205 logits on a GPU',
            setup=make_cuda_inputs,
            ours=lambda inputs: run(inputs, 'ours', STEPS),
            peer_run=lambda inputs: run(inputs, 'stock', STEPS),
            check=same_training,
        ),
    )
