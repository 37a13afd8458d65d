"""Box heads with a second classifier."""

from plugins.roi_heads.bbox_heads.two_classifier_shared2fc_bbox_head import (
    TwoClassifierShared2FCBBoxHead,
)
from plugins.roi_heads.bbox_heads.two_classifier_shared4conv1fc_bbox_head import (
    TwoClassifierShared4Conv1FCBBoxHead,
)

__all__ = ['TwoClassifierShared2FCBBoxHead', 'TwoClassifierShared4Conv1FCBBoxHead']
