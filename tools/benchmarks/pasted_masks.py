"""Detections as a mask head leaves them, and the two ways to put their masks into the image."""

import functools

import numpy as np

from tools.benchmarks.item import Benchmark

IMAGE_SIZES = ((480, 640), (800, 1333))
"""Height, width: of a usual image of COCO, and of one as networks see it."""
NUM_OBJECTS = 1000
FINENESS = 4
"""Points on which an outline is drawn, per side of a point of the head's grid."""
SHARPNESS = 12
"""Logit at full coverage is half of it."""
ROUGHNESS = 0.5
"""Standard deviation of what is random in a logit."""
JITTER = 0.05
"""Standard deviation of a side of a found box, as a share of the box."""


def make_inputs(size: int, height: int, width: int, scale: float = 1) -> dict:
    """Logits and boxes of detections whose outlines are those of LVIS objects.

    Args:
        size: points of the head's grid, per side.
        height: of the image.
        width: of the image.
        scale: of the objects' sides, 1 as in LVIS.

    Returns:
        ``logits`` float32 (N, size, size), ``maps`` a place for as many probabilities, ``boxes``
        float32 (N, 4), ``height``, ``width`` and the ``head`` of stock.
    """
    import torch

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead

    rng = np.random.default_rng(0)
    objects = [draw_object(rng, size, height, width, scale) for _ in range(NUM_OBJECTS)]
    logits, boxes = (torch.from_numpy(np.stack(parts)) for parts in zip(*objects, strict=True))
    return dict(
        logits=logits,
        maps=torch.zeros_like(logits),
        boxes=boxes,
        height=height,
        width=width,
        head=FCNMaskHead(num_convs=0, in_channels=4, conv_out_channels=4, class_agnostic=True),
    )


def draw_object(
    rng: np.random.Generator, size: int, height: int, width: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 (size, size) and box float32 (4,) of one object, found not quite right."""
    import cv2

    from tools.benchmarks.mask_samples import draw_outline

    frame = np.array([width, height])
    rings = [np.reshape(ring, (-1, 2)) for ring in draw_outline(rng, height, width)]
    corners = np.concatenate(rings)
    low, high = corners.min(axis=0), corners.max(axis=0)
    centre = (low + high) / 2
    rings = [(ring - centre) * scale + centre for ring in rings]
    sides = (high - low) * scale
    ends = np.stack([centre - sides / 2, centre + sides / 2])
    ends = np.clip(ends + rng.normal(0, JITTER, (2, 2)) * sides, 0, frame)
    points = size * FINENESS
    drawn = np.zeros((points, points), np.uint8)
    on_grid = [np.round((ring - ends[0]) / (ends[1] - ends[0]) * points) for ring in rings]
    cv2.fillPoly(drawn, [ring.astype(np.int32) for ring in on_grid], 1)
    coverage = cv2.resize(drawn.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    coverage = cv2.GaussianBlur(coverage, (0, 0), size / 28)
    noise = cv2.GaussianBlur(rng.normal(0, 1, (size, size)).astype(np.float32), (0, 0), size / 28)
    logits = (coverage - 0.5) * SHARPNESS + noise * (ROUGHNESS / max(noise.std(), 1e-6))
    return logits.astype(np.float32), ends.ravel().astype(np.float32)


def paste_ours(inputs: dict) -> list[dict]:
    """Codes of our pasting.

    A head puts the probabilities in the place of its logits; these are needed again here, and the
    place is another one, made before the clock starts.
    """
    import torch

    from plugins.structures import paste_masks

    maps = torch.sigmoid(inputs['logits'], out=inputs['maps'])
    return paste_masks(maps, inputs['boxes'], inputs['height'], inputs['width']).rles()


def paste_stock(inputs: dict) -> list[dict]:
    """Codes of the stock head's bitmaps."""
    from mmengine.config import ConfigDict

    from mmdet.structures.mask import encode_mask_results

    pasted = inputs['head']._predict_by_feat_single(
        inputs['logits'][:, None],
        inputs['boxes'].clone(),
        labels=None,
        img_meta=dict(scale_factor=(1.0, 1.0), ori_shape=(inputs['height'], inputs['width'])),
        rcnn_test_cfg=ConfigDict(mask_thr_binary=0.5),
    )
    return encode_mask_results(pasted.numpy())


def same_codes(ours: list[dict], stock: list[dict]) -> bool:
    """Whether all codes have the same bytes."""
    return ours == stock


def benchmarks(size: int) -> tuple[Benchmark, ...]:
    """Comparisons for maps of ``size`` x ``size``: both image sizes, objects as in LVIS and larger.

    Args:
        size: points of the head's grid, per side.
    """
    return tuple(
        Benchmark(
            name=f'paste_rle_{size}_{width}x{height}' + (f'_{scale}x' if scale != 1 else ''),
            peer=f'mmdet FCNMaskHead and encode_mask_results, {NUM_OBJECTS} objects of {size} x '
            f'{size}, {width} x {height}, sides {scale} x those of LVIS',
            setup=functools.partial(make_inputs, size, height, width, scale),
            ours=paste_ours,
            peer_run=paste_stock,
            check=same_codes,
            repeats=3,
        )
        for height, width in IMAGE_SIZES
        for scale in (1, 3)
    )
