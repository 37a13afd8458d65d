"""HTC-Lite against HTC, the reason for its being: a training step, and a test.

ResNet-50 with FPN, the classes of LVIS, images of 640 x 480 pixels. Both have the same weights
wherever they have the same layers, and the context vectors are zero, computed nevertheless: so the
boxes of both must be the same.
"""

from pathlib import Path

from tools.benchmarks.item import Benchmark

ROOT = Path(__file__).resolve().parents[3]
NUM_CLASSES = 1203
NUM_IMAGES, HEIGHT, WIDTH, NUM_OBJECTS = 1, 480, 640, 12
NUM_PROPOSALS, NUM_DETECTIONS = 500, 100


def make_inputs() -> dict:
    """Both detectors, and a batch of random images with random objects."""
    import torch
    from mmengine.logging import MMLogger

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.testing import demo_mm_inputs
    from mmdet.utils import register_all_modules

    register_all_modules()
    # It logs to stdout, every initialised parameter in a line of its own.
    MMLogger.get_instance('htc_lite', log_level='ERROR')
    torch.manual_seed(0)
    htc, lite = build('htc_r50_fpn'), build('htc-lite_r50_fpn')
    shared = {k: v for k, v in htc.state_dict().items() if 'mask_head' not in k}
    lite.load_state_dict(shared, strict=False)
    with torch.no_grad():
        for parameter in lite.roi_head.context_head.convs.parameters():
            parameter.zero_()
    batch = demo_mm_inputs(
        NUM_IMAGES, (3, HEIGHT, WIDTH), [NUM_OBJECTS] * NUM_IMAGES, NUM_CLASSES, with_mask=True
    )
    for sample in batch['data_samples']:
        del sample.ignored_instances
    return dict(batch=batch, htc=htc, lite=lite)


def build(model: str) -> object:
    """A detector of ``configs/_base_/models``, with the classes of LVIS."""
    from mmengine.config import Config

    from mmdet.registry import MODELS

    cfg = Config.fromfile(ROOT / f'configs/_base_/models/{model}.py')
    classes = dict(num_classes=NUM_CLASSES)
    more = dict(
        backbone=dict(init_cfg=None),
        roi_head=dict(bbox_head=classes, mask_head=classes),
        train_cfg=dict(rpn_proposal=dict(max_per_img=NUM_PROPOSALS)),
        test_cfg=dict(
            rpn=dict(max_per_img=NUM_PROPOSALS),
            rcnn=dict(max_per_img=NUM_DETECTIONS, score_thr=0.0),
        ),
    )
    cfg.merge_from_dict(dict(model=more))
    detector = MODELS.build(cfg.model)
    detector.init_weights()
    return detector


def train(inputs: dict, side: str) -> dict:
    """Forward and backward with the same draws; returns the losses."""
    import copy

    import torch

    detector = inputs[side].train()
    detector.zero_grad()
    torch.manual_seed(0)
    data = detector.data_preprocessor(copy.deepcopy(inputs['batch']), training=True)
    total, log = detector.parse_losses(detector(**data, mode='loss'))
    total.backward()
    return {name: float(value) for name, value in log.items()}


def test(inputs: dict, side: str) -> object:
    """Detect and encode masks; returns the detections of the first image."""
    import copy

    import torch

    detector = inputs[side].eval()
    with torch.no_grad():
        return detector.test_step(copy.deepcopy(inputs['batch']))[0].pred_instances


def same_first_boxes(lite: dict, htc: dict) -> bool:
    """Whether both come to the same losses before masks make them differ."""
    names = ('loss_rpn_cls', 'loss_rpn_bbox', 's0.loss_cls', 's0.loss_bbox')
    close = all(abs(lite[n] - htc[n]) <= 1e-4 * abs(htc[n]) for n in names if n in htc)
    return close and 'loss_context' in lite and 's2.loss_mask' in lite


def same_boxes(lite: object, htc: object) -> bool:
    """Whether both find the same boxes with the same scores, and a mask for each."""
    import torch

    keys = ('bboxes', 'scores', 'labels')
    same = all(torch.equal(lite[key], htc[key]) for key in keys)
    return same and len(lite.masks) == len(htc.masks) == NUM_DETECTIONS


ITEMS = tuple(
    Benchmark(
        name=name,
        peer='HTC without the semantic branch',
        ours=lambda inputs, run=run: run(inputs, 'lite'),
        peer_run=lambda inputs, run=run: run(inputs, 'htc'),
        check=check,
        setup=make_inputs,
        repeats=3,
    )
    for name, run, check in (
        ('htc_lite_step', train, same_first_boxes),
        ('htc_lite_test', test, same_boxes),
    )
)
