"""Masks of boxes put into the image, as run-length codes."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from plugins.errors import UserError
from plugins.structures.encoded_masks import EncodedMasks
from plugins.structures.paste_kernel import paste_and_encode

MOST_PIXELS = 2**31 - 1
"""Pixels are counted in 32 bits."""
FEWEST_OBJECTS = 250
"""Per thread: for fewer, one or two milliseconds of work, it does not pay to start another."""


def paste_masks(
    probabilities: Tensor | np.ndarray,
    boxes: Tensor | np.ndarray,
    height: int,
    width: int,
    threshold: float = 0.5,
    num_threads: int | None = None,
) -> EncodedMasks:
    """Put the masks of boxes into an image and encode them, never making an image.

    The codes are those of the bitmaps that mmdet's ``FCNMaskHead`` pastes. Only a value closer to
    the threshold than the rounding of ``grid_sample``, which depends on the machine, may fall on
    its other side. Tensors on a GPU come to the host in one copy.

    A box without extent has the mask of stock, which is a line of its middle. A mask is empty, and
    stock fails, if the box lies outside the image or is not finite; and if its size is negative,
    for which stock pastes mirrored margins or fails.

    Args:
        probabilities: (N, h, w), from 0 to 1, on a regular grid in each box, as
            ``grid_sample(align_corners=False)`` sees it.
        boxes: (N, 4), x1, y1, x2, y2 in pixels of the image.
        height: of the image.
        width: of the image.
        threshold: from which probability on a pixel belongs to the mask, 0 or more.
        num_threads: at most; by default as many as torch uses. The result does not depend on it.

    Returns:
        Masks of the image, with areas and tight boxes.

    Raises:
        UserError: The image is too large, or the threshold asks for soft masks.
        ValueError: The arrays do not belong together.
    """
    _require_codes(height, width, threshold)
    maps, corners = _on_host(probabilities), _on_host(boxes)
    if len(maps) != len(corners):
        raise ValueError(f'there are {len(maps)} masks and {len(corners)} boxes')
    if len(maps) == 0:
        return EncodedMasks([], height, width, np.empty(0), np.empty((0, 4)))
    if maps.ndim != 3 or corners.shape[1:] != (4,):
        raise ValueError(f'masks {maps.shape} must be (N, h, w), boxes {corners.shape} (N, 4)')
    areas, tight = np.empty(len(maps), np.int64), np.empty((len(maps), 4), np.int32)

    def encode(part: slice) -> list[bytes]:
        lengths = np.empty(len(maps[part]), np.int64)
        text = paste_and_encode(
            *(maps[part], corners[part], height, width, np.float32(threshold)),
            *(areas[part], tight[part], lengths),
        )
        return _split(text, lengths)

    parts = _divide(len(maps), num_threads or torch.get_num_threads())
    if len(parts) == 1:
        codes = encode(parts[0])
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            codes = [code for some in pool.map(encode, parts) for code in some]
    return EncodedMasks(codes, height, width, areas, tight)


def _require_codes(height: int, width: int, threshold: float) -> None:
    if not threshold >= 0:
        raise UserError(
            f'mask_thr_binary={threshold} asks for soft masks, which run-length codes cannot hold: '
            'it must be 0 or more'
        )
    if not (height > 0 and width > 0 and height * width <= MOST_PIXELS):
        raise UserError(
            f'an image of {height} x {width} pixels (height x width) cannot have masks: there must '
            f'be from 1 to {MOST_PIXELS} pixels; predict on a smaller one'
        )


def _on_host(values: Tensor | np.ndarray) -> np.ndarray:
    """float32 in main memory, C-contiguous and writable: kernels are compiled for that alone."""
    if isinstance(values, Tensor):
        values = values.detach().float().cpu().numpy()
    return np.require(values, np.float32, ('C', 'W'))


def _divide(count: int, num_threads: int) -> list[slice]:
    """Equal parts of all objects, which are in no order of size."""
    num_parts = max(1, min(num_threads, count // FEWEST_OBJECTS))
    edges = np.linspace(0, count, num_parts + 1).astype(int).tolist()
    return [slice(*edge) for edge in itertools.pairwise(edges)]


def _split(text: np.ndarray, lengths: np.ndarray) -> list[bytes]:
    edges = [0, *np.cumsum(lengths).tolist()]
    view = memoryview(text)
    return [bytes(view[start:end]) for start, end in itertools.pairwise(edges)]
