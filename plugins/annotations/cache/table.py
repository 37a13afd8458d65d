"""All annotations of a file as columns that grow block by block."""

import msgspec
import numpy as np

from plugins.annotations.boxes import BOX_TOLERANCE
from plugins.annotations.cache.blocks import Block, IrregularFileError
from plugins.annotations.cache.coordinates import to_pixels
from plugins.annotations.cache.polygons import (
    Segmentations,
    flatten_segmentations,
    read_segmentations,
)
from plugins.annotations.columns import Columns


class IdLookup:
    """Finds the first position of ids, as `plugins.annotations.columns.positions`, many times.

    Args:
        ids: int64 (M,), in any order, duplicates allowed.
    """

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids
        self._order = np.argsort(ids, kind='stable')
        self._ordered = ids[self._order]

    def find(self, wanted: np.ndarray) -> np.ndarray:
        """Positions of int64 (N,) ids, int64 (N,), -1 for an unknown one."""
        place = np.minimum(np.searchsorted(self._ordered, wanted), len(self.ids) - 1)
        return np.where(self._ordered[place] == wanted, self._order[place], -1)


class GrowingArray:
    """An array to which others are appended without ever being copied as a whole.

    Args:
        dtype: Of the array.
        width: Length of a row; None for one dimension.
    """

    def __init__(self, dtype: np.dtype | type, width: int | None = None) -> None:
        self.dtype = np.dtype(dtype)
        self._width = width
        self._content = bytearray()

    def append(self, array: np.ndarray) -> None:
        """Append an array, whose values the type must be able to hold."""
        self._content += array.astype(self.dtype, copy=False).tobytes()

    def array(self) -> np.ndarray:
        """All that was appended; nothing can be appended while the result is in use."""
        flat = np.frombuffer(self._content, self.dtype)
        return flat if self._width is None else flat.reshape(-1, self._width)


class AnnotationTable:
    """Columns of the annotations of a file in its order, and the records that may have faults.

    Args:
        image_ids: int64 (I,), in the file's order.
        widths: int64 (I,), pixels.
        heights: int64 (I,), pixels.
        category_ids: int64 (K,), in the file's order.

    Attributes:
        images: Finds image ids.
        categories: Finds category ids.
        texts: JSON of segmentations that are no polygons, by row.
        suspects: Records of all annotations that may have a fault.
    """

    def __init__(
        self,
        image_ids: np.ndarray,
        widths: np.ndarray,
        heights: np.ndarray,
        category_ids: np.ndarray,
    ) -> None:
        self.images, self.categories = IdLookup(image_ids), IdLookup(category_ids)
        self.widths, self.heights = widths, heights
        self.texts: dict[int, bytes] = {}
        self.suspects: list[dict] = []
        self._suspect_rows: list[int] = []
        self._num_rows = 0
        self._columns = dict(
            id=GrowingArray(np.int64),
            image=GrowingArray(np.int64),
            category=GrowingArray(np.int64),
            category_id=GrowingArray(np.int64),
            box=GrowingArray(np.float64, 4),
            area=GrowingArray(np.float64),
            is_crowd=GrowingArray(bool),
            is_ignored=GrowingArray(bool),
            ring_count=GrowingArray(np.int32),
            ring_length=GrowingArray(np.int32),
            coordinates=GrowingArray(np.int32),
        )

    def append(self, block: Block) -> None:
        """Append a block.

        Raises:
            IrregularFileError: A segmentation is text that the fast reader does not take.
        """
        image = self.images.find(block.image_ids)
        category = self.categories.find(block.category_ids)
        segmentations = self._segmentations(block, image)
        is_suspect = (
            segmentations.is_suspect | (category < 0) | self._has_odd_box(block, image)
        )  # fmt: skip
        for k in np.flatnonzero(is_suspect).tolist():
            self.suspects.append(block.record(k))
            self._suspect_rows.append(self._num_rows + k)
        for k, text in segmentations.texts.items():
            self.texts[self._num_rows + k] = text
        self._append_columns(
            id=block.ids,
            image=image,
            category=category,
            category_id=block.category_ids,
            box=block.boxes_xywh,
            area=block.areas,
            is_crowd=block.is_crowd,
            is_ignored=block.is_ignored,
            ring_count=segmentations.ring_count,
            ring_length=segmentations.ring_length,
            coordinates=segmentations.coordinates,
        )
        self._num_rows += len(block)

    def __getitem__(self, name: str) -> np.ndarray:
        """A column: id, image, category (positions or -1), category_id, box, area, is_crowd,
        is_ignored, ring_count, ring_length or coordinates."""
        return self._columns[name].array()

    def columns(self) -> Columns:
        """The columns that the checks of a whole file look at."""
        return self._checked_columns(slice(None))

    def suspect_columns(self) -> Columns:
        """The same of the suspects alone."""
        return self._checked_columns(np.array(self._suspect_rows, np.int64))

    def _checked_columns(self, rows: slice | np.ndarray) -> Columns:
        return Columns(
            image_ids=self.images.ids,
            category_ids=self.categories.ids,
            widths=self.widths,
            heights=self.heights,
            annotation_ids=self['id'][rows],
            image=self['image'][rows],
            category=self['category'][rows],
            boxes_xywh=self['box'][rows],
            is_crowd=self['is_crowd'][rows],
        )

    def _segmentations(self, block: Block, image: np.ndarray) -> Segmentations:
        def size_of(k: int) -> tuple[int, int] | None:
            place = image[k]
            return (int(self.heights[place]), int(self.widths[place])) if place >= 0 else None

        if not block.is_text:
            return flatten_segmentations(block.segmentations, size_of)
        try:
            return read_segmentations(block.segmentations, msgspec.json.decode, size_of)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise IrregularFileError from error

    def _has_odd_box(self, block: Block, image: np.ndarray) -> np.ndarray:
        """Whether a check of boxes, areas or image ids might object; it may well be too strict."""
        x, y, width, height = block.boxes_xywh.T
        right, bottom = x + width, y + height
        limit_x, limit_y = self.widths[image], self.heights[image]
        is_plain = (
            (image >= 0) & (block.areas > 0) & (width > 0) & (height > 0)
            & (x >= -BOX_TOLERANCE) & (y >= -BOX_TOLERANCE) & (x < limit_x) & (y < limit_y)
            & (right > 0) & (right <= limit_x + BOX_TOLERANCE)
            & (bottom > 0) & (bottom <= limit_y + BOX_TOLERANCE)
        )  # fmt: skip
        return ~is_plain

    def _append_columns(self, **arrays: np.ndarray) -> None:
        column = self._columns['coordinates']
        if arrays['coordinates'].dtype != column.dtype:
            if column.dtype == np.int32:
                pixels = GrowingArray(np.float64)
                pixels.append(to_pixels(column.array()))
                self._columns['coordinates'] = pixels
            arrays['coordinates'] = to_pixels(arrays['coordinates'])
        for name, array in arrays.items():
            self._columns[name].append(array)
