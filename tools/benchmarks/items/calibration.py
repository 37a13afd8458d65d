"""A step of calibrating a second classifier against a step of training the whole detector.

Mask R-CNN with ResNet-50 and FPN, the classes of LVIS, two images of 480 x 480 pixels and about
500 RoIs each. The second classifier starts as a copy of the first and trains on the same RoIs, so
both sides must come to the same classification loss.
"""

import copy
from pathlib import Path

from tools.benchmarks.item import Benchmark

ROOT = Path(__file__).resolve().parents[3]
NUM_CLASSES = 1203
NUM_IMAGES, SIDE, NUM_OBJECTS = 2, 480, 8
# With the objects fewer than the sampler's 512: no RoI is drawn, both sides train on all.
NUM_PROPOSALS = 500

SECOND = dict(hidden_fcs=2, init='copy')
CALIBRATION = dict(
    type='RetrainedDetector',
    trained=['roi_head.bbox_head.second_classifier'],
    roi_head=dict(bbox_head=dict(type='TwoClassifierShared2FCBBoxHead', second_classifier=SECOND)),
)


def make_inputs() -> dict:
    """Both detectors with the same weights, their optimizers, and a batch."""
    import torch
    from mmengine.logging import MMLogger

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.testing import demo_mm_inputs
    from mmdet.utils import register_all_modules

    register_all_modules()
    # It logs to stdout, every initialised parameter in a line of its own.
    MMLogger.get_instance('calibration', log_level='ERROR')
    torch.manual_seed(0)
    whole = build({})
    calibrated = build(CALIBRATION)
    calibrated.load_state_dict(whole.state_dict(), strict=False)
    batch = demo_mm_inputs(
        NUM_IMAGES, (3, SIDE, SIDE), [NUM_OBJECTS] * NUM_IMAGES, NUM_CLASSES, with_mask=True
    )
    for sample in batch['data_samples']:
        del sample.ignored_instances
    sides = dict(calibrated=calibrated, whole=whole)
    return dict(
        batch=batch, sides={name: (m.train(), make_optimizer(m)) for name, m in sides.items()}
    )


def build(more: dict) -> object:
    """The detector, with more settings merged in."""
    from mmengine.config import Config

    from mmdet.registry import MODELS

    cfg = Config.fromfile(ROOT / 'configs/_base_/models/mask-rcnn_r50_fpn.py')
    classes = dict(num_classes=NUM_CLASSES)
    common = dict(
        backbone=dict(init_cfg=None),
        roi_head=dict(bbox_head=classes, mask_head=classes),
        train_cfg=dict(rpn_proposal=dict(max_per_img=NUM_PROPOSALS)),
    )
    for settings in (common, more):
        cfg.merge_from_dict(dict(model=copy.deepcopy(settings)))
    detector = MODELS.build(cfg.model)
    detector.init_weights()
    return detector


def make_optimizer(detector: object) -> object:
    """SGD that does all its work and changes nothing, so that every repeat sees one model."""
    import torch

    return torch.optim.SGD(detector.parameters(), lr=0.0, momentum=0.9, weight_decay=1e-4)


def step(inputs: dict, side: str) -> dict:
    """Forward, backward and update; returns the losses."""
    detector, optimizer = inputs['sides'][side]
    optimizer.zero_grad()
    data = detector.data_preprocessor(copy.deepcopy(inputs['batch']), training=True)
    total, log = detector.parse_losses(detector(**data, mode='loss'))
    total.backward()
    optimizer.step()
    return {name: value.detach() for name, value in log.items()}


def same_classification_loss(calibrated: dict, whole: dict) -> bool:
    """Whether both come to the same classification loss, and one of them to no other."""
    import torch

    losses = {name for name in calibrated if 'loss' in name}
    return losses == {'loss', 'loss_cls'} and torch.allclose(
        calibrated['loss_cls'], whole['loss_cls'], rtol=1e-4
    )


ITEMS = (
    Benchmark(
        name='calibration_step',
        peer='a step of training the whole detector',
        ours=lambda inputs: step(inputs, 'calibrated'),
        peer_run=lambda inputs: step(inputs, 'whole'),
        check=same_classification_loss,
        setup=make_inputs,
        repeats=3,
    ),
)
