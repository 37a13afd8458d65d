"""A cascade whose stages come from one box-head dict."""

from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.registry import MODELS
from plugins.roi_heads.stages import expand_stages, place_last
from plugins.roi_heads.uniform_training import UniformTraining


@MODELS.register_module()
class UniformCascadeRoIHead(UniformTraining, CascadeRoIHead):
    """``CascadeRoIHead`` (Cai & Vasconcelos 2018) with one address per part.

    Stock repeats the whole box head three times in every config that changes its loss. Here
    ``bbox_head``, ``mask_head`` and ``train_cfg`` are one dict each, in which a key ``stage_x``
    lists what differs between stages; lists of dicts are still accepted.

    Args:
        num_stages: Number of stages.
        bbox_head: Config of the box heads.
        mask_head: Config of the mask heads, or None.
        last_mask_head: Replaces the mask head of the last stage.
        train_cfg: Assigner, sampler and so on of the stages.
        **kwargs: As in ``CascadeRoIHead``.
    """

    def __init__(
        self,
        *,
        num_stages: int,
        bbox_head: dict | list,
        mask_head: dict | list | None = None,
        last_mask_head: dict | None = None,
        train_cfg: dict | list | None = None,
        **kwargs,
    ) -> None:
        mask_heads = expand_stages(mask_head, num_stages, 'roi_head.mask_head')
        mask_heads = place_last(mask_heads, last_mask_head)
        if train_cfg is not None:
            train_cfg = expand_stages(train_cfg, num_stages, 'train_cfg.rcnn')
        super().__init__(
            num_stages=num_stages,
            bbox_head=expand_stages(bbox_head, num_stages, 'roi_head.bbox_head'),
            mask_head=None if mask_heads[-1] is None else mask_heads,
            train_cfg=train_cfg,
            **kwargs,
        )

    def predict_mask(
        self,
        x: tuple[Tensor, ...],
        batch_img_metas: list[dict],
        results_list: list[InstanceData],
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Predict masks as stock does, also on flipped views.

        Stock merges the stages with a function made for merging views: for a flipped image it
        un-flips every stage's mask, which raises (a negative step on a tensor) and would be wrong,
        because the stages share one view.
        """
        one_view = [{**meta, 'flip': False} for meta in batch_img_metas]
        return super().predict_mask(x, one_view, results_list, rescale)
