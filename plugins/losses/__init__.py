"""Classification losses for long tails, each a function and a thin module around it.

All of them go to ``roi_head.bbox_head.loss_cls`` and settle there how many logits there are, how
they are trained and how they become scores.
"""

from plugins.losses.balanced_group_softmax_loss import BalancedGroupSoftmaxLoss
from plugins.losses.category_counts import NeedsCategoryCounts
from plugins.losses.class_aware_margin_loss import ClassAwareMarginLoss
from plugins.losses.classification_loss import ClassificationLoss
from plugins.losses.equalization_loss import EqualizationLoss
from plugins.losses.equalization_loss_v2 import EqualizationLossV2
from plugins.losses.federated_loss import FederatedLoss
from plugins.losses.inverse_frequency_loss import InverseFrequencyLoss
from plugins.losses.multi_class_focal_loss import MultiClassFocalLoss
from plugins.losses.objectness_loss import ObjectnessLoss
from plugins.losses.seesaw_loss import SyncSeesawLoss
from plugins.losses.sigmoid_loss import SigmoidLoss
from plugins.losses.softmax_loss import SoftmaxLoss

__all__ = [
    'BalancedGroupSoftmaxLoss',
    'ClassAwareMarginLoss',
    'ClassificationLoss',
    'EqualizationLoss',
    'EqualizationLossV2',
    'FederatedLoss',
    'InverseFrequencyLoss',
    'MultiClassFocalLoss',
    'NeedsCategoryCounts',
    'ObjectnessLoss',
    'SigmoidLoss',
    'SoftmaxLoss',
    'SyncSeesawLoss',
]
