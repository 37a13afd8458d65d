"""Mask heads that look at the images themselves, not at RoI features alone."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor

from plugins.errors import UserError


class SeenRoIs(NamedTuple):
    """Where a mask head has to look, and for what.

    Args:
        rois: Float (R, 5), image index and x1, y1, x2, y2 in network pixels.
        labels: Int64 (R,), the class whose mask is wanted.
    """

    rois: Tensor
    labels: Tensor


class _Batch:
    """A feature pyramid and, once somebody has looked, what was seen in it."""

    def __init__(self, x: tuple[Tensor, ...]) -> None:
        self.x = x
        self.seen = None


class SeesImages(ABC):
    """Put before ``BaseModule`` among the bases of a mask head that needs more than RoI features.

    A RoI head shows it the images of a batch, and then the RoIs, a chunk after the other. What the
    head sees in the images is computed when it is first needed, once for all chunks, and is let go
    when the context ends.
    """

    _batch: _Batch | None = None
    _rois: SeenRoIs | None = None

    @abstractmethod
    def look(self, x: tuple[Tensor, ...]) -> object:
        """Compute what the head wants to know of a batch of images, from its feature pyramid."""

    @contextmanager
    def seeing_images(self, x: tuple[Tensor, ...]) -> Iterator[None]:
        """Show the head a batch while the context lasts.

        Args:
            x: Feature pyramid, float (N, C, h, w) each.
        """
        before, self._batch = self._batch, _Batch(x)
        try:
            yield
        finally:
            self._batch = before

    @contextmanager
    def seeing_rois(self, rois: Tensor, labels: Tensor) -> Iterator[None]:
        """Tell the head which RoIs its next features belong to while the context lasts.

        Args:
            rois: Float (R, 5), image index and x1, y1, x2, y2 in network pixels.
            labels: Int64 (R,), the class whose mask is wanted.
        """
        before, self._rois = self._rois, SeenRoIs(rois, labels)
        try:
            yield
        finally:
            self._rois = before

    @property
    def seen(self) -> object:
        """What ``look`` returned for the images that are shown.

        Raises:
            UserError: None are.
        """
        if self._batch is None:
            raise self._blind()
        if self._batch.seen is None:
            self._batch.seen = self.look(self._batch.x)
        return self._batch.seen

    @property
    def seen_rois(self) -> SeenRoIs:
        """The RoIs that are shown.

        Raises:
            UserError: None are.
        """
        if self._rois is None:
            raise self._blind()
        return self._rois

    def _blind(self) -> UserError:
        return UserError(
            f'{type(self).__name__} was not shown the images; it needs a RoI head that does so: '
            'set roi_head.type to UniformHTCRoIHead, UniformCascadeRoIHead or UniformRoIHead'
        )
