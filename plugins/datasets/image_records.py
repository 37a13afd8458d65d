"""mmdet's records of images, made one by one from the columns of an annotation cache."""

import copy
import os
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from plugins.annotations import ImageCategories
from plugins.annotations.cache import AnnotationStore
from plugins.errors import UserError


class ImageRecords(Sequence):
    """Records of some or all images of a file: a list that takes no memory.

    It is never changed: a part of it, as a slice gives, is another one. So copies may share it.

    Args:
        store: The annotations.
        folder: Image folder.
        labels: int (K,), label of every category of the file by increasing id, -1 for those whose
            annotations are left out; None where that is 0, 1, 2, ...
        images: int64 (N,), positions in the file; None for all images.
        proposals: Of every image of the file, for its record; None for none.
    """

    def __init__(
        self,
        store: AnnotationStore,
        folder: str,
        *,
        labels: np.ndarray | None = None,
        images: np.ndarray | None = None,
        proposals: list | None = None,
    ) -> None:
        self._store, self._folder = store, folder
        self._labels, self._images, self._proposals = labels, images, proposals

    def __len__(self) -> int:
        return self._store.num_images if self._images is None else len(self._images)

    def __getitem__(self, index: int | slice | np.ndarray) -> 'dict | ImageRecords':
        """Make the record of one image; or select several."""
        if isinstance(index, (slice, np.ndarray)):
            return self._with(images=self._positions[index])
        length = len(self)
        if not -length <= index < length:
            raise IndexError(f'image {index} of {length}')
        return self._record(int(self._positions[index]))

    def __deepcopy__(self, memo: dict) -> 'ImageRecords':
        return self

    def select(self, indices: int | Sequence[int]) -> 'ImageRecords':
        """Select images as mmengine's ``get_subset`` does.

        Args:
            indices: The first so many, the last so many if negative, or these positions.

        Raises:
            UserError: A position is out of range.
        """
        if isinstance(indices, int):
            return self[:indices] if indices >= 0 else self[indices:]
        positions = np.array(indices, np.int64)
        length = len(self)
        wrong = positions[(positions < -length) | (positions >= length)]
        if len(wrong):
            raise UserError(
                f'indices of the data set has {wrong[0]}, but it has only {length} images'
            )
        return self[positions]

    def with_proposals(self, proposals: list) -> 'ImageRecords':
        """The same records with proposals, one entry per image of the file."""
        return self._with(proposals=proposals)

    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Widths and heights in pixels, int (N,) each."""
        return self._store.widths[self._selection], self._store.heights[self._selection]

    def image_ids(self) -> np.ndarray:
        """Ids of the images, int (N,)."""
        return self._store.image_ids[self._selection]

    def paths(self) -> list[str]:
        """Paths of the image files."""
        if self._images is None:
            return [os.path.join(self._folder, name) for name in self._store.image_names()]
        return [self._path(image) for image in self._images.tolist()]

    def labels_of(self, index: int) -> list[int]:
        """Labels of the instances of one image, in the order of the file; crowds are none."""
        start, end = self._store.pointer[self._positions[index] :][:2].tolist()
        categories = self._store.categories[start:end][~self._store.is_crowd[start:end]]
        labels = categories if self._labels is None else self._labels[categories]
        return labels[labels >= 0].tolist()

    def categories(self, *, with_crowds: bool = False) -> ImageCategories:
        """Labels of the instances of all images, one entry per instance, in their order.

        Args:
            with_crowds: Crowd regions count as instances.
        """
        pointer, categories, is_crowd = self._annotations()
        labels = categories if self._labels is None else self._labels[categories]
        is_member = labels >= 0
        if not with_crowds:
            is_member &= ~is_crowd
        if not is_member.all():
            before = np.concatenate([[0], np.cumsum(is_member)])
            pointer, labels = before[pointer], labels[is_member]
        return ImageCategories(pointer.astype(np.int64), labels.astype(np.int64))

    @cached_property
    def _positions(self) -> np.ndarray:
        return np.arange(self._store.num_images) if self._images is None else self._images

    @property
    def _selection(self) -> slice | np.ndarray:
        return slice(None) if self._images is None else self._images

    def _annotations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where the annotations of each image begin, their categories and crowd flags."""
        store = self._store
        if self._images is None:
            return store.pointer, store.categories, store.is_crowd
        start = store.pointer[self._images].astype(np.int64)
        length = store.pointer[self._images + 1] - start
        pointer = np.concatenate([[0], np.cumsum(length)])
        rows = np.arange(pointer[-1]) + np.repeat(start - pointer[:-1], length)
        return pointer, store.categories[rows], store.is_crowd[rows]

    def _record(self, image: int) -> dict:
        store = self._store
        record = dict(
            img_id=int(store.image_ids[image]),
            img_path=self._path(image),
            height=int(store.heights[image]),
            width=int(store.widths[image]),
            instances=self._instances(image),
            neg_labels=self._known_labels(store.verified_absent(image)),
            not_exhaustive_labels=self._known_labels(store.not_exhaustive(image)),
        )
        if self._proposals is not None:
            record['proposals'] = copy.deepcopy(self._proposals[image])
        return record

    def _instances(self, image: int) -> list[dict]:
        found = self._store.instances(image)
        labels = found.categories
        if self._labels is not None:
            labels = self._labels[labels].tolist()
        return [
            dict(bbox=box, bbox_label=label, ignore_flag=crowd, mask=segmentation)
            for box, label, crowd, segmentation in zip(
                found.boxes_xyxy, labels, found.is_crowd, found.segmentations, strict=True
            )
            if label >= 0
        ]

    def _known_labels(self, categories: np.ndarray) -> list[int]:
        if self._labels is None:
            return categories.tolist()
        labels = self._labels[categories]
        return labels[labels >= 0].tolist()

    def _path(self, image: int) -> str:
        return os.path.join(self._folder, self._store.image_name(image))

    def _with(self, **changes: object) -> 'ImageRecords':
        kept = dict(labels=self._labels, images=self._images, proposals=self._proposals)
        return ImageRecords(self._store, self._folder, **{**kept, **changes})
