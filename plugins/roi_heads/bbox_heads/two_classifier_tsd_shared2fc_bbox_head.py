"""The box head ``TSDShared2FCBBoxHead`` with a second classifier."""

from mmdet.registry import MODELS
from plugins.roi_heads.bbox_heads.tsd_shared2fc_bbox_head import TSDShared2FCBBoxHead
from plugins.roi_heads.bbox_heads.two_classifiers import TwoClassifiers


@MODELS.register_module()
class TwoClassifierTSDShared2FCBBoxHead(TwoClassifiers, TSDShared2FCBBoxHead):
    """``TSDShared2FCBBoxHead`` with a second classifier, see ``TwoClassifiers``.

    It sits beside the classifier that is tested, on the feature that was pooled for the classes;
    the sibling rests.
    """

    original_classifier = 'TSD_fc_cls'
    original_fcs = 'TSD_pc_fcs'
