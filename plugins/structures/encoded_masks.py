"""Predicted masks as run-length codes."""

from collections.abc import Iterator, Sequence

import numpy as np
import pycocotools.mask as coco_mask
import torch
from torch import Tensor

from mmdet.structures.bbox import BaseBoxes, HorizontalBoxes, get_box_type
from mmdet.structures.mask import BitmapMasks
from plugins.structures.common_frame import common_frame


class EncodedMasks(BitmapMasks):
    """Masks of N objects as COCO run-length codes of one image.

    This is what our heads predict: a thousand masks take as much memory as one of their bitmaps.
    Everything of `BitmapMasks` works; what cannot be answered from the codes makes bitmaps, and
    what it returns are `BitmapMasks`. Iteration gives one bitmap after another. Codes are shared
    between copies and never changed in place.

    The metrics and the inferencer of mmdet take it as they take the tensors of stock heads, for
    which it has the methods of a tensor that they call.

    Args:
        codes: compressed counts of each mask, as in COCO.
        height: of the image.
        width: of the image.
        areas: int (N,), pixels of each mask; by default from the codes when asked for.
        boxes: int (N, 4), tight x1, y1, x2, y2 of each mask, the second corner exclusive, zeros
            where it is empty; by default from the codes when asked for.
    """

    def __init__(
        self,
        codes: list[bytes],
        height: int,
        width: int,
        areas: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
    ) -> None:
        self.codes = codes
        self.height = int(height)
        self.width = int(width)
        self._areas = None if areas is None else np.asarray(areas, np.int64)
        self._boxes = None if boxes is None else np.asarray(boxes, np.int32).reshape(-1, 4)

    @classmethod
    def from_bitmaps(cls, bitmaps: np.ndarray | Tensor) -> 'EncodedMasks':
        """Encode whole images, (N, H, W), booleans or integers; what is not zero is the object."""
        if isinstance(bitmaps, Tensor):
            bitmaps = bitmaps.detach().cpu().numpy()
        return cls([_encode(bitmap) for bitmap in bitmaps], *bitmaps.shape[1:])

    def rles(self) -> list[dict]:
        """The masks as `pycocotools` takes them: a new ``dict(size=[h, w], counts=bytes)`` each."""
        return [dict(size=[self.height, self.width], counts=code) for code in self.codes]

    @property
    def masks(self) -> np.ndarray:
        """All masks as whole images: uint8 (N, H, W), computed at every use."""
        dense = np.empty((len(self), self.height, self.width), np.uint8)
        for target, mask in zip(dense, self, strict=True):
            target[:] = mask
        return dense

    @masks.setter
    def masks(self, bitmaps: np.ndarray) -> None:
        vars(self).update(vars(EncodedMasks.from_bitmaps(bitmaps)))

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each object, int64 (N,)."""
        if self._areas is None:
            # One by one: pycocotools 2.0.11 fails on more than 255 at once with numpy 2.
            self._areas = np.array([coco_mask.area(rle) for rle in self.rles()], np.int64)
        return self._areas

    @property
    def boxes(self) -> np.ndarray:
        """Tight x1, y1, x2, y2 of each object, int32 (N, 4), zeros where it is empty."""
        if self._boxes is None:
            boxes = np.asarray(coco_mask.toBbox(self.rles())).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            boxes[self.areas == 0] = 0
            self._boxes = boxes.astype(np.int32)
        return self._boxes

    def __getitem__(
        self, index: int | slice | Sequence | np.ndarray | Tensor
    ) -> 'EncodedMasks | dict':
        """Choose objects.

        Args:
            index: a slice, or booleans or integers in a list, an array or a tensor; or a single
                integer.

        Returns:
            The chosen masks; for a single integer the mask alone as a result file holds it:
            ``dict(size=[h, w], counts=str)``, as mmdet's ``CocoMetric`` reads masks.
        """
        if isinstance(index, Tensor):
            index = index.detach().cpu().numpy()
        chosen = np.arange(len(self))[index if isinstance(index, slice) else _indices(index)]
        if chosen.ndim == 0:
            return dict(size=[self.height, self.width], counts=self.codes[chosen].decode())
        return EncodedMasks(
            [self.codes[i] for i in chosen],
            self.height,
            self.width,
            None if self._areas is None else self._areas[chosen],
            None if self._boxes is None else self._boxes[chosen],
        )

    def __iter__(self) -> Iterator[np.ndarray]:
        """Whole images one by one: uint8 (H, W)."""
        for rle in self.rles():
            yield coco_mask.decode(rle)

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.codes)

    def __repr__(self) -> str:
        return f'EncodedMasks(num_masks={len(self)}, height={self.height}, width={self.width})'

    def flip(self, flip_direction: str = 'horizontal') -> 'EncodedMasks':
        """See `BitmapMasks.flip`; one bitmap at a time."""
        steps = dict(horizontal=(1, -1), vertical=(-1, 1), diagonal=(-1, -1))
        if flip_direction not in steps:
            raise ValueError(f'flip_direction={flip_direction!r} must be one of {list(steps)}')
        down, across = steps[flip_direction]
        codes = [_encode(mask[::down, ::across]) for mask in self]
        return EncodedMasks(codes, self.height, self.width, self._areas)

    def get_bboxes(self, dst_type: str | type[BaseBoxes] = 'hbox') -> BaseBoxes:
        """Tight boxes around the pixels, zeros for an object without any."""
        _, box_type = get_box_type(dst_type)
        if box_type is not HorizontalBoxes:
            return super().get_bboxes(dst_type)
        return HorizontalBoxes(torch.from_numpy(self.boxes.astype(np.float32)), clone=False)

    def to_ndarray(self) -> np.ndarray:
        """Whole images: uint8 (N, H, W)."""
        return self.masks

    def to_tensor(self, dtype: torch.dtype, device: str | torch.device) -> Tensor:
        """Whole images: (N, H, W)."""
        return torch.from_numpy(self.masks).to(device=device, dtype=dtype)

    def detach(self) -> 'EncodedMasks':
        """Itself; mmdet's ``LVISMetric`` asks for it."""
        return self

    def cpu(self) -> Tensor:
        """Whole images as stock heads predict them: bool (N, H, W)."""
        return self.to_tensor(torch.bool, 'cpu')

    def numpy(self) -> np.ndarray:
        """Whole images: bool (N, H, W)."""
        return self.masks.view(bool)

    @classmethod
    def cat(cls, masks: Sequence[BitmapMasks]) -> 'EncodedMasks':
        """Put the objects of images of the same size into one.

        Raises:
            ValueError: There is nothing to put together, or the sizes differ.
        """
        frame = common_frame(masks)
        parts = [m if isinstance(m, EncodedMasks) else cls.from_bitmaps(m.masks) for m in masks]
        codes = [code for part in parts for code in part.codes]
        known = all(part._areas is not None and part._boxes is not None for part in parts)
        measures = ('areas', 'boxes') if known else ()
        return cls(
            codes,
            *frame,
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in measures},
        )

    @classmethod
    def random(cls, *args, **kwargs) -> 'EncodedMasks':
        """See `BitmapMasks.random`."""
        return cls.from_bitmaps(BitmapMasks.random(*args, **kwargs).masks)


def _encode(bitmap: np.ndarray) -> bytes:
    """Code of a mask (H, W)."""
    return coco_mask.encode(np.asfortranarray(bitmap != 0, np.uint8))['counts']


def _indices(index: int | Sequence | np.ndarray) -> np.ndarray:
    """An array of booleans or integers; an empty list has no type of its own."""
    index = np.asarray(index)
    return index.astype(np.int64) if index.size == 0 and index.dtype != bool else index
