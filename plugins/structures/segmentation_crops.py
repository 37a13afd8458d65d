"""Polygons and run-length codes of a data set as crops, never as whole images."""

import numpy as np
from pycocotools import mask as coco_mask

from plugins.compilation import compiled

_COMPLETE = -1


def crops_of_segmentations(
    segmentations: list[list | dict], height: int, width: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Rasterise objects and keep the box of each.

    The polygons are rasterised on the frame of the whole image: shifted ones would break ties
    between pixels differently.

    Args:
        segmentations: per object polygons (x, y, x, y, ... of at least three corners, pixels) or a
            run-length code, as in COCO; an object without polygons has no pixels.
        height: of the image.
        width: of the image.

    Returns:
        Crops, uint8 (h, w) each, and their x, y in the image, int32 (N, 2).

    Raises:
        ValueError: A code is broken or not of the image's size.
    """
    codes = _codes(segmentations, height, width)
    text = np.frombuffer(bytearray().join(codes), np.uint8)
    lengths = np.fromiter(map(len, codes), np.int64, len(codes))
    boxes = np.zeros((len(codes), 4), np.int64)
    broken = _measure_codes(text, lengths, height, width, boxes)
    if broken != _COMPLETE:
        raise ValueError(
            f'the run-length code of object {broken} is not a complete code of {height} x {width} '
            'pixels (height x width)'
        )
    sizes = boxes[:, 2] * boxes[:, 3]
    pixels = np.zeros(sizes.sum(), np.uint8)
    _decode_crops(text, lengths, height, boxes, pixels)
    ends = np.cumsum(sizes)
    places = zip((ends - sizes).tolist(), ends.tolist(), boxes.tolist(), strict=True)
    crops = [pixels[start:end].reshape(h, w) for start, end, (_, _, w, h) in places]
    return crops, boxes[:, :2].astype(np.int32)


def _codes(segmentations: list[list | dict], height: int, width: int) -> list[bytes]:
    """One compressed code per object."""
    polygons = [polygon for s in segmentations if isinstance(s, list) for polygon in s]
    of_polygons = iter(coco_mask.frPyObjects(polygons, height, width) if polygons else ())
    return [
        _merged([next(of_polygons) for _ in segmentation], height, width)
        if isinstance(segmentation, list)
        else _compressed(segmentation, height, width)
        for segmentation in segmentations
    ]


def _merged(codes: list[dict], height: int, width: int) -> bytes:
    if len(codes) == 1:
        return codes[0]['counts']
    if codes:
        return coco_mask.merge(codes)['counts']
    return _compressed(dict(size=[height, width], counts=[height * width]), height, width)


def _compressed(code: dict, height: int, width: int) -> bytes:
    if list(code['size']) != [height, width]:
        raise ValueError(
            f'the run-length code of a mask is for {code["size"][0]} x {code["size"][1]} pixels, '
            f'the image has {height} x {width} (height x width)'
        )
    counts = code['counts']
    if isinstance(counts, list):
        return coco_mask.frPyObjects(code, height, width)['counts']
    return counts.encode() if isinstance(counts, str) else counts


@compiled
def _measure_codes(text, lengths, height, width, boxes):
    """Find the box of each object from its code.

    A code is text: runs of zeros and ones in turn, in column-major order, five bits a character;
    from the fourth on, a run is stored as its difference from the one two before.

    Args:
        text: uint8, the codes one after another.
        lengths: int64 (N,), characters of each.
        height: of the image.
        width: of the image.
        boxes: int64 (N, 4), is filled with x, y, width, height; zeros for an object without pixels.

    Returns:
        Index of a code whose runs do not cover the image exactly, or -1.
    """
    place = 0
    for i in range(len(lengths)):
        end = place + lengths[i]
        left, right, top, bottom = width, 0, height, 0
        run, before, pixel, count = 0, 0, 0, 0
        while place < end:
            number, place = _read_number(text, place, end)
            run, before = (number + before if count > 2 else number), run
            if run < 0 or pixel + run > height * width:
                return i
            if count % 2 and run > 0:
                first, last = pixel // height, (pixel + run - 1) // height
                left, right = min(left, first), max(right, last + 1)
                if first == last:
                    top = min(top, pixel - first * height)
                    bottom = max(bottom, pixel + run - first * height)
                else:
                    top, bottom = 0, height
            pixel += run
            count += 1
        if pixel != height * width:
            return i
        if right > 0:
            boxes[i, 0], boxes[i, 1] = left, top
            boxes[i, 2], boxes[i, 3] = right - left, bottom - top
    return _COMPLETE


@compiled
def _decode_crops(text, lengths, height, boxes, pixels):
    """Decode complete codes into the boxes of their objects.

    Args:
        text: uint8, the codes one after another, as in `_measure_codes`.
        lengths: int64 (N,), characters of each.
        height: of the image.
        boxes: int64 (N, 4), as `_measure_codes` filled them.
        pixels: uint8, zeros, is filled: the boxes in row-major order one after another.
    """
    place = 0
    start = 0
    for i in range(len(lengths)):
        end = place + lengths[i]
        left, top, w, h = boxes[i]
        corner = left * height + top
        run, before, pixel, count = 0, 0, 0, 0
        while place < end:
            number, place = _read_number(text, place, end)
            run, before = (number + before if count > 2 else number), run
            if count % 2:
                _paint(pixels[start : start + w * h], w, pixel - corner, run, top, height)
            pixel += run
            count += 1
        start += w * h


@compiled
def _paint(crop, width, pixel, run, top, height):
    """Set a run of pixels, whose first one is counted from the crop's corner down the image."""
    while run > 0:
        column = (pixel + top) // height
        row = pixel - column * height
        length = min(run, height - row - top)
        for target in range(row * width + column, (row + length) * width + column, width):
            crop[target] = 1
        pixel += length
        run -= length


@compiled
def _read_number(text, place, end):
    """One number of a code, negative if it is cut off, and the place after it."""
    number, shift = 0, 0
    while place < end and shift <= 30:
        symbol = np.int64(text[place]) - 48
        place += 1
        number |= (symbol & 31) << shift
        shift += 5
        if not symbol & 32:
            return (number - (1 << shift) if symbol & 16 else number), place
    return -(1 << 62), end
