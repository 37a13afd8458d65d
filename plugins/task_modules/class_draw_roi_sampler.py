"""RoIs sampled as usual, that remember for which class their image was drawn."""

from mmengine.structures import InstanceData

from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import RandomSampler, SamplingResult
from mmdet.registry import TASK_UTILS


@TASK_UTILS.register_module()
class ClassDrawRoISampler(RandomSampler):
    """``RandomSampler`` whose result carries ``sampled_label``, the class the image was drawn for.

    The proposal level of SimCal (Wang et al. 2020, section 4) trains on RoIs of that class only;
    a box head with ``second_classifier.match`` reads the label here. Goes to
    ``train_cfg.rcnn.sampler.type``; arguments as in ``RandomSampler``.
    """

    def sample(
        self,
        assign_result: AssignResult,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        **kwargs,
    ) -> SamplingResult:
        """Sample as stock does; ``sampled_label`` is -1 if the image was drawn for no class."""
        result = super().sample(assign_result, pred_instances, gt_instances, **kwargs)
        result.sampled_label = gt_instances.metainfo.get('sampled_label', -1)
        return result
