"""What masks that are put together must share."""

from collections.abc import Sequence

from mmdet.structures.mask import BitmapMasks


def common_frame(masks: Sequence[BitmapMasks]) -> tuple[int, int]:
    """Height and width of images that all have the same, pixels.

    Raises:
        ValueError: There is none, or the sizes differ.
    """
    shapes = {(m.height, m.width) for m in masks}
    if len(shapes) != 1:
        raise ValueError(f'masks must have one height and width, not {sorted(shapes)}')
    return shapes.pop()
