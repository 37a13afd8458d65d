"""The tables of FuXi-Fresher's report: a row changes what it says, and the numbers are theirs."""

import copy
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmdet.registry import MODELS, TRANSFORMS
from tests.shrink import shrink
from tests.steps import build_detector, make_batch, train_step, without_gradient
from tools.print_config import compare

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'configs/fuxi_fresher'

WEAK = 'htc_swin-l_fpn_seesaw_rfs1e-3-ms400-1400-20e_lvis-v1'
PASTED = 'htc_swin-l_fpn_seesaw_balanced-copy-paste_rfs1e-3-ms400-1400-20e_lvis-v1'
MIXED = 'htc_swin-l_fpn_seesaw_mixing_rfs1e-3-ms640-1400-20e_lvis-v1'
STRONG = 'htc_cb-swin-l_fpn_seesaw_mixing_rfs1e-3-ms640-1400-20e_lvis-v1'
WEAK_REFINED = 'htc_swin-l_fpn_seesaw-refine_rfs1e-3-ms400-1400-20e_lvis-v1'
REFINED = 'htc_cb-swin-l_fpn_seesaw-refine_mixing_rfs1e-3-ms640-1400-20e-ema_lvis-v1'
SCORED = 'htc_cb-swin-l_fpn_seesaw-refine-scored{}_mixing_rfs1e-3-ms640-1400-20e-ema_lvis-v1{}'
CHAMPION = SCORED.format('', '')
CHALLENGE = SCORED.format('-max1000', '-test-challenge')

PIPELINE = {'train_pipeline', 'train_dataloader.dataset.pipeline'}
COMPOSITE = {'model.type', 'model.backbone.type', 'model.backbone.num_backbones'}
RATE = 'optim_wrapper.optimizer.lr'
REFINEMENT = {
    'model.roi_head.bbox_head.loss_cls.loss_weight',
    'model.roi_head.bbox_head.loss_bbox.loss_weight',
    'model.roi_head.last_mask_head',
}
BEST = {'default_hooks.checkpoint.save_best', 'default_hooks.checkpoint.rule'}
LIMIT = 'model.test_cfg.rcnn.max_per_img'
BOUNDARY = {f'{p}_evaluator.{key}' for p in ('val', 'test') for key in ('metric', 'dets_per_class')}
CHANGES = [
    (WEAK, PASTED, PIPELINE),
    (PASTED, MIXED, PIPELINE),
    (MIXED, STRONG, {*COMPOSITE, RATE}),
    (WEAK, WEAK_REFINED, REFINEMENT),
    (STRONG, REFINED, {*REFINEMENT, *BEST, 'custom_hooks', 'optim_wrapper.type'}),
    (REFINED, CHAMPION, {'model.roi_head.mask_iou_head'}),
    (CHAMPION, SCORED.format('-max300', ''), BOUNDARY),
    *((CHAMPION, SCORED.format(f'-max{n}', ''), {*BOUNDARY, LIMIT}) for n in (500, 800, 1000)),
]


@functools.cache
def _read(name):
    return Config.fromfile(FOLDER / f'{name}.py')


@pytest.mark.parametrize(('parent', 'child', 'changed'), CHANGES)
def test_row_changes_what_its_table_says_and_nothing_else(parent, child, changed):
    found = {
        change.path.partition('[')[0]
        for change in compare(*(_read(name).to_dict() for name in (parent, child)))
    }
    assert found == changed


def test_training_is_that_of_the_report():
    weak, strong, champion = map(_read, (WEAK, STRONG, CHAMPION))
    for cfg in (weak, strong, champion):
        assert cfg.train_cfg.max_epochs == 20 and cfg.param_scheduler[-1].milestones == [16, 19]
        assert cfg.optim_wrapper.optimizer.type == 'AdamW'
        assert 8 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 16
        assert cfg.train_dataloader.sampler.repeat_threshold == 1e-3
        assert cfg.model.data_preprocessor.pad_mask
    assert weak.optim_wrapper.optimizer.lr == 1e-4
    assert strong.optim_wrapper.optimizer.lr == champion.optim_wrapper.optimizer.lr == 5e-5
    for cfg, weight in ((weak, 1.0), (strong, 1.0), (champion, 2.0)):
        head = cfg.model.roi_head.bbox_head
        assert head.loss_bbox.loss_weight == head.loss_cls.get('loss_weight', 1.0) == weight
    assert strong.optim_wrapper.type == 'AmpOptimWrapper'
    assert champion.optim_wrapper.type == 'OptimWrapper'


@pytest.mark.parametrize(('name', 'shortest'), [(WEAK, 400), (PASTED, 400), (CHAMPION, 640)])
def test_short_sides_are_those_of_the_report(name, shortest):
    (resize,) = [t for t in _read(name).train_pipeline if t.type == 'RandomResize']
    assert resize.scale == [(1600, shortest), (1600, 1400)]


def test_images_are_mixed_before_they_are_resized_and_coloured_after():
    kinds = [t.type for t in _read(CHAMPION).train_pipeline]
    order = ['LoadCropAnnotations', 'BalancedMosaic', 'RandomResize', 'RandomFlip']
    order += ['BalancedCopyPaste', 'RoundedPhotoMetricDistortion', 'PackFederatedInputs']
    assert [kind for kind in kinds if kind in order] == order


def test_augmented_views_are_the_eight_of_the_report():
    pipeline = copy.deepcopy(_read(CHAMPION).tta_pipeline)
    views = TRANSFORMS.build(pipeline[1])
    shape = (480, 640)
    given = dict(img=np.zeros((*shape, 3), np.uint8), img_path='none', img_id=1, instances=[])
    results = views(dict(given, ori_shape=shape, img_shape=shape))
    seen = [(s.img_shape, bool(s.flip)) for s in results['data_samples']]
    # 4:3 within long and short side.
    sizes = [(1000, 1333), (1200, 1600), (1200, 1600), (1350, 1800)]
    assert seen == [(size, flip) for size in sizes for flip in (False, True)]


def test_norms_and_position_biases_do_not_decay():
    cfg = _read(CHAMPION)
    model = build_detector(shrink(cfg.model))
    wrapper = build_optim_wrapper(model, copy.deepcopy(cfg.optim_wrapper))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decay = {
        names[id(parameter)]: group['weight_decay']
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    assert decay.keys() == set(names.values())
    free = {name for name, value in decay.items() if value == 0}
    assert free == {n for n in decay if 'norm' in n or 'relative_position_bias_table' in n}
    assert {n.split('.')[2] for n in free if n.startswith('backbone.cb_modules.')} == {'0', '1'}
    assert set(decay.values()) == {0.0, 0.05}


def test_champion_has_two_large_swin_transformers(monkeypatch):
    """The number of parameters is that of CBNetV2's implementation."""
    # The rates of drop path are numbers of a tensor, which has to have some.
    monkeypatch.setattr(torch, 'linspace', functools.partial(torch.linspace, device='cpu'))
    backbone = dict(_read(CHAMPION).model.backbone, init_cfg=None)
    with torch.device('meta'):
        network = MODELS.build(backbone)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == pytest.approx(392.6e6, abs=0.05e6)


def test_challenge_writes_the_masks_of_unlabelled_images():
    cfg = _read(CHALLENGE)
    assert cfg.test_evaluator.format_only and cfg.test_evaluator.metric == 'segm'
    assert cfg.model.test_cfg.rcnn.max_per_img == 1000
    assert 'test_challenge' in cfg.test_dataloader.dataset.ann_file


def test_parts_work_in_mask_rcnn_as_the_readme_shows(tmp_path):
    """The config in the README, read from there."""
    text = (FOLDER / 'README.md').read_text()
    (code,) = [block.split('```')[0] for block in text.split('```python\n')[1:]]
    assert code.count("'../") == 2
    path = tmp_path / 'mask-rcnn.py'
    path.write_text(code.replace("'../", f"'{ROOT}/configs/"))
    cfg = Config.fromfile(path)
    model = build_detector(shrink(cfg.model))
    losses = train_step(model, make_batch(cfg.num_classes, size=64, num_objects=1))
    assert {'loss_mask_semantic', 'loss_mask_iou', 'loss_cls_assistant1'} <= losses.keys()
    assert not without_gradient(model)
    assert cfg.custom_hooks[0].type == 'WeightsEMAHook'
    assert cfg.default_hooks.checkpoint.save_best == cfg.custom_hooks[1].monitor
