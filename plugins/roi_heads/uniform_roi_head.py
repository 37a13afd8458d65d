"""The RoI head of Mask R-CNN under the addresses of a cascade."""

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.registry import MODELS
from plugins.roi_heads.stages import expand_stages, place_last
from plugins.roi_heads.uniform_training import UniformTraining


@MODELS.register_module()
class UniformRoIHead(UniformTraining, StandardRoIHead):
    """``StandardRoIHead`` that a config addresses like a cascade of one stage.

    A fragment written for a cascade (a loss, a classifier, a ``last_mask_head``) means the same
    here, so the same lines work on Mask R-CNN and on HTC.

    Args:
        bbox_head: Config of the box head; ``stage_...`` keys are lists of length one.
        mask_head: Config of the mask head, or None.
        last_mask_head: Replaces ``mask_head``: the only stage is also the last.
        train_cfg: One dict, or a list of one.
        **kwargs: As in ``StandardRoIHead``.
    """

    def __init__(
        self,
        *,
        bbox_head: dict | list,
        mask_head: dict | list | None = None,
        last_mask_head: dict | None = None,
        train_cfg: dict | list | None = None,
        **kwargs,
    ) -> None:
        mask_heads = place_last(expand_stages(mask_head, 1, 'roi_head.mask_head'), last_mask_head)
        super().__init__(
            bbox_head=expand_stages(bbox_head, 1, 'roi_head.bbox_head')[0],
            mask_head=mask_heads[0],
            train_cfg=expand_stages(train_cfg, 1, 'train_cfg.rcnn')[0],
            **kwargs,
        )
