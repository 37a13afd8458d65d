"""Box heads that look at the feature pyramid, not at RoI features alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor

from plugins.errors import UserError
from plugins.layers import add_image_vectors


class SeenPyramid(NamedTuple):
    """What a box head pools features of its own from.

    Args:
        x: Feature pyramid, float (N, C, h, w) each.
        rois: Float (R, 5), image index and x1, y1, x2, y2 in network pixels.
        context: Float (N, C), what to add to the features of each image's RoIs, or None.
    """

    x: tuple[Tensor, ...]
    rois: Tensor
    context: Tensor | None

    def add_context(self, feats: Tensor, rois: Tensor) -> Tensor:
        """Add the context, if there is any, to RoI features, float (R, C, h, w)."""
        if self.context is None:
            return feats
        return add_image_vectors(feats, self.context, rois)


class SeesPyramid:
    """Put before ``BBoxHead`` among the bases of a box head that pools features of its own."""

    _pyramid: SeenPyramid | None = None

    @contextmanager
    def seeing_pyramid(
        self, x: tuple[Tensor, ...], rois: Tensor, context: Tensor | None = None
    ) -> Iterator[None]:
        """Show the head the pyramid and the RoIs of its next features while the context lasts.

        Args:
            x: Feature pyramid, float (N, C, h, w) each.
            rois: Float (R, 5), image index and x1, y1, x2, y2 in network pixels.
            context: Float (N, C), a vector per image that is part of the RoI features given to the
                head, and is to be added to those that it pools; or None.
        """
        before, self._pyramid = self._pyramid, SeenPyramid(x, rois, context)
        try:
            yield
        finally:
            self._pyramid = before

    @property
    def pyramid(self) -> SeenPyramid:
        """What is shown.

        Raises:
            UserError: Nothing is.
        """
        if self._pyramid is None:
            raise UserError(
                f'{type(self).__name__} was not shown the feature pyramid; it needs a RoI head '
                'that does so: set roi_head.type to UniformCascadeRoIHead, UniformHTCRoIHead, '
                'UniformHTCLiteRoIHead or UniformRoIHead'
            )
        return self._pyramid
