"""Mask targets of positive RoIs, as mask heads ask for them in training."""

from tools.benchmarks.item import Benchmark

NUM_OBJECTS = 13
NUM_ROIS = 128
TARGET_SIZE = 28
HEIGHT, WIDTH = 800, 1333


def make_inputs() -> dict:
    """Objects of one image, positive proposals around them, both containers."""
    import numpy as np
    import torch
    from mmengine.config import ConfigDict

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.structures.mask import BitmapMasks
    from plugins.structures import CropMasks
    from tools.benchmarks.mask_samples import draw_instances, draw_proposals

    rng = np.random.default_rng(0)
    instances = draw_instances(rng, HEIGHT, WIDTH, NUM_OBJECTS)
    proposals, objects = draw_proposals(rng, instances, NUM_ROIS)
    masks = CropMasks.from_segmentations([i['mask'] for i in instances], HEIGHT, WIDTH)
    return dict(
        ours=masks,
        stock=BitmapMasks(masks.masks, HEIGHT, WIDTH),
        proposals=torch.from_numpy(proposals),
        objects=torch.from_numpy(objects),
        cfg=ConfigDict(mask_size=TARGET_SIZE),
    )


def run(inputs: dict, side: str) -> object:
    """The targets: float (R, 28, 28) of zeros and ones."""
    from mmdet.structures.mask import mask_target

    return mask_target(
        [inputs['proposals'].clone()], [inputs['objects']], [inputs[side]], inputs['cfg']
    )


def same_targets(ours: object, stock: object) -> bool:
    """Whether no pixel differs."""
    import torch

    return torch.equal(ours, stock)


ITEMS = (
    Benchmark(
        name='mask_targets',
        peer='mmdet mask_target of BitmapMasks, 128 RoIs, 28 x 28, 1333 x 800',
        setup=make_inputs,
        ours=lambda inputs: run(inputs, 'ours'),
        peer_run=lambda inputs: run(inputs, 'stock'),
        check=same_targets,
    ),
)
