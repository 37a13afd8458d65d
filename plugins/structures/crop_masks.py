"""Instance masks that never become whole images."""

from collections.abc import Iterator, Sequence

import mmcv
import numpy as np
import torch
from torch import Tensor

from mmdet.structures.bbox import BaseBoxes, HorizontalBoxes, get_box_type
from mmdet.structures.mask import BitmapMasks
from plugins.structures import index_maps
from plugins.structures.common_frame import common_frame
from plugins.structures.crop_roi_align import align_crops
from plugins.structures.dense_roi_align import align_bitmaps
from plugins.structures.mask_transfer import pack_windows, unpack_windows
from plugins.structures.segmentation_crops import crops_of_segmentations
from plugins.structures.windows import cut_windows, window_boxes

Window = tuple[int, int, np.ndarray]


class CropMasks(BitmapMasks):
    """Masks of N objects as tight crops, seen through a frame of H x W pixels.

    A crop keeps the pixels in which the object was drawn, its *source*. The frame says which source
    row and column each of its own shows; resizing, flipping, cropping and padding edit only that,
    so they cost the same for one object as for hundreds. Pixels are computed once, when somebody
    asks for them.

    It has the interface of `BitmapMasks` and gives the same pixels. What cannot be said by rows and
    columns (rotation, shear, interpolation other than nearest) is left to `BitmapMasks` and comes
    back as crops.

    Crops and maps are shared between copies and never changed in place. The two steps of mmdet that
    take bitmaps apart, `RandomErasing` (writes into them) and `Albu` (makes others of the type),
    raise an error: they need mmdet's `LoadAnnotations`.

    Args:
        crops: uint8 (h, w) each, 0 or 1.
        origins: int32 (N, 2), x, y of each crop in the source.
        rows: int32 (H,), source row of every output row, -1 for padding.
        columns: int32 (W,), source column of every output column, -1 for padding.
    """

    def __init__(
        self, crops: list[np.ndarray], origins: np.ndarray, rows: np.ndarray, columns: np.ndarray
    ) -> None:
        self.crops = crops
        self.origins = np.ascontiguousarray(origins, np.int32).reshape(-1, 2)
        self.rows = np.ascontiguousarray(rows, np.int32)
        self.columns = np.ascontiguousarray(columns, np.int32)
        self._windows: list[Window] | None = None

    @classmethod
    def from_segmentations(
        cls, segmentations: list[list | dict], height: int, width: int
    ) -> 'CropMasks':
        """Rasterise polygons or run-length codes, see `crops_of_segmentations`."""
        crops, origins = crops_of_segmentations(segmentations, height, width)
        places = zip(origins.tolist(), crops, strict=True)
        return cls.from_windows([(x, y, crop) for (x, y), crop in places], height, width)

    @classmethod
    def from_bitmaps(cls, bitmaps: np.ndarray) -> 'CropMasks':
        """Cut out the objects of whole images.

        Args:
            bitmaps: (N, H, W), booleans or integers from 0 to 255.

        Raises:
            ValueError: They are of another type, which crops cannot hold.
        """
        if bitmaps.dtype.kind not in 'bui':
            raise ValueError(f'bitmaps must be booleans or integers, not {bitmaps.dtype}')
        bitmaps = np.ascontiguousarray(bitmaps, np.uint8)
        boxes = window_boxes([(0, 0, bitmap) for bitmap in bitmaps]).astype(int).tolist()
        crops = [
            bitmap[y1:y2, x1:x2].copy()
            for bitmap, (x1, y1, x2, y2) in zip(bitmaps, boxes, strict=True)
        ]
        windows = [(x, y, crop) for crop, (x, y, _, _) in zip(crops, boxes, strict=True)]
        return cls.from_windows(windows, *bitmaps.shape[1:])

    @classmethod
    def from_windows(cls, windows: list[Window], height: int, width: int) -> 'CropMasks':
        """Take crops (x, y, uint8 (h, w)) of a frame; parts outside the frame are not shown."""
        origins = np.array([window[:2] for window in windows], np.int32).reshape(-1, 2)
        crops = [crop for _, _, crop in windows]
        frame = (index_maps.identity(height), index_maps.identity(width))
        masks = cls(crops, origins, *frame)
        if _lie_inside(windows, height, width):
            masks._windows = list(windows)
        return masks

    @property
    def height(self) -> int:
        """Rows of the frame."""
        return len(self.rows)

    @property
    def width(self) -> int:
        """Columns of the frame."""
        return len(self.columns)

    @property
    def masks(self) -> np.ndarray:
        """All masks as whole images: uint8 (N, H, W), computed at every use.

        They cannot be written to, for that would change nothing here: assign them instead.
        """
        dense = self.to_ndarray()
        dense.flags.writeable = False
        return dense

    @masks.setter
    def masks(self, bitmaps: np.ndarray) -> None:
        vars(self).update(vars(CropMasks.from_bitmaps(bitmaps)))

    def windows(self) -> list[Window]:
        """What the frame shows of each object, computed once.

        Returns:
            Per object x, y in the frame and the crop, uint8 (h, w), not to be changed; possibly
            with empty margins. An object outside the frame gives (0, 0, zeros (0, 0)).
        """
        if self._windows is None:
            self._windows = cut_windows(self.crops, self.origins, self.rows, self.columns)
        return self._windows

    def place(self, out_shape: tuple[int, int], top: int, left: int) -> 'CropMasks':
        """Put the frame into a canvas.

        Args:
            out_shape: height, width of the canvas.
            top: row of the canvas at which the frame begins; what lies outside is cut off.
            left: column likewise.
        """
        return self._seen_through(
            index_maps.placed(self.rows, out_shape[0], top),
            index_maps.placed(self.columns, out_shape[1], left),
        )

    def __getitem__(self, index: int | slice | Sequence | np.ndarray) -> 'CropMasks':
        """Choose objects, in the ways a numpy array is indexed along its first axis."""
        chosen = np.arange(len(self))[index].reshape(-1)
        result = CropMasks(
            [self.crops[i] for i in chosen], self.origins[chosen], self.rows, self.columns
        )
        if self._windows is not None:
            result._windows = [self._windows[i] for i in chosen]
        return result

    def __iter__(self) -> Iterator[np.ndarray]:
        """Whole images one by one: uint8 (H, W)."""
        for window in self.windows():
            mask = np.zeros((self.height, self.width), np.uint8)
            _draw(mask, window)
            yield mask

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.crops)

    def __repr__(self) -> str:
        return f'CropMasks(num_masks={len(self)}, height={self.height}, width={self.width})'

    def __copy__(self) -> 'CropMasks':
        copied = CropMasks(list(self.crops), self.origins, self.rows, self.columns)
        copied._windows = None if self._windows is None else list(self._windows)
        return copied

    def __deepcopy__(self, memo: dict) -> 'CropMasks':
        """Share what is never changed."""
        return self.__copy__()

    def __reduce__(self) -> tuple:
        """What the frame shows travels, in one piece; see `mask_transfer`."""
        return _unpickle, (*pack_windows(self.windows()), self.height, self.width)

    def rescale(
        self, scale: float | tuple[int, int], interpolation: str = 'nearest'
    ) -> 'CropMasks':
        """See `BitmapMasks.rescale`."""
        width, height = mmcv.rescale_size((self.width, self.height), scale)
        return self.resize((height, width), interpolation)

    def resize(self, out_shape: tuple[int, int], interpolation: str = 'nearest') -> 'CropMasks':
        """See `BitmapMasks.resize`."""
        if len(self) == 0:
            return CropMasks.from_windows([], *out_shape)
        if interpolation != 'nearest':
            return self._as_bitmaps('resize', out_shape, interpolation)
        return self._seen_through(
            index_maps.resized(self.rows, out_shape[0]),
            index_maps.resized(self.columns, out_shape[1]),
        )

    def flip(self, flip_direction: str = 'horizontal') -> 'CropMasks':
        """See `BitmapMasks.flip`."""
        if flip_direction not in ('horizontal', 'vertical', 'diagonal'):
            raise ValueError(
                f'flip_direction={flip_direction!r} must be horizontal, vertical or diagonal'
            )
        rows = self.rows if flip_direction == 'horizontal' else self.rows[::-1]
        columns = self.columns if flip_direction == 'vertical' else self.columns[::-1]
        return self._seen_through(rows, columns)

    def pad(self, out_shape: tuple[int, int], pad_val: int = 0) -> 'CropMasks':
        """See `BitmapMasks.pad`."""
        if pad_val != 0 and len(self):
            return self._as_bitmaps('pad', out_shape, pad_val)
        return self._placed_whole(out_shape, 0, 0)

    def crop(self, bbox: np.ndarray) -> 'CropMasks':
        """See `BitmapMasks.crop`; a box outside the frame shows one pixel of padding."""
        x1, x2 = np.clip(bbox[0::2], 0, self.width)
        y1, y2 = np.clip(bbox[1::2], 0, self.height)
        return self.place((max(y2 - y1, 1), max(x2 - x1, 1)), -y1, -x1)

    def expand(self, expanded_h: int, expanded_w: int, top: int, left: int) -> 'CropMasks':
        """See `BitmapMasks.expand`."""
        return self._placed_whole((expanded_h, expanded_w), top, left)

    def translate(
        self,
        out_shape: tuple[int, int],
        offset: float,
        direction: str = 'horizontal',
        border_value: int = 0,
        interpolation: str = 'bilinear',
    ) -> 'CropMasks':
        """See `BitmapMasks.translate`."""
        if border_value != 0 or offset != int(offset):
            arguments = (offset, direction, border_value, interpolation)
            return self._as_bitmaps('translate', out_shape, *arguments)
        top, left = dict(horizontal=(0, int(offset)), vertical=(int(offset), 0))[direction]
        return self.place(out_shape, 0, 0).place(out_shape, top, left)

    def shear(self, out_shape: tuple[int, int], *args, **kwargs) -> 'CropMasks':
        """See `BitmapMasks.shear`."""
        return self._as_bitmaps('shear', out_shape, *args, **kwargs)

    def rotate(self, out_shape: tuple[int, int], *args, **kwargs) -> 'CropMasks':
        """See `BitmapMasks.rotate`."""
        return self._as_bitmaps('rotate', out_shape, *args, **kwargs)

    def crop_and_resize(
        self,
        bboxes: np.ndarray | Tensor,
        out_shape: tuple[int, int],
        inds: np.ndarray | Tensor,
        device: str | torch.device = 'cpu',
        interpolation: str = 'bilinear',
        binarize: bool = True,
    ) -> BitmapMasks:
        """See `BitmapMasks.crop_and_resize`: the mask targets of boxes, the same numbers.

        Args:
            bboxes: float (R, 4), x1, y1, x2, y2 in pixels of the frame.
            out_shape: height, width of a target.
            inds: integers (R,), the object of each box.
            device: where stock would compute; the CPU reads crops, others hold whole images of a
                few objects at a time.
            interpolation: not used, as in stock.
            binarize: Whether the targets are booleans or shares of each bin.

        Raises:
            IndexError: There is no such object.
        """
        if len(self) == 0 or len(bboxes) == 0:
            return BitmapMasks([], *out_shape)
        objects = torch.as_tensor(inds).cpu().long()
        if not 0 <= objects.min() <= objects.max() < len(self):
            raise IndexError(f'inds must be from 0 to {len(self) - 1}, got {objects.tolist()}')
        boxes = torch.as_tensor(bboxes, device=device).detach()
        frame = (self.height, self.width)
        if boxes.device.type == 'cpu' and boxes.dtype == torch.float32:
            arrays = (boxes.contiguous().numpy(), objects.numpy())
            targets = align_crops(self.windows(), frame, *arrays, out_shape, binarize)
        else:
            targets = align_bitmaps(self.windows(), frame, boxes, objects, out_shape)
            targets = (targets >= 0.5 if binarize else targets).cpu().numpy()
        return BitmapMasks(targets, *out_shape)

    def get_bboxes(self, dst_type: str | type[BaseBoxes] = 'hbox') -> BaseBoxes:
        """Tight boxes around the pixels, zeros for an object without any."""
        _, box_type = get_box_type(dst_type)
        if box_type is not HorizontalBoxes:
            return super().get_bboxes(dst_type)
        return HorizontalBoxes(torch.from_numpy(window_boxes(self.windows())), clone=False)

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each object, uint64 (N,)."""
        sums = (crop.sum(dtype=np.uint64) for _, _, crop in self.windows())
        return np.fromiter(sums, np.uint64, len(self))

    def to_ndarray(self) -> np.ndarray:
        """Whole images: uint8 (N, H, W), the caller's own."""
        dense = np.zeros((len(self), self.height, self.width), np.uint8)
        for mask, window in zip(dense, self.windows(), strict=True):
            _draw(mask, window)
        return dense

    def to_tensor(self, dtype: torch.dtype, device: str | torch.device) -> Tensor:
        """Whole images: (N, H, W)."""
        return torch.from_numpy(self.to_ndarray()).to(device=device, dtype=dtype)

    @classmethod
    def random(cls, *args, **kwargs) -> 'CropMasks':
        """See `BitmapMasks.random`."""
        return cls.from_bitmaps(BitmapMasks.random(*args, **kwargs).masks)

    @classmethod
    def cat(cls, masks: Sequence[BitmapMasks]) -> 'CropMasks':
        """Put the objects of frames of the same size into one.

        Raises:
            ValueError: There is nothing to put together, or the sizes differ.
        """
        frame = common_frame(masks)
        parts = [m if isinstance(m, CropMasks) else cls.from_bitmaps(m.masks) for m in masks]
        return cls.from_windows([w for part in parts for w in part.windows()], *frame)

    def _seen_through(self, rows: np.ndarray, columns: np.ndarray) -> 'CropMasks':
        return CropMasks(self.crops, self.origins, rows, columns)

    def _placed_whole(self, out_shape: tuple[int, int], top: int, left: int) -> 'CropMasks':
        bottom, right = top + self.height, left + self.width
        if min(top, left) < 0 or bottom > out_shape[0] or right > out_shape[1]:
            raise ValueError(
                f'{self!r} at row {top}, column {left} does not fit into a canvas of '
                f'{tuple(out_shape)} (height, width)'
            )
        placed = self.place(out_shape, top, left)
        if self._windows is not None:
            placed._windows = [
                (x + left, y + top, crop) if crop.size else (x, y, crop)
                for x, y, crop in self._windows
            ]
        return placed

    def _as_bitmaps(self, operation: str, *args, **kwargs) -> 'CropMasks':
        bitmaps = BitmapMasks(self.masks, self.height, self.width)
        return CropMasks.from_bitmaps(getattr(bitmaps, operation)(*args, **kwargs).masks)


def windows_of(masks: BitmapMasks) -> Sequence[Window]:
    """Return left, top and pixels of every mask: of a crop its window, else the whole image."""
    if isinstance(masks, CropMasks):
        return masks.windows()
    return [(0, 0, mask) for mask in masks.masks]


def _unpickle(packed: bytes | Tensor, places: bytes, height: int, width: int) -> CropMasks:
    return CropMasks.from_windows(unpack_windows(packed, places), height, width)


def _lie_inside(windows: list[Window], height: int, width: int) -> bool:
    return all(
        x >= 0 and y >= 0 and y + crop.shape[0] <= height and x + crop.shape[1] <= width
        for x, y, crop in windows
    )


def _draw(mask: np.ndarray, window: Window) -> None:
    x, y, crop = window
    height, width = crop.shape
    mask[y : y + height, x : x + width] = crop
