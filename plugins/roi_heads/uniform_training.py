"""What all RoI heads of this repository do in training beyond mmdet's."""

from plugins.roi_heads.class_draw import PassesClassDraw
from plugins.roi_heads.empty_batch import TrainsOnEmptyBatch
from plugins.roi_heads.idle_mask_branch import SkipsIdleMaskBranch
from plugins.roi_heads.prior_bias import StartsFromPrior


class UniformTraining(TrainsOnEmptyBatch, PassesClassDraw, SkipsIdleMaskBranch, StartsFromPrior):
    """Put before a RoI head of mmdet among the bases; each base of this class says what it adds."""
