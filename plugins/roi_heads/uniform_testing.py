"""What all RoI heads of this repository do in a test beyond mmdet's."""

from plugins.roi_heads.exact_nms import SuppressesExactly
from plugins.roi_heads.mask_maps import PredictsMaskMaps


class UniformTesting(SuppressesExactly, PredictsMaskMaps):
    """Put before a RoI head of mmdet among the bases; each base of this class says what it adds."""
