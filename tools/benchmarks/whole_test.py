"""A whole test run, from the images to the AP, with our RoI heads or with stock's."""

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmengine.config import Config, ConfigDict
    from torch import Tensor, nn

    from mmdet.structures import DetDataSample

ROOT = Path(__file__).resolve().parents[2]
STOCK_HEADS = {
    'UniformRoIHead': 'StandardRoIHead',
    'UniformCascadeRoIHead': 'CascadeRoIHead',
}
CERTAINTY = 14.0  # logit of an object's category
SPREAD = 1.5  # standard deviation of the logits of the other categories
BACKGROUND = 9.0  # logit; with it some 40 % of all scores are above 1e-4, as of trained models
MASK_BIAS = 0.5  # logit: masks fill most of their boxes
WINDOW = 3  # images
RIDGE = 1e-3  # of the regression, as a share of the largest variance


@dataclass(frozen=True)
class TestSet:
    """Some images of the built-in set.

    Args:
        root: Folder of images and annotations.
        annotations: Path of their annotation file, with all categories of the set.
        num_classes: Categories.
    """

    __test__ = False  # for pytest, whatever the name looks like

    root: Path
    annotations: Path
    num_classes: int


@dataclass(frozen=True)
class TestRun:
    """What a test found and took.

    Args:
        metrics: AP values by name.
        detections: Of every image float64 (N, 6): label, score, x1, y1, x2, y2.
        resident: Memory of the process after every image in MiB; empty if unknown.
    """

    __test__ = False

    metrics: dict[str, float]
    detections: list[np.ndarray]
    resident: list[float]


def make_test_set(folder: Path, *, categories: int, images: int, size: tuple[int, int]) -> TestSet:
    """Generate the built-in set and take the first images of its validation split.

    Args:
        folder: Where to.
        categories: Of the set, however many of them are in the images.
        images: To take.
        size: Width and height in pixels.
    """
    from tools.data.synthetic import SyntheticOptions, generate_dataset

    # So many images can show all categories, as the generator demands of both splits.
    number = max(images, categories // 8)
    options = SyntheticOptions(
        categories=categories, train_images=number, val_images=number, min_size=size, max_size=size
    )
    made = generate_dataset(folder, options, workers=1, progress=False)
    data = json.loads(made.val_annotations.read_text())
    data['images'] = data['images'][:images]
    chosen = {image['id'] for image in data['images']}
    data['annotations'] = [a for a in data['annotations'] if a['image_id'] in chosen]
    annotations = folder / 'annotations' / 'some.json'
    annotations.write_text(json.dumps(data))
    return TestSet(folder, annotations, categories)


def nano_model(name: str, num_classes: int, max_per_img: int) -> 'ConfigDict':
    """Config of a nano ``mask-rcnn`` or ``cascade-mask-rcnn`` that gives many detections."""
    from mmengine.config import Config

    nano = Config.fromfile(ROOT / 'configs/_base_/models/mask-rcnn_nano_fpn.py').model
    model = Config.fromfile(ROOT / f'configs/_base_/models/{name}_r50_fpn.py').model
    model.backbone, model.neck, model.rpn_head = nano.backbone, nano.neck, nano.rpn_head
    model.train_cfg = None
    for part in ('bbox_roi_extractor', 'bbox_head', 'mask_roi_extractor', 'mask_head'):
        small = {
            key: value
            for key, value in nano.roi_head[part].items()
            if key.endswith('channels') or key == 'num_convs'
        }
        model.roi_head[part].update(small)
    model.roi_head.bbox_head.update(num_classes=num_classes, fc_out_channels=256)
    model.roi_head.mask_head.num_classes = num_classes
    # Of every level of the pyramid: an untrained network would take small boxes alone.
    model.test_cfg.rpn.update(nms_pre=240, max_per_img=1000)
    model.test_cfg.rcnn.update(score_thr=1e-4, max_per_img=max_per_img)
    return model


def stock_model(model: 'ConfigDict') -> 'ConfigDict':
    """The same detector with mmdet's RoI head, whose parameters have the same names."""
    import copy

    from plugins.roi_heads.stages import expand_stages

    model = copy.deepcopy(model)
    head = model.roi_head
    head.type = STOCK_HEADS[head.type]
    if 'num_stages' in head:
        for part in ('bbox_head', 'mask_head'):
            head[part] = expand_stages(head[part], head.num_stages, f'roi_head.{part}')
    return model


def make_weights(model: 'ConfigDict', test_set: TestSet, path: Path, seed: int = 0) -> Path:
    """Write a checkpoint whose classifiers know the objects of the test set.

    The network is random. On its features of the objects and of other boxes every classifier is a
    ridge regression to the category; categories without an object get random scores. So detections
    are many and spread over all categories as those of a trained model, and AP is not zero.
    """
    import torch
    from mmengine.logging import MMLogger

    from mmdet.registry import DATASETS, MODELS

    torch.manual_seed(seed)
    detector = MODELS.build(model)
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')  # or every tensor is reported
    detector.init_weights()
    logger.setLevel(level)
    detector.eval()
    heads = detector.roi_head.bbox_head
    heads = list(heads) if isinstance(heads, torch.nn.ModuleList) else [heads]
    dataset = DATASETS.build(_data_config(test_set).dataset)
    with torch.no_grad():
        found = [_labelled_boxes(detector, dataset[index]) for index in range(len(dataset))]
        for head in heads:
            _teach(detector, head, found)
        for name, parameter in detector.named_parameters():
            if name.endswith('conv_logits.bias'):
                parameter.fill_(MASK_BIAS)
    meta = dict(dataset_meta=dict(classes=dataset.metainfo['classes']))
    torch.save(dict(state_dict=detector.state_dict(), meta=meta), path)
    return path


def run_test(model: 'ConfigDict', test_set: TestSet, checkpoint: Path) -> TestRun:
    """Test a detector as ``tools/test.py`` does."""
    from plugins.runtime import build_runner

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        runner = build_runner(
            _test_config(model, test_set, checkpoint, folder), whole_checkpoint=True
        )
        runner.register_hook(dict(type='mmdet.StreamedResultsHook'))
        record = _record_of(runner)
        metrics = runner.test()
    return TestRun(dict(metrics), record.detections, record.resident)


def growth_mb(run: TestRun, *, after: int) -> float:
    """How much more memory the process has after the last images than around number ``after``.

    Both are the lowest of three images in a row: the allocator gives memory back when it likes, so
    that single values differ by a hundred MiB.
    """
    if len(run.resident) < after + WINDOW:
        return 0.0
    return min(run.resident[-WINDOW:]) - min(run.resident[after - WINDOW : after])


def differences(ours: TestRun, stock: TestRun, *, tolerance: float) -> list[str]:
    """Say where boxes, scores or labels are not equal, and which AP differs by more than allowed.

    Equal scores may stand in any order.

    Args:
        ours, stock: Runs on the same images.
        tolerance: Of AP values.
    """
    pairs = zip(ours.detections, stock.detections, strict=True)
    unequal = [
        f'image {number}: detections differ'
        for number, (a, b) in enumerate(pairs)
        if a.shape != b.shape or not np.allclose(a, b, rtol=1e-6, atol=1e-4)
    ]
    return unequal + [
        f'{key} is {ours.metrics.get(key)}, not {value}'
        for key, value in stock.metrics.items()
        if not abs(ours.metrics.get(key, np.inf) - value) <= tolerance
    ]


def _data_config(test_set: TestSet) -> 'ConfigDict':
    from mmengine.config import Config

    base = Config.fromfile(ROOT / 'configs/_base_/datasets/lvis-format_instance.py')
    loader = base.test_dataloader
    loader.update(num_workers=0, persistent_workers=False)
    loader.dataset.update(data_root=str(test_set.root), ann_file=str(test_set.annotations))
    loader.dataset.pipeline[1].scale = (640, 480)
    return loader


def _test_config(
    model: 'ConfigDict', test_set: TestSet, checkpoint: Path, work_dir: str
) -> 'Config':
    from mmengine.config import Config

    caps = [300, model.test_cfg.rcnn.max_per_img]
    evaluator = dict(
        type='LVISProtocolMetric', ann_file=str(test_set.annotations), max_dets=sorted({*caps})
    )
    return Config(
        dict(
            model=model,
            test_dataloader=_data_config(test_set),
            test_evaluator=evaluator,
            test_cfg=dict(type='TestLoop'),
            load_from=str(checkpoint),
            work_dir=work_dir,
            default_scope='mmdet',
            log_level='WARNING',
        )
    )


def _record_of(runner: object) -> object:
    """Register a hook that notes detections and memory after every image."""
    from mmengine.hooks import Hook

    class Record(Hook):
        def __init__(self) -> None:
            self.detections: list[np.ndarray] = []
            self.resident: list[float] = []

        def after_test_iter(
            self, runner: object, batch_idx: int, data_batch: dict, outputs: 'list[DetDataSample]'
        ) -> None:
            self.detections.extend(_as_rows(sample) for sample in outputs)
            self.resident.extend(_resident_mb())

    record = Record()
    runner.register_hook(record, priority='LOWEST')
    return record


def _as_rows(sample: 'DetDataSample') -> np.ndarray:
    """Detections as numbers, in an order that equal scores do not change."""
    found = sample.pred_instances
    columns = (found.labels[:, None], found.scores[:, None], found.bboxes)
    rows = np.concatenate([column.double().cpu().numpy() for column in columns], 1)
    return rows[np.lexsort((*rows[:, :1:-1].T, rows[:, 0], -rows[:, 1]))]


def _resident_mb() -> Iterator[float]:
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:
        return
    yield from (int(line.split()[1]) / 1024 for line in lines if line.startswith('VmRSS'))


def _labelled_boxes(
    detector: 'nn.Module', sample: dict
) -> 'tuple[tuple[Tensor, ...], Tensor, Tensor]':
    """Features of an image, RoIs float (R, 5), and the label of each, -1 for background."""
    import torch

    from mmdet.structures.bbox import bbox2roi, bbox_overlaps, get_box_tensor

    batch = detector.data_preprocessor(
        dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]), False
    )
    features = detector.extract_feat(batch['inputs'])
    (meta,) = (one.metainfo for one in batch['data_samples'])
    # Annotations of a test set are in pixels of the file.
    factors = torch.tensor(meta['scale_factor']).repeat(2)
    truth = batch['data_samples'][0].gt_instances
    boxes = get_box_tensor(truth.bboxes).float() * factors
    others = detector.rpn_head.predict(features, batch['data_samples'], rescale=False)[0].bboxes
    overlap, nearest = bbox_overlaps(others, boxes).max(1)
    labels = torch.where(overlap >= 0.5, truth.labels[nearest], -1)
    is_clear = (overlap >= 0.5) | (overlap < 0.3)
    rois = bbox2roi([torch.cat([boxes, others[is_clear]])])
    return features, rois, torch.cat([truth.labels, labels[is_clear]])


def _teach(detector: 'nn.Module', head: 'nn.Module', images: list[tuple]) -> None:
    """Fit the classifier of a box head; its boxes stay where the proposals are."""
    import torch

    extractor = detector.roi_head.bbox_roi_extractor
    extractor = extractor[-1] if isinstance(extractor, torch.nn.ModuleList) else extractor
    seen: list[Tensor] = []
    handle = head.fc_cls.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for features, rois, _ in images:
        head(extractor(features[: extractor.num_inputs], rois))
    handle.remove()
    inputs, labels = torch.cat(seen), torch.cat([labels for *_, labels in images])
    targets = torch.zeros(len(labels), head.num_classes)
    is_object = labels >= 0
    targets[is_object, labels[is_object]] = CERTAINTY
    centre = inputs.mean(0)
    inputs = inputs - centre
    gram = inputs.T @ inputs
    gram += RIDGE * gram.diagonal().max() * torch.eye(len(gram))
    weight = torch.linalg.solve(gram, inputs.T @ targets).T
    weight += torch.randn_like(weight) * SPREAD / inputs.pow(2).sum(1).mean().sqrt()
    head.fc_cls.weight.zero_()
    head.fc_cls.weight[:-1] = weight
    head.fc_cls.bias.zero_()
    head.fc_cls.bias[:-1] = -weight @ centre
    head.fc_cls.bias[-1] = BACKGROUND
    head.fc_reg.weight.zero_()
    head.fc_reg.bias.zero_()
