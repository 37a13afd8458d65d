"""How masks travel between processes: their pixels in one piece, in shared memory."""

import numpy as np
import torch
from torch import Tensor

SHARED_FROM = 1 << 20
"""Bytes from which on shared memory is used. Below, the receiver spends less time (a half at 1 MiB,
a twentieth at 16 KiB, measured) on copying bytes out of a pipe than on a file descriptor, a mapping
and page faults; and a run that holds many samples has fewer descriptors open."""


def pack_windows(
    windows: list[tuple[int, int, np.ndarray]],
) -> tuple[bytes | Tensor, bytes]:
    """Put windows into one piece.

    Args:
        windows: per object x, y and the crop, uint8 (h, w).

    Returns:
        Pixels of all crops: a uint8 tensor, which torch's picklers put into shared memory, or bytes
        where these are cheaper; and x, y, height, width of each object, int32.
    """
    places = np.array([(x, y, *crop.shape) for x, y, crop in windows], np.int32)
    num_bytes = sum(crop.size for _, _, crop in windows)
    pixels = np.empty(num_bytes, np.uint8)
    if windows:
        np.concatenate([crop.reshape(-1) for _, _, crop in windows], out=pixels)
    packed = torch.from_numpy(pixels) if num_bytes >= SHARED_FROM else pixels.tobytes()
    return packed, places.tobytes()


def unpack_windows(packed: bytes | Tensor, places: bytes) -> list[tuple[int, int, np.ndarray]]:
    """The windows of `pack_windows`; their crops are views of the one piece."""
    # A bytearray, because kernels for read-only arrays would be compiled a second time.
    pixels = (
        np.frombuffer(bytearray(packed), np.uint8) if isinstance(packed, bytes) else packed.numpy()
    )
    windows = []
    start = 0
    for x, y, height, width in np.frombuffer(places, np.int32).reshape(-1, 4).tolist():
        end = start + height * width
        windows.append((x, y, pixels[start:end].reshape(height, width)))
        start = end
    return windows
