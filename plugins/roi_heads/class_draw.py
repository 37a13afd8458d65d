"""The class that an image was drawn for, on its way to the sampler of RoIs."""

from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.structures import SampleList


class PassesClassDraw:
    """Put before a RoI head of mmdet among the bases: the RoI sampler learns the drawn class.

    ``sampled_label`` is in the metainfo of an image that a sampler chose because it holds this
    class (SimCal, Wang et al. 2020). RoI samplers see the objects of an image only, so the label is
    copied to the metainfo of those; ``ClassDrawRoISampler`` reads it.
    """

    def loss(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: list[InstanceData],
        batch_data_samples: SampleList,
    ) -> dict[str, Tensor]:
        """Compute the losses as stock does."""
        for sample in batch_data_samples:
            if 'sampled_label' in sample.metainfo:
                label = sample.metainfo['sampled_label']
                sample.gt_instances.set_metainfo(dict(sampled_label=label))
        return super().loss(x, rpn_results_list, batch_data_samples)
