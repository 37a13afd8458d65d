"""The box head ``Shared2FCBBoxHead`` with a second classifier."""

from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
from mmdet.registry import MODELS
from plugins.roi_heads.bbox_heads.two_classifiers import TwoClassifiers


@MODELS.register_module()
class TwoClassifierShared2FCBBoxHead(TwoClassifiers, Shared2FCBBoxHead):
    """``Shared2FCBBoxHead`` with a second classifier, see ``TwoClassifiers``."""
