"""Assignment of the anchors of a large image to as many boxes as LVIS images and mosaics have."""

from tools.benchmarks.devices import DEVICES, synchronize
from tools.benchmarks.item import Benchmark

NUM_BOXES = 300
IMAGE = (1408, 1600)  # height and width in pixels
STRIDES = (4, 8, 16, 32, 64)
MEDIAN_AREA, AREA_SPREAD = 0.005, 2.0  # log-normal share of the image: mean 3.6 %, as in LVIS
RPN = dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True)


def make_inputs(device: str = 'cpu') -> dict:
    """Both assigners, the anchors of Mask R-CNN's proposal network and boxes of LVIS's sizes."""
    import torch
    from mmengine.structures import InstanceData

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.models.task_modules import AnchorGenerator, MaxIoUAssigner
    from plugins.task_modules import StreamedMaxIoUAssigner

    anchors = AnchorGenerator(strides=STRIDES, ratios=[0.5, 1.0, 2.0], scales=[8])
    sizes = [(-(-IMAGE[0] // stride), -(-IMAGE[1] // stride)) for stride in STRIDES]
    priors = torch.cat(anchors.grid_priors(sizes, device=device))
    labels = torch.arange(NUM_BOXES, device=device)
    return dict(
        ours=StreamedMaxIoUAssigner(**RPN),
        stock=MaxIoUAssigner(**RPN),
        pred_instances=InstanceData(priors=priors),
        gt_instances=InstanceData(bboxes=draw_boxes().to(device), labels=labels),
    )


def draw_boxes():
    """Boxes xyxy, float32 (``NUM_BOXES``, 4), inside the image."""
    import torch

    generator = torch.Generator().manual_seed(0)
    image = torch.tensor(IMAGE[::-1])
    spread = torch.randn(NUM_BOXES, generator=generator) * AREA_SPREAD
    area = (spread.exp() * MEDIAN_AREA).clamp(max=0.9) * image.prod()
    aspect = (torch.randn(NUM_BOXES, generator=generator) * 0.4).exp()
    size = torch.stack([area.sqrt() * aspect, area.sqrt() / aspect], dim=1)
    size = torch.minimum(size, image)
    start = torch.rand(NUM_BOXES, 2, generator=generator) * (image - size)
    return torch.cat([start, start + size], dim=1)


def run(inputs: dict, side: str) -> tuple:
    """Assign once; on a GPU wait until it is done."""

    result = inputs[side].assign(inputs['pred_instances'], inputs['gt_instances'])
    synchronize(result.gt_inds)
    return result.gt_inds, result.max_overlaps, result.labels


def same_assignment(ours: tuple, stock: tuple) -> bool:
    """Whether assigned boxes, overlaps and labels are the same numbers."""
    import torch

    return all(torch.equal(mine, theirs) for mine, theirs in zip(ours, stock, strict=True))


ITEMS = (
    Benchmark(
        name='assigner',
        peer='mmdet MaxIoUAssigner, 300 boxes, 562,650 anchors (1600 x 1408 pixels)',
        setup=make_inputs,
        ours=lambda inputs: run(inputs, 'ours'),
        peer_run=lambda inputs: run(inputs, 'stock'),
        check=same_assignment,
        repeats=3,
    ),
)
if 'cuda' in DEVICES:
    ITEMS += (
        Benchmark(
            name='assigner_cuda',
            peer='mmdet MaxIoUAssigner, 300 boxes, 562,650 anchors on a GPU',
            setup=lambda: make_inputs('cuda'),
            ours=lambda inputs: run(inputs, 'ours'),
            peer_run=lambda inputs: run(inputs, 'stock'),
            check=same_assignment,
        ),
    )
