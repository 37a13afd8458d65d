"""One training step and one test step of any detector, on an image made up here."""

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks


def build_detector(model: dict) -> nn.Module:
    """Build a detector without looking for pretrained weights."""
    model = ConfigDict(model)
    model.backbone.init_cfg = None
    model.init_cfg = None
    detector = MODELS.build(model)
    # Some parameters (level embeddings of DETR heads) are uninitialised memory until then.
    detector.init_weights()
    return detector


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


def test_step(model: nn.Module, batch: dict) -> list[DetDataSample]:
    """Predict, as the test loop does."""
    model.eval()
    with torch.no_grad():
        return model.test_step(batch)


# It is a helper, whatever its name looks like to pytest.
test_step.__test__ = False
