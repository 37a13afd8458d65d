"""What a finished sample costs the trainer's process when a worker hands it over."""

from functools import partial

from tools.benchmarks.item import Benchmark


def make_inputs(num_masks: int, height: int, width: int) -> dict:
    """A worker that has the sample with either container, and the line to it."""
    import multiprocessing

    import numpy as np
    import torch

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.structures.mask import BitmapMasks
    from plugins.structures import CropMasks
    from tools.benchmarks.mask_samples import draw_instances

    rng = np.random.default_rng(0)
    instances = draw_instances(rng, height, width, num_masks)
    ours = CropMasks.from_segmentations([i['mask'] for i in instances], height, width)
    stock = BitmapMasks(ours.masks, height, width)
    image = torch.from_numpy(rng.integers(0, 256, (3, height, width), np.uint8))
    samples = {
        side: _packed(image, instances, masks)
        for side, masks in dict(ours=ours, stock=stock).items()
    }
    fork = multiprocessing.get_context('fork')
    here, there = fork.Pipe()
    worker = fork.Process(target=_serve, args=(there, samples), daemon=True)
    worker.start()
    return dict(worker=worker, line=here)


def _packed(image: object, instances: list[dict], masks: object) -> dict:
    import torch
    from mmengine.structures import InstanceData

    from mmdet.structures import DetDataSample
    from mmdet.structures.bbox import HorizontalBoxes

    boxes = torch.tensor([i['bbox'] for i in instances])
    labels = torch.tensor([i['bbox_label'] for i in instances])
    objects = InstanceData(bboxes=HorizontalBoxes(boxes), labels=labels, masks=masks)
    return dict(inputs=image, data_samples=DetDataSample(gt_instances=objects))


def _serve(line: object, samples: dict) -> None:
    """Pickle a sample whenever its side is called, as the workers of a data loader do."""
    from multiprocessing.reduction import ForkingPickler

    while True:
        line.send_bytes(ForkingPickler.dumps(samples[line.recv()]))


def run(inputs: dict, side: str) -> dict:
    """Receive a sample; waiting for the worker costs no CPU time here."""
    from multiprocessing.reduction import ForkingPickler

    inputs['line'].send(side)
    return ForkingPickler.loads(inputs['line'].recv_bytes())


def same_sample(ours: dict, stock: dict) -> bool:
    """Whether image, boxes, labels and all bitmaps arrived equal."""
    import torch

    mine, theirs = (sample['data_samples'].gt_instances for sample in (ours, stock))
    return (
        torch.equal(ours['inputs'], stock['inputs'])
        and torch.equal(mine.bboxes.tensor, theirs.bboxes.tensor)
        and torch.equal(mine.labels, theirs.labels)
        and bool((mine.masks.to_ndarray() == theirs.masks.to_ndarray()).all())
    )


ITEMS = tuple(
    Benchmark(
        name=f'transfer_{num_masks}',
        peer=f'mmdet BitmapMasks, {num_masks} masks of {width} x {height}, receiving side',
        setup=partial(make_inputs, num_masks, height, width),
        ours=lambda inputs: run(inputs, 'ours'),
        peer_run=lambda inputs: run(inputs, 'stock'),
        check=same_sample,
        repeats=10,
    )
    for num_masks, height, width in ((40, 800, 1333), (80, 1400, 1600))
)
