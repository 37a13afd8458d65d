"""TSD box heads by themselves, and what they look at."""

import numpy as np
import torch
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from tests.steps import count_categories

NUM_CLASSES = 5
CHANNELS = 4
STRIDES = (4, 8, 16, 32)
SOFTMAX = dict(type='SoftmaxLoss')
TRAIN_CFG = ConfigDict(pos_weight=-1)


def read_golden(shared, name: str) -> dict[str, Tensor]:
    """Arrays of one of the golden files."""
    with np.load(shared / 'golden' / 'models' / f'{name}.npz') as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def tsd_head(loss_cls: dict = SOFTMAX, kind: str = 'TSDShared2FCBBoxHead', **more) -> nn.Module:
    """A narrow TSD head, initialised, that knows the counts of the categories."""
    torch.manual_seed(0)
    head = MODELS.build(
        dict(
            type=kind,
            in_channels=CHANNELS,
            fc_out_channels=16,
            offset_channels=8,
            num_classes=NUM_CLASSES,
            loss_cls=loss_cls,
            **more,
        )
    )
    head.init_weights()
    count_categories(head)
    return head


def seen_pyramid(num_images: int = 3) -> tuple[Tensor, ...]:
    """Feature maps of images of 128 x 160 pixels, not zero anywhere."""
    generator = torch.Generator().manual_seed(1)
    return tuple(
        torch.rand(num_images, CHANNELS, 128 // s, 160 // s, generator=generator) for s in STRIDES
    )


def sampled(positives: tuple[int, ...] = (4, 0, 2), negatives: int = 5) -> list[SamplingResult]:
    """RoIs of some images, those with objects first, as a sampler gives them."""
    generator = torch.Generator().manual_seed(2)
    results = []
    for count in positives:
        total = count + negatives
        corner = torch.rand(total, 2, generator=generator) * 80
        priors = torch.cat(
            [corner, corner + 16 + torch.rand(total, 2, generator=generator) * 40], 1
        )
        objects = priors[:count] + torch.randn(count, 4, generator=generator) * 2
        labels = torch.randint(0, NUM_CLASSES, (total,), generator=generator)
        gt_inds = torch.arange(1, total + 1)
        results.append(
            SamplingResult(
                pos_inds=torch.arange(count),
                neg_inds=torch.arange(count, total),
                priors=priors,
                gt_bboxes=objects,
                assign_result=AssignResult(count, gt_inds, torch.ones(total), labels),
                gt_flags=torch.zeros(total, dtype=torch.uint8),
            )
        )
    return results


def run(
    head: nn.Module, results: list[SamplingResult], context: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits and deltas of the head on the pyramid, and the RoIs."""
    rois = bbox2roi([result.priors for result in results])
    with head.seeing_pyramid(seen_pyramid(len(results)), rois, context):
        return *head(roi_features(len(rois))), rois


def roi_features(count: int) -> Tensor:
    """RoI features, float (count, C, 7, 7)."""
    return torch.rand(count, CHANNELS, 7, 7, generator=torch.Generator().manual_seed(3))


def train(head: nn.Module, results: list[SamplingResult], **more) -> dict[str, Tensor]:
    """Forward and backward; return the losses by name."""
    head.train()
    head.zero_grad()
    logits, deltas, rois = run(head, results, **more)
    found = head.loss_and_target(logits, deltas, rois, results, TRAIN_CFG)['loss_bbox']
    sum(value for name, value in found.items() if 'loss' in name).backward()
    return found
