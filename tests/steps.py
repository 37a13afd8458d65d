"""One training step and one test step of any detector, on an image made up here."""

import copy

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from plugins.detectors import RetrainedDetector
from plugins.losses import NeedsCategoryCounts


def without_pretrained_weights(model: dict) -> ConfigDict:
    """Return a copy of a detector's config that looks for no weights."""
    model = ConfigDict(copy.deepcopy(model))
    model.backbone.init_cfg = None
    model.init_cfg = None
    if 'pretrained' in model.backbone:
        model.backbone.pretrained = False
    return model


def build_detector(model: dict) -> nn.Module:
    """Build a detector without looking for pretrained weights or category counts.

    A detector for retraining gets the weights that it was initialised with.
    """
    detector = MODELS.build(without_pretrained_weights(model))
    # Some parameters (level embeddings of DETR heads) are uninitialised memory until then.
    detector.init_weights()
    count_categories(detector)
    if isinstance(detector, RetrainedDetector):
        detector.load_state_dict(detector.state_dict())
    return detector


def count_categories(model: nn.Module) -> None:
    """Tell the losses that ask for it how often categories occur: from once to 10,000 times."""
    for loss in model.modules():
        if isinstance(loss, NeedsCategoryCounts):
            counts = torch.logspace(4, 0, loss.num_classes).long()
            loss.set_category_counts(counts, (counts + 1) // 2, 10000)


def take_fewer_samples(model: dict, count: int = 16) -> None:
    """Lower the numbers of proposals, RoIs and detections; the network stays as it is.

    Args:
        model: Config of a detector, changed in place wherever mmdet's usual keys stand.
        count: The new number of each.
    """
    for key, value in model.items():
        if isinstance(value, dict):
            take_fewer_samples(value, count)
        elif isinstance(value, list):
            for entry in value:
                if isinstance(entry, dict):
                    take_fewer_samples(entry, count)
        elif key in ('nms_pre', 'max_per_img', 'num') and isinstance(value, int):
            model[key] = min(value, count)


def make_batch(
    num_classes: int, size: int = 128, num_objects: int = 3, num_images: int = 1
) -> dict:
    """Make what the data loader yields: uint8 images with rectangles as objects.

    Every image is said to be drawn for the class of its first object, or class 0 without any.

    Args:
        num_classes: Labels are drawn from [0, num_classes).
        size: Height and width in pixels.
        num_objects: Objects per image, may be 0.
        num_images: Images in the batch.
    """
    generator = np.random.default_rng(0)
    inputs, samples = [], []
    for _ in range(num_images):
        corner = generator.uniform(0, size / 2, (num_objects, 2))
        side = generator.uniform(size / 8, size / 2, (num_objects, 2))
        boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
        masks = np.zeros((num_objects, size, size), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
            mask[y1:y2, x1:x2] = 1
        meta = dict(
            img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0), img_id=0
        )
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes),
            labels=torch.from_numpy(generator.integers(0, num_classes, num_objects)),
            masks=BitmapMasks(masks, size, size),
        )
        drawn = int(sample.gt_instances.labels[0]) if num_objects else 0
        sample.set_metainfo(dict(sampled_label=drawn))
        inputs.append(torch.from_numpy(generator.integers(0, 256, (3, size, size), np.uint8)))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def train_step(model: nn.Module, batch: dict) -> dict[str, float]:
    """Forward and backward; return the losses and leave the gradients on the parameters."""
    model.train()
    model.zero_grad()
    data = model.data_preprocessor(batch, training=True)
    loss, log = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    return {name: float(value) for name, value in log.items()}


def without_gradient(model: nn.Module) -> list[str]:
    """Return the trained parameters that got no gradient: distributed training waits for them."""
    return [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_step(model: nn.Module, batch: dict) -> list[DetDataSample]:
    """Predict, as the test loop does."""
    model.eval()
    with torch.no_grad():
        return model.test_step(batch)


# It is a helper, whatever its name looks like to pytest.
test_step.__test__ = False
