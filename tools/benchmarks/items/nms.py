"""Class-wise suppression of the detections of an image, and of those of eight views of it.

Ours has to be the exact result: every class by itself on unshifted boxes, computed once with
torchvision's NMS. mmcv's shifts float32 boxes by their class, and differed from it in 0 to 4 of
1000 detections; as proof that the problem is the same, 99 % have to agree.
"""

from itertools import islice

from tools.benchmarks.item import Benchmark

NUM_ROIS = 1000
NUM_CLASSES = 1203
NUM_OBJECTS = 40
NUM_VIEWS = 8
IMAGE = 800.0  # side in pixels
IOU_THRESHOLD = 0.5
MAX_PER_IMG = 1000
NUM_MERGES = 10  # one takes less than the clock can tell


def make_inputs(score_thr: float) -> dict:
    """RoIs and their scores, over 300,000 of 1.2 million above 1e-4."""
    import torch

    import plugins  # noqa: F401 mmdet imports mmcv.ops

    generator = torch.Generator().manual_seed(0)
    boxes, scores = next(views(generator))
    pairs = (scores[:, :-1] > score_thr).flatten().nonzero()[:, 0]
    exact = suppress_each_class(
        boxes[pairs // NUM_CLASSES], scores[:, :-1].flatten()[pairs], pairs % NUM_CLASSES
    )
    return dict(boxes=boxes, scores=scores, score_thr=score_thr, exact=pairs[exact])


def make_views() -> dict:
    """The detections of eight views of an image, 1000 of each."""
    import torch

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from plugins.layers import classwise_nms

    generator = torch.Generator().manual_seed(0)
    options = dict(iou_threshold=IOU_THRESHOLD, max_per_img=MAX_PER_IMG)
    found = [
        classwise_nms(boxes, scores[:, :-1], **options)
        for boxes, scores in islice(views(generator), NUM_VIEWS)
    ]
    boxes, scores, labels, _ = map(torch.cat, zip(*found, strict=True))
    exact = suppress_each_class(boxes, scores, labels)
    return dict(boxes=boxes, scores=scores, labels=labels, exact=exact)


def views(generator):
    """RoIs of the same objects, their boxes and scores a little different in every view.

    Yields:
        Boxes xyxy, float32 (R, 4), and softmax scores, float32 (R, C + 1), background last.
    """
    import torch

    channels = NUM_CLASSES + 1
    objects = draw_boxes(NUM_OBJECTS, generator)
    # Of a long tail the classifier says rare classes less often, and mostly background.
    likely = 1.9 * torch.randn(NUM_OBJECTS, channels, generator=generator)
    likely -= torch.linspace(0, 3, channels)
    likely[:, -1] += 9.6
    while True:
        drawn = torch.randint(NUM_OBJECTS, (NUM_ROIS,), generator=generator)
        logits = likely[drawn] + 1.7 * torch.randn(NUM_ROIS, channels, generator=generator)
        yield around(objects[drawn], 0.1, generator), logits.softmax(dim=1)


def draw_boxes(count: int, generator):
    """Boxes xyxy of LVIS's sizes, float32 (N, 4): median area 0.5 % of the image."""
    import torch

    area = torch.randn(count, generator=generator).mul(2).exp().mul(0.005).clamp(max=0.9)
    aspect = torch.randn(count, generator=generator).mul(0.4).exp()
    size = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=1).clamp(max=1)
    start = torch.rand(count, 2, generator=generator) * (1 - size)
    return torch.cat([start, start + size], dim=1) * IMAGE


def around(boxes, spread: float, generator):
    """Move every side by a normal share of the box's size."""
    import torch

    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + torch.randn(boxes.shape, generator=generator) * size * spread


def suppress_each_class(boxes, scores, labels):
    """Exact reference: rows of the best detections, equal scores by row."""
    import torch
    from torchvision.ops import nms

    kept = []
    for label in labels.unique():
        rows = (labels == label).nonzero()[:, 0]
        kept.append(rows[nms(boxes[rows], scores[rows], IOU_THRESHOLD)])
    kept = torch.cat(kept).sort().values
    return kept[scores[kept].argsort(descending=True, stable=True)][:MAX_PER_IMG]


def run_ours(inputs: dict) -> dict:
    """Suppress pairs of RoI and class; keep what the check needs."""
    from plugins.layers import classwise_nms

    found = classwise_nms(
        inputs['boxes'],
        inputs['scores'][:, :-1],
        iou_threshold=IOU_THRESHOLD,
        max_per_img=MAX_PER_IMG,
        score_thr=inputs['score_thr'],
    )
    return dict(found=found.index * NUM_CLASSES + found.labels, exact=inputs['exact'])


def run_stock(inputs: dict) -> dict:
    """The same by mmdet."""
    from mmdet.models.layers import multiclass_nms

    options = dict(type='nms', iou_threshold=IOU_THRESHOLD)
    arguments = (inputs['boxes'], inputs['scores'], inputs['score_thr'], options, MAX_PER_IMG)
    return dict(found=multiclass_nms(*arguments, return_inds=True)[2])


def merge_ours(inputs: dict) -> dict:
    """Suppress labelled boxes, a few times."""
    from plugins.layers import labelled_nms

    arguments = (inputs['boxes'], inputs['scores'], inputs['labels'])
    options = dict(iou_threshold=IOU_THRESHOLD, max_per_img=MAX_PER_IMG)
    for _ in range(NUM_MERGES):
        found = labelled_nms(*arguments, **options)
    return dict(found=found.index, exact=inputs['exact'])


def merge_stock(inputs: dict) -> dict:
    """The same as mmdet's ``DetTTAModel`` does it."""
    from mmcv.ops import batched_nms

    arguments = (inputs['boxes'], inputs['scores'], inputs['labels'])
    options = dict(type='nms', iou_threshold=IOU_THRESHOLD)
    for _ in range(NUM_MERGES):
        keep = batched_nms(*arguments, options)[1]
    return dict(found=keep[:MAX_PER_IMG])


def is_exact(ours: dict, stock: dict) -> bool:
    """Whether ours is exact in set and order, and stock's the same but for one in a hundred."""
    import torch

    agreeing = torch.isin(stock['found'], ours['exact']).sum()
    enough = len(stock['found']) == len(ours['exact']) and agreeing >= 0.99 * len(ours['exact'])
    return torch.equal(ours['found'], ours['exact']) and bool(enough)


def benchmark(name: str, score_thr: float, repeats: int) -> Benchmark:
    """All pairs of 1000 RoIs and 1203 classes at a score threshold."""
    return Benchmark(
        name=name,
        peer=f'mmdet multiclass_nms, 1000 x 1203 scores above {score_thr:g}, keep 1000',
        setup=lambda: make_inputs(score_thr),
        ours=run_ours,
        peer_run=run_stock,
        check=is_exact,
        repeats=repeats,
    )


ITEMS = (
    benchmark('nms', 1e-4, 5),
    benchmark('nms_1e-3', 1e-3, 5),
    benchmark('nms_0', 0.0, 2),
    Benchmark(
        name='nms_views',
        peer='mmcv batched_nms, 8 x 1000 labelled boxes, keep 1000, ten times',
        setup=make_views,
        ours=merge_ours,
        peer_run=merge_stock,
        check=is_exact,
    ),
)
