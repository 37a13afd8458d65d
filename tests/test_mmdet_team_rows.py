"""Table 2 of the MMDet team's report, row by row, at a fraction of the width.

Every row trains, also without objects or proposals, and tests, in one process and in two; the last
sees several views. What the README says that a row changes is what it changes.
"""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmcv.transforms import Compose
from mmengine.config import Config, ConfigDict
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from PIL import Image
from torch import nn

from mmdet.registry import MODELS, TRANSFORMS
from plugins.necks import EnhancedFPG
from plugins.test_time import MaskTTAModel
from tests.shrink import shrink
from tests.steps import build_detector, make_batch, test_step, train_step, without_gradient
from tests.two_processes import distributed_step, on_two_processes
from tools.print_config import compare, load, load_bases

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'configs/mmdet_team'
LAST = 'htc-lite_s200-dcn_efpg_tsd-scored-seesaw-finetuned-tta1200-2000_rfs1e-3-lsj-1x_lvis-v1'
SIZE = 64
NOTHING = 10**6  # pixels; no proposal is that large


def _chain(name):
    """Return the configs that a config inherits from, in this folder, the first one first."""
    parent = re.search(r"^_base_ = '\./(.+)\.py'$", (FOLDER / f'{name}.py').read_text(), re.M)
    return [*(_chain(parent[1]) if parent else []), name]


ROWS = _chain(LAST)
each_row = pytest.mark.parametrize('row', range(1, 13))


def _config(row):
    return Config.fromfile(FOLDER / f'{ROWS[row - 1]}.py')


def _shrunk(row, *, proposes=True):
    cfg = _config(row)
    model = shrink(cfg.model)
    if not proposes:
        model.train_cfg.rpn_proposal.min_bbox_size = NOTHING
        model.test_cfg.rpn.min_bbox_size = NOTHING
    return cfg, model


def _build(model):
    torch.manual_seed(0)
    return build_detector(model)


def _optimizer(model):
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4)


def _objects_in_first(num_classes):
    """Two images, the second one empty."""
    batch = make_batch(num_classes, size=SIZE, num_images=2)
    batch['data_samples'][1] = make_batch(num_classes, SIZE, num_objects=0)['data_samples'][0]
    return batch


def test_there_are_twelve_rows():
    assert len(ROWS) == 12


@each_row
def test_row_trains_and_tests(row):
    cfg, model = _shrunk(row)
    model = _build(model)
    optimizer = _optimizer(model)
    for _ in range(2):
        losses = train_step(model, _objects_in_first(cfg.num_classes))
        assert 0 < losses['loss'] < float('inf')
        assert not without_gradient(model)
        optimizer.step()
    found = test_step(model, make_batch(cfg.num_classes, size=SIZE))[0].pred_instances
    assert len(found.masks) == len(found) > 0 and found.masks.cpu().shape[1:] == (SIZE, SIZE)
    assert ('mask_scores' in found) == (row >= 6)
    assert found.scores.min() >= 0 and found.scores.max() <= 1


@each_row
def test_row_trains_without_proposals_and_objects_and_finds_nothing(row):
    cfg, model = _shrunk(row, proposes=False)
    model = _build(model)
    # Batch norms need two values of every channel, and the coarsest maps have one pixel.
    losses = train_step(model, make_batch(cfg.num_classes, SIZE, num_objects=0, num_images=2))
    assert 0 <= losses['loss'] < float('inf')
    assert not without_gradient(model)
    statistics = [b for name, b in model.named_buffers() if 'running' in name]
    assert all(values.isfinite().all() for values in statistics)
    found = test_step(model, make_batch(cfg.num_classes, size=SIZE))[0].pred_instances
    assert len(found) == 0 and found.masks.cpu().shape == (0, SIZE, SIZE)


def _steps(rank, row):
    # Rank 1 has no objects, and in the second step no proposals either.
    cfg, model = _shrunk(row)
    # The synchronised norm of torch knows GPUs only.
    detector = revert_sync_batchnorm(_build(model))
    wrapped = MMDistributedDataParallel(detector, broadcast_buffers=False)
    wrapped.train()
    torch.manual_seed(rank)
    optimizer = _optimizer(detector)
    for step in range(2):
        if rank and step:
            detector.train_cfg.rpn_proposal.min_bbox_size = NOTHING
        batch = make_batch(cfg.num_classes, SIZE, num_objects=0 if rank else 3, num_images=2)
        distributed_step(wrapped, optimizer, batch)
    counts = {n: b.clone() for n, b in detector.named_buffers() if n.endswith('cum_samples')}
    # A test has the statistics of one process: those in the checkpoint.
    for buffer in detector.buffers():
        dist.broadcast(buffer, 0)
    found = _test(row, cfg, detector)
    return dict(detector.named_parameters()), counts, (found.bboxes, found.scores, found.labels)


def _test(row, cfg, detector):
    """Test an image, the last row in several views."""
    if row < 12:
        return test_step(detector, make_batch(cfg.num_classes, SIZE))[0].pred_instances
    model = MaskTTAModel(module=detector, tta_cfg=cfg.tta_model.tta_cfg).eval()
    views = []
    for length in (SIZE, 80):
        for flip in (False, True):
            view = make_batch(cfg.num_classes, size=length)
            factor = length / SIZE
            view['data_samples'][0].set_metainfo(
                dict(
                    ori_shape=(SIZE, SIZE),
                    scale_factor=(factor, factor),
                    flip=flip,
                    flip_direction='horizontal' if flip else None,
                )
            )
            views.append(view)
    with torch.no_grad():
        (sample,) = model.test_step({key: [view[key] for view in views] for key in views[0]})
    return sample.pred_instances


@each_row
def test_two_processes_agree_after_two_steps_and_a_test(tmp_path, row):
    (weights, counts, found), (others, other_counts, others_found) = on_two_processes(
        tmp_path, _steps, row
    )
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    # The loss of the sibling and that of the second classifier count for themselves.
    assert len(counts) == {10: 6, 11: 9, 12: 9}.get(row, 0)
    assert all(torch.equal(value, other_counts[name]) for name, value in counts.items())
    assert all(map(torch.equal, found, others_found)) and len(found[0]) > 0


def test_finetuning_changes_the_second_classifiers_and_nothing_else():
    cfg, model = _shrunk(11)
    model = _build(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_step(model, make_batch(cfg.num_classes, SIZE, num_images=2))
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    names = [f'roi_head.bbox_head.{stage}.second_classifier.fc_cls' for stage in range(3)]
    assert {f'{name}.{part}' for name in names for part in ('weight', 'bias')} <= changed
    assert {n for n in changed if not n.startswith(tuple(names))} == {
        f'roi_head.bbox_head.{stage}.loss_cls.second.cum_samples' for stage in range(3)
    }


def test_last_row_merges_views():
    cfg, model = _shrunk(12)
    found = _test(12, cfg, _build(model))
    assert len(found.masks) == len(found) > 0 and found.masks.cpu().shape[1:] == (SIZE, SIZE)
    assert (found.mask_scores <= found.scores).all()


@pytest.fixture(scope='module')
def image(tmp_path_factory) -> str:
    """A file of 120 x 80 pixels."""
    path = tmp_path_factory.mktemp('images') / 'image.png'
    pixels = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def test_last_row_shows_five_sizes_of_the_longer_edge_and_their_mirror_images(image):
    pipeline = Compose([TRANSFORMS.build(step) for step in _config(12).tta_pipeline])
    samples = pipeline(dict(img_path=image, img_id=0, instances=[]))['data_samples']
    views = [(max(sample.img_shape), bool(sample.flip)) for sample in samples]
    expected = [(edge, flip) for edge in (1200, 1400, 1600, 1800, 2000) for flip in (False, True)]
    assert sorted(views) == expected


def test_augmentation_resizes_the_longer_edge_and_crops(image):
    pipeline = Compose([TRANSFORMS.build(step) for step in _config(7).train_pipeline])
    record = dict(img_path=image, img_id=0, height=80, width=120, neg_labels=[3])
    corners = dict(left=[10, 10, 50, 10, 50, 60, 10, 60], right=[70, 20, 110, 20, 90, 70])
    record['instances'] = [
        dict(bbox=[min(p[::2]), min(p[1::2]), max(p[::2]), max(p[1::2])], bbox_label=label)
        | dict(mask=[p], ignore_flag=0)
        for label, p in enumerate(corners.values())
    ]
    np.random.seed(0)
    edges = []
    for _ in range(12):
        packed = pipeline(copy.deepcopy(record))
        if packed is None:  # nothing of the objects in the crop
            continue
        assert packed['inputs'].shape == (3, 1280, 1280)
        sample = packed['data_samples']
        assert len(sample.gt_instances) > 0 and sample.neg_labels == [3]
        edges.append(120 * sample.scale_factor[0])
    assert len(edges) > 6 and 767 < min(edges) < 1000 and 1500 < max(edges) < 1793


def test_backbone_has_grouped_deformable_convolutions_that_start_at_rest():
    config = _config(9).model.backbone
    config.init_cfg = None
    with torch.device('meta'):
        whole = MODELS.build(copy.deepcopy(config))
    assert sum(p.numel() for p in whole.parameters()) == pytest.approx(71.5e6, rel=1e-3)
    assert [len(getattr(whole, name)) for name in whole.res_layers] == [3, 24, 36, 3]
    torch.manual_seed(0)
    backbone = MODELS.build(dict(config, base_channels=16))
    backbone.init_weights()
    layer = backbone.layer2[0].conv2
    assert isinstance(layer.norm0, nn.SyncBatchNorm) and layer.conv.groups == 2
    offsets = [m.conv_offset for m in backbone.modules() if hasattr(m, 'conv_offset')]
    assert len(offsets) == 24 + 36 + 3
    assert not any(parameter.any() for conv in offsets for parameter in conv.parameters())
    x = torch.randn(1, layer.conv.in_channels, 9, 7)
    # The factor of every tap starts at sigmoid(0).
    expected = 0.5 * nn.functional.conv2d(x, layer.conv.weight, padding=1, groups=2)
    torch.testing.assert_close(layer.conv(x), expected, atol=1e-5, rtol=1e-5)
    backbone.train()
    maps = backbone(torch.randn(2, 3, 64, 96))
    assert [m.shape[1:] for m in maps] == [(64, 16, 24), (128, 8, 12), (256, 4, 6), (512, 2, 3)]
    sum(m.square().mean() for m in maps).backward()
    assert not without_gradient(backbone)


def test_neck_has_the_width_and_the_paths_of_the_grid():
    with torch.device('meta'):
        neck = MODELS.build(_config(8).model.neck)
    assert isinstance(neck, EnhancedFPG) and neck.stack_times == 9
    assert neck.inter_channels == [256] * 5
    assert neck.skip_inds == [(0, 1, 2, 3), (0, 1, 2), (0, 1), (0,), ()]


def test_base_of_htc_lite_is_the_fourth_row_on_plain_heads():
    base = Config.fromfile(ROOT / 'configs/_base_/models/htc-lite_r50_fpn.py').model
    row = _config(4).model
    different = {change.path for change in compare(base.roi_head.to_dict(), row.roi_head.to_dict())}
    assert different == {
        'bbox_head.type',
        'bbox_head.num_classes',
        'bbox_head.conv_out_channels',
        'bbox_head.norm_cfg',
        'mask_head.num_classes',
        'mask_head.norm_cfg',
        'mask_head.upsample_cfg',
    }
    assert base.train_cfg.rcnn == row.train_cfg.rcnn and base.type == row.type


def test_readme_says_what_each_row_changes_and_nothing_else():
    text = (FOLDER / 'README.md').read_text()
    said = re.findall(r'^### Row (\d+): .*?```text\n(.*?)```$', text, re.M | re.S)
    assert [int(row) for row, _ in said] == list(range(2, 13))
    for row, block in said:
        path = str(FOLDER / f'{ROWS[int(row) - 1]}.py')
        changes = compare(load_bases(path).to_dict(), load(path).to_dict())
        assert block.splitlines() == [str(change) for change in changes], f'row {row}'


NANO = {
    10: 'htc-lite_nano_efpg_tsd-scored-seesaw_random-6e_synthetic-tail',
    11: 'htc-lite_nano_efpg_tsd-scored-seesaw-finetuned_rfs5e-2-3e_synthetic-tail',
}


@pytest.mark.parametrize('row', NANO)
def test_nano_sibling_has_the_parts_of_the_full_system(row):
    full, nano = _config(row), Config.fromfile(FOLDER / f'{NANO[row]}.py')
    for part in ('type', 'neck', 'roi_head'):
        kinds, others = (_kinds(ConfigDict({part: cfg.model[part]})) for cfg in (full, nano))
        assert kinds == others
    steps, others = ([step.type for step in cfg.train_pipeline] for cfg in (full, nano))
    assert steps == others
    assert full.train_dataloader.sampler.type == nano.train_dataloader.sampler.type


def _kinds(node, path=''):
    """Return the type of every part by its path, but for that of norms."""
    found = set()
    for key, value in node.items():
        if key == 'type':
            found.add((path, value))
        elif isinstance(value, dict) and key not in ('norm_cfg', 'same_up_trans'):
            found |= _kinds(value, f'{path}.{key}')
    return found
