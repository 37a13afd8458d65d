"""Masks of eight views of an image made into one, averaged in the boxes or in the whole image."""

from collections.abc import Sequence

from tools.benchmarks.item import Benchmark

NUM_OBJECTS = 300
SIZE = 28
HEIGHT, WIDTH = 480, 640
DIRECTIONS = (None, 'horizontal', 'vertical', 'diagonal') * 2
FLIPPED_DIMS = dict(horizontal=(2,), vertical=(1,), diagonal=(1, 2))

THRESHOLD = 0.5
TIE = 1e-6
"""Distance from the threshold that is lost in float32: a mirrored box is rounded anew."""
MOST_TIES = 3
"""Of the masks, that may have such pixels."""


def make_inputs() -> dict:
    """Boxes in the original image, and the probabilities that each view, mirrored or not, sees."""
    import torch

    from plugins.test_time.view_geometry import unflip_maps
    from tools.benchmarks import pasted_masks

    drawn = pasted_masks.make_inputs(SIZE, HEIGHT, WIDTH)
    logits, boxes = drawn['logits'][:NUM_OBJECTS], drawn['boxes'][:NUM_OBJECTS]
    generator = torch.Generator().manual_seed(0)
    views = []
    for direction in DIRECTIONS:
        meta = dict(
            ori_shape=(HEIGHT, WIDTH),
            scale_factor=(1.0, 1.0),
            flip=direction is not None,
            flip_direction=direction,
        )
        # No view is as sure as another.
        doubt = torch.randn(NUM_OBJECTS, 1, 1, generator=generator) * 0.3
        # A flip is its own inverse.
        views.append((unflip_maps((logits + doubt).sigmoid(), meta), meta))
    return dict(boxes=boxes, views=views)


def fuse_maps(inputs: dict) -> dict:
    """Average in the boxes, paste and encode once."""
    from plugins.roi_heads.mask_maps import MaskMaps
    from plugins.structures import paste_masks
    from plugins.test_time.view_geometry import average_maps, unflip_maps

    views = (MaskMaps(unflip_maps(maps, meta), None) for maps, meta in inputs['views'])
    return dict(codes=paste_masks(average_maps(views).maps, inputs['boxes'], HEIGHT, WIDTH).rles())


def fuse_images(inputs: dict) -> dict:
    """Paste every view as stock's heads do, average the images, encode them."""
    from mmdet.structures.mask import encode_mask_results

    average = average_images(inputs, range(NUM_OBJECTS))
    return dict(codes=encode_mask_results((average >= THRESHOLD).numpy()), inputs=inputs)


def average_images(inputs: dict, objects: Sequence[int]) -> object:
    """Probabilities of some objects averaged over the views: float32 (n, HEIGHT, WIDTH)."""
    import torch

    from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
    from mmdet.structures.bbox import bbox_flip

    total = torch.zeros(len(objects), HEIGHT, WIDTH)
    for maps, meta in inputs['views']:
        boxes, direction = inputs['boxes'], meta['flip_direction']
        if meta['flip']:
            boxes = bbox_flip(boxes, (HEIGHT, WIDTH), direction)
        seen = torch.zeros(len(objects), HEIGHT, WIDTH)
        # One by one, as stock does on a CPU.
        for place, i in enumerate(objects):
            part, window = _do_paste_mask(
                maps[i][None, None], boxes[i][None], HEIGHT, WIDTH, skip_empty=True
            )
            seen[(place, *window)] = part[0]
        total += seen.flip(FLIPPED_DIMS[direction]) if meta['flip'] else seen
    return total / len(inputs['views'])


def same_masks(ours: dict, peer: dict) -> bool:
    """Whether codes are equal, but for pixels that rounding may put on either side."""
    from pycocotools import mask as mask_api

    pairs = list(zip(ours['codes'], peer['codes'], strict=True))
    unequal = [i for i, (code, other) in enumerate(pairs) if code != other]
    for i, average in zip(unequal, average_images(peer['inputs'], unequal), strict=True):
        code, other = pairs[i]
        differs = mask_api.decode(code) != mask_api.decode(other)
        if (abs(average.numpy()[differs] - THRESHOLD) >= TIE).any():
            return False
    return len(unequal) <= MOST_TIES


ITEMS = (
    Benchmark(
        name='tta_fusion',
        peer='mmdet _do_paste_mask of 8 views, whole images averaged, 300 objects, 640 x 480',
        setup=make_inputs,
        ours=fuse_maps,
        peer_run=fuse_images,
        check=same_masks,
        repeats=3,
    ),
)
