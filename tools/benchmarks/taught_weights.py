"""Weights that let an untrained detector find the objects of some images, in seconds."""

from pathlib import Path
from typing import TYPE_CHECKING

from tools.benchmarks.whole_test import TestSet, image_loader

if TYPE_CHECKING:
    from mmengine.config import ConfigDict
    from torch import Tensor, nn

CERTAINTY = 14.0  # logit of an object's category
SPREAD = 1.5  # standard deviation of the logits of the other categories
BACKGROUND = 9.0  # logit; with it some 40 % of all scores are above 1e-4, as of trained models
MASK_BIAS = 0.5  # logit: masks fill most of their boxes
RIDGE = 1e-3  # of the regression, as a share of the largest variance


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
    dataset = DATASETS.build(image_loader(test_set).dataset)
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
