"""RoI heads under one address: ``model.roi_head.bbox_head`` is one dict in every model."""

from plugins.roi_heads.bbox_heads import (
    TwoClassifierShared2FCBBoxHead,
    TwoClassifierShared4Conv1FCBBoxHead,
)
from plugins.roi_heads.context_head import FederatedContextHead
from plugins.roi_heads.mask_heads import RefineMaskHead, SimpleRefineMaskHead
from plugins.roi_heads.mask_iou_head import LabelMaskIoUHead
from plugins.roi_heads.uniform_cascade_roi_head import UniformCascadeRoIHead
from plugins.roi_heads.uniform_htc_lite_roi_head import UniformHTCLiteRoIHead
from plugins.roi_heads.uniform_htc_roi_head import UniformHTCRoIHead
from plugins.roi_heads.uniform_roi_head import UniformRoIHead

__all__ = [
    'FederatedContextHead',
    'LabelMaskIoUHead',
    'RefineMaskHead',
    'SimpleRefineMaskHead',
    'TwoClassifierShared2FCBBoxHead',
    'TwoClassifierShared4Conv1FCBBoxHead',
    'UniformCascadeRoIHead',
    'UniformHTCLiteRoIHead',
    'UniformHTCRoIHead',
    'UniformRoIHead',
]
