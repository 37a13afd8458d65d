import multiprocessing
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

from plugins.structures import CropMasks
from plugins.structures.mask_transfer import SHARED_FROM, pack_windows, unpack_windows


def draw_masks(num_masks, side):
    rng = np.random.default_rng(num_masks)
    windows = [
        (int(x), int(y), rng.integers(0, 2, (side, side), np.uint8))
        for x, y in rng.integers(0, 1000 - side, (num_masks, 2))
    ]
    return CropMasks.from_windows(windows, 1000, 1000)


def send(line, masks):
    line.send_bytes(ForkingPickler.dumps(masks))
    # Who shares memory must live until it is received.
    line.recv()


@pytest.mark.parametrize(
    ('num_masks', 'side'), [(0, 1), (3, 5), (5, 480)], ids=['none', 'few bytes', 'shared memory']
)
def test_masks_arrive_equal_from_another_process(num_masks, side):
    masks = draw_masks(num_masks, side)
    here, there = multiprocessing.get_context('fork').Pipe()
    worker = multiprocessing.get_context('fork').Process(target=send, args=(there, masks))
    worker.start()
    received = ForkingPickler.loads(here.recv_bytes())
    here.send('received')
    worker.join()
    assert worker.exitcode == 0
    np.testing.assert_array_equal(received.masks, masks.masks)
    # Kernels are compiled for arrays that can be written.
    assert all(crop.flags.writeable for crop in received.crops)


def test_a_frame_is_shared_in_one_tensor_and_a_small_one_in_none():
    side = 64
    many = SHARED_FROM // side**2
    shared, _ = pack_windows(draw_masks(many, side).windows())
    assert isinstance(shared, torch.Tensor)
    assert shared.shape == (SHARED_FROM,)
    for count in (0, many - 1):
        assert isinstance(pack_windows(draw_masks(count, side).windows())[0], bytes)


@pytest.mark.parametrize('num_masks', [1, 1000])
def test_unpacked_crops_are_views_of_one_piece(num_masks):
    windows = [*draw_masks(num_masks, 40).windows(), (0, 0, np.zeros((0, 0), np.uint8))]
    unpacked = unpack_windows(*pack_windows(windows))
    for (x, y, crop), (x0, y0, expected) in zip(unpacked, windows, strict=True):
        assert (x, y) == (x0, y0)
        np.testing.assert_array_equal(crop, expected)
        assert crop.base is not None


def test_only_what_the_frame_shows_travels():
    masks = CropMasks.from_bitmaps(np.ones((1, 500, 500), np.uint8))
    shown = masks.crop(np.array([0, 0, 10, 10]))
    assert len(ForkingPickler.dumps(shown)) < 2000
