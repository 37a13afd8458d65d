"""Class-wise masks with the 1,203 categories of LVIS: the label's alone against all of them."""

from tools.benchmarks.item import Benchmark

NUM_CLASSES = 1203
NUM_STAGES = 3


def make_logits() -> dict:
    """Logits of 50 RoIs as the stages of a cascade give them, and labels."""
    import torch

    import plugins  # noqa: F401 mmdet imports mmcv.ops

    generator = torch.Generator().manual_seed(0)
    shape = 50, NUM_CLASSES, 28, 28
    return dict(
        stages=[torch.randn(shape, generator=generator) for _ in range(NUM_STAGES)],
        labels=torch.randint(0, NUM_CLASSES, shape[:1], generator=generator),
    )


def merge_ours(inputs: dict) -> object:
    """Select, then activate, then average."""
    from plugins.roi_heads.label_masks import merge_stages, pick_label

    return merge_stages(pick_label(stage, inputs['labels']) for stage in inputs['stages'])


def merge_stock(inputs: dict) -> object:
    """Activate and average every class; the head then selects."""
    from mmdet.models.test_time_augs import merge_aug_masks

    stages = [logits.sigmoid() for logits in inputs['stages']]
    merged = merge_aug_masks(stages, dict(flip=False))
    return merged[range(len(merged)), inputs['labels']]


def make_head() -> dict:
    """A mask head of an HTC stage at its usual width, and the features of 64 positive RoIs."""
    import numpy as np
    import torch
    from mmengine.structures import InstanceData

    import plugins  # noqa: F401
    from mmdet.models.roi_heads.mask_heads import HTCMaskHead
    from mmdet.structures.mask import BitmapMasks

    torch.manual_seed(0)
    count = 64
    head = HTCMaskHead(num_classes=NUM_CLASSES, with_conv_res=False)
    head.init_weights()
    objects = np.random.default_rng(0).integers(0, 2, (count, 64, 64), np.uint8)
    corners = torch.rand(count, 2) * 30
    roi = dict(
        pos_priors=torch.cat([corners, corners + 30], 1),
        pos_assigned_gt_inds=torch.arange(count),
        pos_gt_labels=torch.randint(0, NUM_CLASSES, (count,)),
    )
    return dict(
        head=head,
        feats=torch.randn(count, 256, 14, 14),
        roi=roi,
        objects=[InstanceData(masks=BitmapMasks(objects, 64, 64))],
    )


def predict_ours(inputs: dict) -> object:
    """Probabilities of the labels, from a head that makes no other class's."""
    import torch

    from plugins.roi_heads.label_masks import label_channel_only, merge_stages, pick_label

    labels = inputs['roi']['pos_gt_labels']
    with torch.no_grad(), label_channel_only([inputs['head']], labels):
        logits = inputs['head'](inputs['feats'], return_feat=False)
        return merge_stages([pick_label(logits, labels)])


def predict_stock(inputs: dict) -> object:
    """Probabilities of every class, of which the labels' are taken."""
    import torch

    labels = inputs['roi']['pos_gt_labels']
    with torch.no_grad():
        maps = inputs['head'](inputs['feats'], return_feat=False).sigmoid()
        return maps[range(len(maps)), labels]


def train_ours(inputs: dict) -> dict:
    """Forward and backward of the head and its loss in the context of our RoI heads."""
    from types import SimpleNamespace

    from plugins.roi_heads.label_masks import label_loss_only

    with label_loss_only(inputs['head'], [SimpleNamespace(**inputs['roi'])]) as results:
        return _train(inputs, results)


def train_stock(inputs: dict) -> dict:
    """The same without it."""
    from types import SimpleNamespace

    return _train(inputs, [SimpleNamespace(**inputs['roi'])])


def _train(inputs: dict, results: list) -> dict:
    from mmengine.config import ConfigDict

    head = inputs['head']
    head.zero_grad()
    feats = inputs['feats'].detach().requires_grad_()
    logits = head(feats, return_feat=False)
    terms = head.loss_and_target(logits, results, inputs['objects'], ConfigDict(mask_size=28))
    loss = terms['loss_mask']['loss_mask']
    loss.sum().backward()
    gradients = {name: p.grad for name, p in head.named_parameters()}
    return dict(loss=loss.detach(), feats=feats.grad, **gradients)


def same_bits(ours: object, stock: object) -> bool:
    """Whether the maps are equal."""
    import torch

    return torch.equal(ours, stock)


def same_maps(ours: object, stock: object) -> bool:
    """Whether probabilities agree to 1e-6, the rounding of a sum of 256 products."""
    return bool((ours - stock).abs().max() <= 1e-6)


def same_training(ours: dict, stock: dict) -> bool:
    """Whether the loss and all gradients agree to the rounding of float32 sums."""
    return all(
        (value - stock[name.replace('conv_logits.predictor', 'conv_logits')]).abs().max()
        <= 1e-5 * value.abs().max()
        for name, value in ours.items()
    )


ITEMS = (
    Benchmark(
        name='mask_select_merge',
        peer='sigmoid and merge_aug_masks of mmdet, 3 stages of 50 x 1203 x 28 x 28',
        setup=make_logits,
        ours=merge_ours,
        peer_run=merge_stock,
        check=same_bits,
        repeats=2,
    ),
    Benchmark(
        name='mask_select_predict',
        peer='mmdet HTCMaskHead, 64 RoIs, 1203 classes',
        setup=make_head,
        ours=predict_ours,
        peer_run=predict_stock,
        check=same_maps,
    ),
    Benchmark(
        name='mask_select_train',
        peer='mmdet HTCMaskHead, forward, loss and backward of 64 RoIs, 1203 classes',
        setup=make_head,
        ours=train_ours,
        peer_run=train_stock,
        check=same_training,
        repeats=3,
    ),
)
