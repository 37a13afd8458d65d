"""RoI heads that know what the whole image is about."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet.registry import MODELS
from mmdet.structures import SampleList
from plugins.errors import UserError
from plugins.layers import add_image_vectors
from plugins.roi_heads.bbox_heads.sees_pyramid import SeesPyramid
from plugins.roi_heads.stages import stages_of, with_num_classes


class ContextPyramid(tuple):
    """A feature pyramid, (N, C, h, w) each, that carries the context vectors of its images.

    Attributes:
        context: Float (N, C).
    """

    context: Tensor

    def __new__(cls, levels: Iterable[Tensor], context: Tensor) -> 'ContextPyramid':
        """Make one of levels."""
        pyramid = super().__new__(cls, levels)
        pyramid.context = context
        return pyramid


class AddsImageContext:
    """Put before a RoI head of mmdet among the bases: ``context_head`` tells RoIs of their image.

    The vector of the image is added to the features of its RoIs, in box and mask branch and in
    every stage (MMDet team 2020, section 1.2). In a test it comes from the image, or the view of
    it, alone.

    Args:
        context_head: Config of a ``FederatedContextHead``, or None. ``num_classes`` is the box
            head's and need not be said.
        **kwargs: As in the RoI head.
    """

    def __init__(self, *args, context_head: dict | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.context_head = None
        if context_head is not None:
            num_classes = stages_of(self.bbox_head)[-1].num_classes
            self.context_head = MODELS.build(
                with_num_classes(context_head, num_classes, 'roi_head.context_head')
            )

    def loss(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: list[InstanceData],
        batch_data_samples: SampleList,
    ) -> dict[str, Tensor]:
        """Compute the losses of the RoI head, and ``loss_context``."""
        if self.context_head is None:
            return super().loss(x, rpn_results_list, batch_data_samples)
        logits, vectors = self.context_head(x)
        x = ContextPyramid(x, vectors)
        losses = super().loss(x, rpn_results_list, batch_data_samples)
        losses['loss_context'] = self.context_head.loss(logits, batch_data_samples)
        return losses

    def with_context(self, x: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return a feature pyramid with the context vectors, if this head uses any.

        They are computed unless they are there.
        """
        if self.context_head is None or isinstance(x, ContextPyramid):
            return x
        return ContextPyramid(x, self.context_head(x)[1])

    def forward(
        self, x: tuple[Tensor, ...], rpn_results_list: list[InstanceData], *args, **kwargs
    ) -> tuple:
        """Compute what stock does where operations are counted."""
        return super().forward(self.with_context(x), rpn_results_list, *args, **kwargs)

    def predict(
        self, x: tuple[Tensor, ...], rpn_results_list: list[InstanceData], *args, **kwargs
    ) -> list[InstanceData]:
        """Predict as the RoI head does; the images are encoded once for boxes and masks."""
        return super().predict(self.with_context(x), rpn_results_list, *args, **kwargs)

    def predict_bbox(self, x: tuple[Tensor, ...], *args, **kwargs) -> list[InstanceData]:
        """Detect boxes as the RoI head does."""
        return super().predict_bbox(self.with_context(x), *args, **kwargs)

    def mask_maps(self, x: tuple[Tensor, ...], *args, **kwargs) -> list:
        """Predict masks in boxes as the RoI head does."""
        return super().mask_maps(self.with_context(x), *args, **kwargs)

    def _rate_boxes(
        self, head: nn.Module, feats: Tensor, x: tuple[Tensor, ...], rois: Tensor
    ) -> dict[str, Tensor]:
        """Let a box head see RoIs and their images.

        Args:
            head: The box head, ``SeesPyramid`` or any other.
            feats: RoI features without context, float (R, C, S, S).
            x: Feature pyramid.
            rois: Float (R, 5), image index and box in network pixels.

        Returns:
            ``cls_score`` and ``bbox_pred`` of the head, and the ``bbox_feats`` that it saw.
        """
        feats = self._add_context(feats, x, rois)
        with pyramid_shown(head, self.with_context(x), rois):
            scores, deltas = head(feats)
        return dict(cls_score=scores, bbox_pred=deltas, bbox_feats=feats)

    def _add_context(self, feats: Tensor, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """Add to RoI features, float (R, C, S, S), the vectors of the images of the RoIs."""
        if self.context_head is None:
            return feats
        vectors = self.with_context(x).context
        if vectors.shape[1] != feats.shape[1]:
            raise UserError(
                f'roi_head.context_head.conv_out_channels is {vectors.shape[1]}, but RoI features '
                f'have {feats.shape[1]} channels; these must be the same'
            )
        return add_image_vectors(feats, vectors, rois)


@contextmanager
def pyramid_shown(head: nn.Module, x: tuple[Tensor, ...], rois: Tensor) -> Iterator[None]:
    """Show a box head the images of its RoIs while the context lasts, if it looks at them."""
    if not isinstance(head, SeesPyramid):
        yield
        return
    context = x.context if isinstance(x, ContextPyramid) else None
    with head.seeing_pyramid(tuple(x), rois, context):
        yield
