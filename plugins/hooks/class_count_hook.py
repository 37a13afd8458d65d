"""The heads of the model and the data sets must agree on the number of classes."""

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmdet.models.roi_heads.mask_heads import FusedSemanticHead
from mmdet.registry import HOOKS
from plugins.errors import UserError

# Modules (any dense head can serve as RPN) whose classes are not those of the data set.
_OTHER_MODULES = {'backbone', 'rpn_head'}


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Compare ``num_classes`` of every head with the classes of every data set, before the run.

    mmdet's ``NumClassCheckHook`` runs only if a config lists it, only in training, and asserts.
    """

    def before_run(self, runner: Runner) -> None:
        """Raise ``UserError`` naming the head, the data set and both numbers."""
        for phase in ('train', 'val', 'test'):
            loop = getattr(runner, f'_{phase}_loop', None)
            loader = getattr(loop, 'dataloader', None)
            dataset = getattr(loader, 'dataset', None)
            classes = getattr(dataset, 'metainfo', {}).get('classes')
            if classes is not None:
                _check_heads(runner.model, dataset, len(classes), phase)


def _check_heads(model: nn.Module, dataset: BaseDataset, num_classes: int, phase: str) -> None:
    source = getattr(dataset, 'ann_file', type(dataset).__name__)
    for name, module in model.named_modules():
        there = getattr(module, 'num_classes', None)
        if not isinstance(there, int) or there == num_classes:
            continue
        # The fused semantic head predicts a stuff map with labels of its own.
        if _OTHER_MODULES & set(name.split('.')) or isinstance(module, FusedSemanticHead):
            continue
        if getattr(module, 'class_agnostic', False):
            continue
        raise UserError(
            f'num_classes is {there} in {name}, but the {phase} data set {source} has '
            f'{num_classes} categories; set num_classes={num_classes} in the config'
        )
