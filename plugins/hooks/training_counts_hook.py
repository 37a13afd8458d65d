"""What a loss needs from the training data before the first batch."""

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from mmdet.registry import HOOKS
from plugins.annotations import count_images
from plugins.datasets.class_draw import categories_of
from plugins.errors import UserError
from plugins.losses import ClassificationLoss, NeedsCategoryCounts


@HOOKS.register_module()
class TrainingCountsHook(Hook):
    """Tell the losses how often each category occurs in the training set, and the run's seed.

    All ranks count the same data set, so nothing is sent. It runs after weights were loaded: the
    training set outranks the counts of a checkpoint that was trained on another one. Only frozen
    classifiers keep theirs, and a file of counts outranks both.
    """

    def before_train(self, runner: Runner) -> None:
        """Count the training set if a loss asks for it; start every loss.

        Raises:
            UserError: A loss sits in a head that does not tell it the number of classes, or the
                data set cannot be counted.
        """
        losses = [m for m in runner.model.modules() if isinstance(m, ClassificationLoss)]
        for loss in losses:
            if loss.num_classes is None:
                raise UserError(
                    f'{type(loss).__name__} sits in a head that does not ask it for its channels; '
                    'it belongs into the box head of a two-stage detector '
                    '(model.roi_head.bbox_head.loss_cls)'
                )
            loss.start_training(seed=runner.seed, resumed=runner.iter > 0)
        set_category_counts(runner.model, runner.train_dataloader.dataset)


def set_category_counts(model: nn.Module, dataset: Dataset) -> None:
    """Give every module that takes them the counts of a data set."""
    modules = [m for m in model.modules() if isinstance(m, NeedsCategoryCounts)]
    modules = [module for module in modules if module.takes_counts_of_training]
    if not modules:
        return
    counts = count_dataset(dataset)
    for module in modules:
        module.set_category_counts(*counts)


def count_dataset(dataset: Dataset) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Count the categories of a data set, or of the one it wraps.

    Args:
        dataset: Gives the labels of image ``i`` by ``get_cat_ids(i)``, one per instance, and has
            ``metainfo['classes']``.

    Returns:
        Instances and images per class, int64 (K,) each, and the number of images with an instance.

    Raises:
        UserError: The data set has no labels to count, or none that its classes cover.
    """
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    if not hasattr(dataset, 'get_cat_ids') or classes is None:
        raise UserError(
            f'train_dataloader.dataset: {type(dataset).__name__} has no get_cat_ids() or no '
            'classes, so its categories cannot be counted; give the loss counts=FILE, made by '
            'tools/data/stats.py ANNOTATIONS --json FILE'
        )
    rows = categories_of(dataset)
    instance_count = np.bincount(rows.category, minlength=len(classes))
    image_count = count_images(rows, len(classes))
    num_images = int((np.diff(rows.pointer) > 0).sum())
    if num_images == 0:
        raise UserError('train_dataloader.dataset has no annotations to count')
    return torch.from_numpy(instance_count), torch.from_numpy(image_count), num_images
