"""mmdet's own configs run unmodified on the stand-in for mmcv's compiled operators."""

import pytest
import torch
from mmengine.hub import get_config

from tests.steps import build_detector, make_batch, take_fewer_samples, test_step, train_step

CONFIGS = [
    'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
    'htc/htc-without-semantic_r50_fpn_1x_coco.py',
    'seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1.py',
    'seesaw_loss/cascade-mask-rcnn_r101_fpn_seesaw-loss-normed-mask_sample1e-3-ms-2x_lvis-v1.py',
    'dcn/mask-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py',
    'dcnv2/mask-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py',
    'dcnv2/faster-rcnn_r50_fpn_mdpool_1x_coco.py',
    'carafe/mask-rcnn_r50_fpn-carafe_1x_coco.py',
    'ms_rcnn/ms-rcnn_r50_fpn_1x_coco.py',
    'dino/dino-4scale_r50_8xb2-12e_coco.py',
]


@pytest.mark.parametrize('name', CONFIGS, ids=lambda name: name.split('/')[0])
def test_stock_config_builds_trains_and_tests(name):
    torch.manual_seed(0)
    cfg = get_config(f'mmdet::{name}')
    take_fewer_samples(cfg.model)
    model = build_detector(cfg.model)
    # DINO takes 900 queries from the tokens of the image.
    size = 256 if name.startswith('dino') else 128
    batch = make_batch(num_classes=80, size=size)
    losses = train_step(model, batch)
    assert losses['loss'] > 0
    for parameter, value in model.named_parameters():
        if value.requires_grad:
            assert value.grad is not None and torch.isfinite(value.grad).all(), parameter
    found = test_step(model, make_batch(num_classes=80, size=size))[0].pred_instances
    assert torch.isfinite(found.bboxes).all() and found.bboxes.shape[1] == 4
    assert len(found.scores) == len(found.labels) == len(found)
