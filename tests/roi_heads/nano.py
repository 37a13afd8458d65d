"""The base models of this repository at a width that trains a step in milliseconds."""

import copy
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet.registry import MODELS
from tests.steps import make_batch

ROOT = Path(__file__).resolve().parents[2]
NUM_CLASSES = 5
MASK_HEAD = dict(num_convs=1, in_channels=16, conv_out_channels=16, num_classes=NUM_CLASSES)

# A mask head that refines, and one that rates masks.
REFINED = dict(
    type='RefineMaskHead',
    in_channels=16,
    conv_out_channels=32,
    num_convs=1,
    num_semantic_convs=1,
    semantic_in_channels=16,
)
SCORING = dict(
    type='LabelMaskIoUHead', num_convs=2, in_channels=16, conv_out_channels=16, fc_out_channels=32
)

# Upsampling of a mask head that has parameters of its own.
CARAFE = dict(
    type='carafe',
    scale_factor=2,
    up_kernel=5,
    up_group=1,
    encoder_kernel=3,
    encoder_dilation=1,
    compressed_channels=8,
)

# Batch norm in training mode: statistics move wherever they are not held.
NANO = dict(
    backbone=dict(depth=18, base_channels=8, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(in_channels=16, feat_channels=16),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=16),
        bbox_head=dict(in_channels=16, fc_out_channels=32, num_classes=NUM_CLASSES),
        mask_roi_extractor=dict(out_channels=16),
        mask_head=MASK_HEAD,
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=100, max_per_img=40), rcnn=dict(sampler=dict(num=32))),
    test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=40), rcnn=dict(score_thr=0, max_per_img=20)),
)

# Options of HTC's RoI head that give it a semantic branch, on the features of `pyramid`.
SEMANTIC = dict(
    semantic_roi_extractor=dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
        out_channels=16,
        featmap_strides=[8],
    ),
    semantic_head=dict(
        type='FusedSemanticHead',
        num_ins=4,
        fusion_level=1,
        seg_scale_factor=0.125,
        num_convs=1,
        in_channels=16,
        conv_out_channels=16,
        num_classes=3,
        loss_seg=dict(type='CrossEntropyLoss', ignore_index=255, loss_weight=0.2),
    ),
)


def nano_model(name: str, **more) -> ConfigDict:
    """Config of ``mask-rcnn`` or ``cascade-mask-rcnn``, with more settings merged in."""
    cfg = Config.fromfile(ROOT / f'configs/_base_/models/{name}_r50_fpn.py')
    cfg.merge_from_dict(dict(model=copy.deepcopy(NANO)))
    cfg.merge_from_dict(dict(model=copy.deepcopy(more)))
    return cfg.model


def nano_roi_head(name: str, **more) -> nn.Module:
    """The RoI head of such a model alone; more settings are those of the model."""
    model = nano_model(name, **more)
    model.roi_head.update(train_cfg=model.train_cfg.rcnn, test_cfg=model.test_cfg.rcnn)
    head = MODELS.build(model.roi_head)
    head.init_weights()
    return head


def box_heads(detector: nn.Module) -> list[nn.Module]:
    """The box heads of all stages."""
    heads = detector.roi_head.bbox_head
    return list(heads) if isinstance(heads, nn.ModuleList) else [heads]


def pyramid(num_images: int = 1) -> tuple[Tensor, ...]:
    """Feature maps of images of 128 x 128 pixels."""
    generator = torch.Generator().manual_seed(1)
    return tuple(
        torch.rand(num_images, 16, 128 // stride, 128 // stride, generator=generator)
        for stride in (4, 8, 16, 32)
    )


def propose(count: int) -> InstanceData:
    """Proposals of 40 x 40 pixels."""
    corner = torch.rand(count, 2) * 60
    return InstanceData(
        bboxes=torch.cat([corner, corner + 40], 1),
        scores=torch.rand(count),
        labels=torch.zeros(count, dtype=torch.long),
    )


def assert_same_detections(found: InstanceData, expected: InstanceData) -> None:
    """Compare detections, ours or stock's, and their masks.

    A mask may differ in a pixel of ten thousand: the map of one class and that class's map among
    all are sums of the same products, rounded differently, and may fall on either side of the
    threshold.
    """
    assert len(found) == len(expected) > 0
    for key in ('bboxes', 'scores', 'labels'):
        assert torch.equal(found[key], expected[key]), key
    masks, others = found.masks.cpu(), expected.masks.cpu()
    assert masks.shape == others.shape and masks.any()
    assert (masks != others).float().mean() <= 1e-4


def assert_same_gradients(model: nn.Module, other: nn.Module) -> None:
    """Compare the gradients of two models with the same parameters."""
    expected = dict(other.named_parameters())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(
                parameter.grad,
                expected[name].grad,
                rtol=1e-4,
                atol=1e-6,
                msg=lambda text, name=name: f'{name}: {text}',
            )


def drawn_batch(num_images: int = 2, label: int = 2) -> dict:
    """A batch whose images were drawn for a class; all their objects are of it."""
    batch = make_batch(NUM_CLASSES, num_images=num_images)
    for sample in batch['data_samples']:
        sample.gt_instances.labels[:] = label
        sample.set_metainfo(dict(sampled_label=label))
    return batch


def undrawn_batch() -> dict:
    """A batch as an ordinary sampler gives it, drawn for no class."""
    batch = make_batch(NUM_CLASSES)
    for sample in batch['data_samples']:
        del sample.sampled_label
    return batch
