"""A whole test run, from the images to the AP, with our RoI heads or with stock's."""

import contextlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmengine.config import Config, ConfigDict

    from mmdet.structures import DetDataSample

ROOT = Path(__file__).resolve().parents[2]
STOCK_HEADS = {
    'UniformRoIHead': 'StandardRoIHead',
    'UniformCascadeRoIHead': 'CascadeRoIHead',
}
WINDOW = 3  # images


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


def image_loader(test_set: TestSet) -> 'ConfigDict':
    """Config of the data loader of a test on the images, read in this process."""
    from mmengine.config import Config

    base = Config.fromfile(ROOT / 'configs/_base_/datasets/lvis-format_instance.py')
    loader = base.test_dataloader
    loader.update(num_workers=0, persistent_workers=False)
    loader.dataset.update(data_root=str(test_set.root), ann_file=str(test_set.annotations))
    loader.dataset.pipeline[1].scale = (640, 480)
    return loader


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


def differences(
    ours: TestRun, stock: TestRun, *, ap_tolerance: float, share_tolerance: float
) -> list[str]:
    """Say whether detections are not the same, and which AP differs by more than allowed.

    Args:
        ours, stock: Runs on the same images.
        ap_tolerance: Of AP values.
        share_tolerance: Share of the detections that may be found by one side alone. Stock moves
            boxes apart by a multiple of their class before it suppresses, and the rounded sums
            change its decisions where the IoU is near the threshold.
    """
    found = [Counter(_keys(run)) for run in (ours, stock)]
    alone = max((found[0] - found[1]).total(), (found[1] - found[0]).total())
    total = max(one.total() for one in found)
    problems = []
    if alone > share_tolerance * total:
        problems.append(f'{alone} of {total} detections are found by one side alone')
    return problems + [
        f'{key} is {ours.metrics.get(key)}, not {value}'
        for key, value in stock.metrics.items()
        if not abs(ours.metrics.get(key, np.inf) - value) <= ap_tolerance
    ]


def _keys(run: TestRun) -> Iterator[tuple]:
    """Image, label, score and box of every detection, to 1e-3 pixels and 1e-6 of the score."""
    digits = np.array([0, 6, 3, 3, 3, 3])
    for image, rows in enumerate(run.detections):
        for row in np.rint(rows * 10.0**digits).astype(np.int64).tolist():
            yield (image, *row)


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
            test_dataloader=image_loader(test_set),
            test_evaluator=evaluator,
            test_cfg=dict(type='TestLoop'),
            load_from=str(checkpoint),
            work_dir=work_dir,
            # The default is the time in seconds: two quick runs would share what is named by it.
            experiment_name=Path(work_dir).name,
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
    found = sample.pred_instances
    columns = (found.labels[:, None], found.scores[:, None], found.bboxes)
    return np.concatenate([column.double().cpu().numpy() for column in columns], 1)


def _resident_mb() -> Iterator[float]:
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:
        return
    yield from (int(line.split()[1]) / 1024 for line in lines if line.startswith('VmRSS'))
