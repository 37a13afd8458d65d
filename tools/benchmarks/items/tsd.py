"""A box stage with TSD against one with the ordinary head of the same widths, RoIAlign included.

The ratio is below 1 by design: what TSD does it does on top. It is the price of a stage.
"""

from tools.benchmarks.devices import DEVICES, named, synchronize
from tools.benchmarks.item import Benchmark

NUM_CLASSES = 1203
CHANNELS = 256
STRIDES = (4, 8, 16, 32)
IMAGE_SIZE = (800, 1344)
TRAIN_ROIS = 512
TEST_ROIS = 1000
POSITIVE_FRACTION = 0.25


def make_stage(num_rois: int, device: str = 'cpu') -> dict:
    """Both heads with the same weights, the features of an image, and its RoIs."""
    import torch
    from mmengine.config import ConfigDict

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
    from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
    from plugins.roi_heads.bbox_heads import TSDShared2FCBBoxHead

    torch.manual_seed(0)
    loss = dict(type='SoftmaxLoss')
    options = dict(num_classes=NUM_CLASSES, reg_class_agnostic=True, loss_cls=loss)
    ours, stock = TSDShared2FCBBoxHead(**options), Shared2FCBBoxHead(**options)
    stock.load_state_dict(ours.state_dict(), strict=False)
    results = [sample_rois(num_rois, device)]
    height, width = IMAGE_SIZE
    levels = [torch.randn(1, CHANNELS, height // s, width // s, device=device) for s in STRIDES]
    return dict(
        ours=ours.to(device),
        stock=stock.to(device),
        x=tuple(level.requires_grad_() for level in levels),
        extractor=SingleRoIExtractor(
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2),
            out_channels=CHANNELS,
            featmap_strides=STRIDES,
        ),
        results=results,
        cfg=ConfigDict(pos_weight=-1),
    )


def sample_rois(count: int, device: str) -> object:
    """RoIs of all sizes, a quarter of them near an object each, as a sampler gives them."""
    import torch

    from mmdet.models.task_modules.assigners import AssignResult
    from mmdet.models.task_modules.samplers import SamplingResult

    height, width = IMAGE_SIZE
    size = torch.exp2(torch.rand(count, 2) * 4 + 4)
    corner = torch.rand(count, 2) * (torch.tensor([width, height]) - size)
    boxes = torch.cat([corner, corner + size], dim=1)
    positives = int(count * POSITIVE_FRACTION)
    result = SamplingResult(
        pos_inds=torch.arange(positives),
        neg_inds=torch.arange(positives, count),
        priors=boxes,
        gt_bboxes=boxes[:positives] + torch.randn(positives, 4),
        assign_result=AssignResult(
            positives,
            torch.arange(1, count + 1),
            torch.ones(count),
            torch.randint(0, NUM_CLASSES, (count,)),
        ),
        gt_flags=torch.zeros(count, dtype=torch.uint8),
    )
    return result.to(device)


def forward(inputs: dict, side: str) -> tuple:
    """Pool and rate the RoIs; return logits, deltas and RoIs."""
    from contextlib import nullcontext

    from mmdet.structures.bbox import bbox2roi

    head, x = inputs[side], inputs['x']
    rois = bbox2roi([result.priors for result in inputs['results']])
    shown = head.seeing_pyramid(x, rois) if side == 'ours' else nullcontext()
    with shown:
        return *head(inputs['extractor'](x, rois)), rois


def train(inputs: dict, side: str) -> dict:
    """A training step of the stage; return the losses that both heads have."""
    head = inputs[side]
    head.train()
    head.zero_grad()
    for level in inputs['x']:
        level.grad = None
    logits, deltas, rois = forward(inputs, side)
    found = head.loss_and_target(logits, deltas, rois, inputs['results'], inputs['cfg'])
    losses = {name: value for name, value in found['loss_bbox'].items() if 'loss' in name}
    sum(losses.values()).backward()
    synchronize(logits)
    suffix = '_sibling' if side == 'ours' else ''
    return {name: losses[name + suffix].item() for name in ('loss_cls', 'loss_bbox')}


def make_test(device: str = 'cpu') -> dict:
    """For a test: heads that agree, because TSD's looks where the RoI is, with equal weights."""
    import torch

    inputs = make_stage(TEST_ROIS, device)
    ours = inputs['ours']
    with torch.no_grad():
        for layer in (ours.delta_c[-1], ours.delta_r[-1]):
            layer.weight.zero_()
            layer.bias.zero_()
        for fcs in (ours.TSD_pc_fcs, ours.TSD_pr_fcs):
            fcs.load_state_dict(ours.shared_fcs.state_dict())
        ours.TSD_fc_cls.load_state_dict(ours.fc_cls.state_dict())
        ours.TSD_fc_reg.load_state_dict(ours.fc_reg.state_dict())
    return inputs


def test(inputs: dict, side: str) -> tuple:
    """Rate the proposals of an image."""
    import torch

    inputs[side].eval()
    with torch.no_grad():
        logits, deltas, _ = forward(inputs, side)
    synchronize(logits)
    return logits, deltas


def same_losses(ours: dict, stock: dict) -> bool:
    """Whether TSD's sibling, the ordinary head in it, lost what that head loses alone."""
    return all(abs(ours[name] - value) <= 1e-5 * abs(value) for name, value in stock.items())


def same_outputs(ours: tuple, stock: tuple) -> bool:
    """Whether logits and deltas agree to the precision of float32."""
    import torch

    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(ours, stock, strict=True))


def items(device: str) -> tuple[Benchmark, ...]:
    """The two benchmarks on a device."""
    return (
        Benchmark(
            name=named('tsd_train', device),
            peer=f'mmdet Shared2FCBBoxHead, a training step of {TRAIN_ROIS} RoIs, on {device}',
            setup=lambda: make_stage(TRAIN_ROIS, device),
            ours=lambda inputs: train(inputs, 'ours'),
            peer_run=lambda inputs: train(inputs, 'stock'),
            check=same_losses,
            repeats=3,
        ),
        Benchmark(
            name=named('tsd_test', device),
            peer=f'mmdet Shared2FCBBoxHead, {TEST_ROIS} proposals, on {device}',
            setup=lambda: make_test(device),
            ours=lambda inputs: test(inputs, 'ours'),
            peer_run=lambda inputs: test(inputs, 'stock'),
            check=same_outputs,
            repeats=3,
        ),
    )


ITEMS = tuple(item for device in DEVICES for item in items(device))
