"""The box head ``Shared4Conv1FCBBoxHead`` with a second classifier."""

from mmdet.models.roi_heads.bbox_heads import Shared4Conv1FCBBoxHead
from mmdet.registry import MODELS
from plugins.roi_heads.bbox_heads.two_classifiers import TwoClassifiers


@MODELS.register_module()
class TwoClassifierShared4Conv1FCBBoxHead(TwoClassifiers, Shared4Conv1FCBBoxHead):
    """``Shared4Conv1FCBBoxHead`` with a second classifier, see ``TwoClassifiers``."""
