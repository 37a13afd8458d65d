"""RefineMask with the 1,203 categories of LVIS: the label's masks alone against all of them."""

from tools.benchmarks.item import Benchmark

NUM_CLASSES = 1203
NUM_ROIS = 64
IMAGE_SIZE = 320


def make_head() -> dict:
    """A head at its usual width, an image's features, and RoIs with an object each."""
    from types import SimpleNamespace

    import numpy as np
    import torch
    from mmengine.structures import InstanceData

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from plugins.roi_heads.mask_heads import RefineMaskHead
    from plugins.structures import CropMasks

    torch.manual_seed(0)
    corners = torch.rand(NUM_ROIS, 2) * 200
    boxes = torch.cat([corners, corners + 20 + torch.rand(NUM_ROIS, 2) * 90], 1)
    windows = [
        (x1, y1, np.ones((y2 - y1 - 8, x2 - x1 - 8), np.uint8))
        for x1, y1, x2, y2 in boxes.int().tolist()
    ]
    masks = CropMasks.from_windows(windows, IMAGE_SIZE, IMAGE_SIZE)
    side = IMAGE_SIZE // 4
    return dict(
        head=RefineMaskHead(NUM_CLASSES),
        x=(torch.randn(1, 256, side, side),),
        feats=torch.randn(NUM_ROIS, 256, 14, 14),
        rois=torch.cat([torch.zeros(NUM_ROIS, 1), boxes], 1),
        labels=torch.randint(0, NUM_CLASSES, (NUM_ROIS,)),
        results=[SimpleNamespace(pos_priors=boxes, pos_assigned_gt_inds=torch.arange(NUM_ROIS))],
        objects=[InstanceData(masks=masks)],
    )


def forward_label(head: object, feats: object, labels: object) -> list:
    """Logits of every stage as the head makes them."""
    return head(feats)


def forward_all(head: object, feats: object, labels: object) -> list:
    """The same by way of the maps of every class, from the same weights."""
    import torch

    for convolution in head.instance_convs:
        feats = convolution(feats)
    rows = torch.arange(len(feats))
    logits = []
    for stage, predictor in enumerate(head.predictors()):
        maps = predictor(feats)
        chosen = labels if maps.shape[1] > 1 else torch.zeros_like(labels)
        logits.append(maps[rows, chosen][:, None])
        if stage < len(head.stages):
            feats = head.refine(stage, feats, logits[-1], head.seen_rois.rois)
    return logits


def predict(inputs: dict, forward: object) -> object:
    """Merged masks of the labels."""
    import torch

    head, labels = inputs['head'], inputs['labels']
    with torch.no_grad(), head.seeing_images(inputs['x']), head.seeing_rois(inputs['rois'], labels):
        return head.merge(forward(head, inputs['feats'], labels)).sigmoid()


def train(inputs: dict, forward: object) -> dict:
    """Losses and all gradients of a step."""
    head, labels = inputs['head'], inputs['labels']
    head.zero_grad()
    feats = inputs['feats'].detach().requires_grad_()
    with head.seeing_images(inputs['x']), head.seeing_rois(inputs['rois'], labels):
        logits = forward(head, feats, labels)
        terms = head.loss_and_target(logits, inputs['results'], inputs['objects'], {})['loss_mask']
        sum(terms.values()).backward()
    gradients = {name: parameter.grad for name, parameter in head.named_parameters()}
    return dict({key: term.detach() for key, term in terms.items()}, feats=feats.grad, **gradients)


def same_masks(ours: object, peers: object) -> bool:
    """Whether probabilities agree to the rounding of sums; thresholds may turn a few pixels."""
    return float(((ours - peers).abs() > 1e-4).float().mean()) <= 1e-4


def same_training(ours: dict, peers: dict) -> bool:
    """Whether losses and gradients agree to the rounding of sums."""
    return all(
        (value - peers[name]).abs().max() <= 1e-4 * value.abs().max()
        for name, value in ours.items()
    )


ITEMS = (
    Benchmark(
        name='refine_mask',
        peer='the same head with the maps of all 1203 classes, 64 RoIs',
        setup=make_head,
        ours=lambda inputs: predict(inputs, forward_label),
        peer_run=lambda inputs: predict(inputs, forward_all),
        check=same_masks,
        repeats=2,
    ),
    Benchmark(
        name='refine_mask_train',
        peer='the same, forward, losses and backward',
        setup=make_head,
        ours=lambda inputs: train(inputs, forward_label),
        peer_run=lambda inputs: train(inputs, forward_all),
        check=same_training,
        repeats=2,
    ),
)
