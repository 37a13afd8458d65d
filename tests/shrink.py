"""Any detector made small from outside: the same parts and wiring, fewer channels and layers."""

import functools
import inspect
import json

import torch
from mmengine.config import ConfigDict

from mmdet.registry import MODELS
from tests.steps import take_fewer_samples, without_pretrained_weights

RATIO = 8  # by which the channels of necks and heads shrink
SMALL = 48  # what is this narrow stays as it is
SAMPLES = 8  # proposals, RoIs, detections
SMALL_TIMM_MODEL = 'regnety_002'
PLAIN = ('ResNet', 'CBResNet')  # that have shallow variants


def shrink(model: dict) -> ConfigDict:
    """Return a copy of a detector's config that trains a step in a fraction of a second.

    Types, wiring, losses and the number of classes stay; widths, depths, and the numbers of
    proposals, RoIs and detections get small, and a detection needs no score. Sizes follow from each
    other as they do in the original, so the configs need not know about it.

    Args:
        model: Config of a detector as a config file resolves it.
    """
    model = without_pretrained_weights(model)
    take_fewer_samples(model, SAMPLES)
    if 'rcnn' in model.test_cfg:
        # An untrained detector is sure of nothing, but its masks are to be tested too.
        model.test_cfg.rcnn.score_thr = 0.0
    for head in ('last_mask_head', 'mask_iou_head'):
        if model.get('roi_head', {}).get(head):
            _spell_out_channels(model.roi_head[head])
    for name, part in model.items():
        if name not in ('backbone', 'neck'):
            _narrow(part)
    _shrink_backbone(model.backbone)
    if 'neck' in model:
        model.neck.in_channels = _channels(json.dumps(model.backbone))
        _narrow(model.neck, skip='in_channels')
        if model.neck.type == 'EnhancedFPG':
            model.neck.stack_times = 2
    return model


def _spell_out_channels(head: ConfigDict) -> None:
    """Write the channels that a head has by default into its config."""
    for cls in MODELS.get(head.type).__mro__:
        for name, parameter in inspect.signature(cls.__init__).parameters.items():
            if name.endswith('channels') and isinstance(parameter.default, int):
                head.setdefault(name, parameter.default)


def _narrow(node: object, skip: str = '') -> None:
    """Divide the channels of a part and of everything in it; at most one convolution in a row."""
    if isinstance(node, list | tuple):
        for value in node:
            _narrow(value)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key == skip:
            continue
        if key.endswith('channels') and isinstance(value, int) and value > SMALL:
            node[key] = value // (2 * RATIO if key == 'fc_out_channels' else RATIO)
        elif key in ('num_convs', 'stacked_convs'):
            node[key] = min(value, 1)
        else:
            _narrow(value)


def _shrink_backbone(backbone: ConfigDict) -> None:
    if 'embed_dims' in backbone:  # transformers in windows
        stages = len(backbone.depths)
        backbone.update(embed_dims=8, depths=[1] * stages, num_heads=[1, 1, 2, 2][:stages])
    elif 'model_name' in backbone:
        backbone.model_name = SMALL_TIMM_MODEL
    elif 'depth' in backbone:
        # Grouped and deformable convolutions live in bottleneck blocks, which start at 50.
        plain = backbone.get('family', backbone.type) in PLAIN and 'dcn' not in backbone
        backbone.update(depth=18 if plain else 50, base_channels=8)
        if 'groups' in backbone:
            backbone.update(groups=4, base_width=2)
    else:
        raise ValueError(f'shrink() does not know how to make {backbone.type} small')


@functools.cache
def _channels(backbone: str) -> list[int]:
    """Return the channels of the levels of a backbone, whose config is given as JSON."""
    network = MODELS.build(json.loads(backbone))
    network.eval()
    with torch.no_grad():
        return [level.shape[1] for level in network(torch.zeros(1, 3, 64, 64))]
