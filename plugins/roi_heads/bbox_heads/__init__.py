"""Box heads: with a second classifier, with task-aware spatial disentanglement, with both."""

from plugins.roi_heads.bbox_heads.sees_pyramid import SeesPyramid
from plugins.roi_heads.bbox_heads.tsd_shared2fc_bbox_head import TSDShared2FCBBoxHead
from plugins.roi_heads.bbox_heads.two_classifier_shared2fc_bbox_head import (
    TwoClassifierShared2FCBBoxHead,
)
from plugins.roi_heads.bbox_heads.two_classifier_shared4conv1fc_bbox_head import (
    TwoClassifierShared4Conv1FCBBoxHead,
)
from plugins.roi_heads.bbox_heads.two_classifier_tsd_shared2fc_bbox_head import (
    TwoClassifierTSDShared2FCBBoxHead,
)

__all__ = [
    'SeesPyramid',
    'TSDShared2FCBBoxHead',
    'TwoClassifierShared2FCBBoxHead',
    'TwoClassifierShared4Conv1FCBBoxHead',
    'TwoClassifierTSDShared2FCBBoxHead',
]
