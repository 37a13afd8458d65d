"""The mask heads of all RoI heads, trained on the label's channel: stock's losses on the same."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from torch import nn

from mmdet.models.losses import CrossEntropyLoss
from mmdet.models.roi_heads import CascadeRoIHead, HybridTaskCascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.mask_heads import CoarseMaskHead, FCNMaskHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from mmdet.structures.mask import BitmapMasks
from plugins.errors import UserError
from plugins.roi_heads.label_masks import (
    label_channel_only,
    merge_stages,
    pick_label,
    predicts_label_alone,
    trains_on_label_alone,
)
from tests.roi_heads.nano import CARAFE, NUM_CLASSES, nano_roi_head, pyramid
from tests.tensor_memory import TensorMemory

SIZES = dict(num_convs=1, in_channels=8, conv_out_channels=8)
UPSAMPLINGS = dict(
    deconv=dict(type='deconv', scale_factor=2),
    nearest=dict(type='nearest', scale_factor=2),
    bilinear=dict(type='bilinear', scale_factor=2),
    carafe=CARAFE,
    none=dict(type=None),
)
PREDICTORS = dict(
    plain=dict(type='Conv'),
    normalized=dict(type='NormalizedConv2d', temperature=20),
    normed=dict(type='NormedConv2d', tempearture=20),
)


def _mask_head(num_classes=6, **more):
    torch.manual_seed(0)
    head = MODELS.build({'type': 'FCNMaskHead', 'num_classes': num_classes, **SIZES, **more})
    head.init_weights()
    return head


@pytest.mark.parametrize('predictor', PREDICTORS)
@pytest.mark.parametrize('upsampling', UPSAMPLINGS)
def test_head_in_the_context_makes_the_labels_channel(upsampling, predictor):
    head = _mask_head(
        upsample_cfg=UPSAMPLINGS[upsampling], predictor_cfg=PREDICTORS[predictor]
    ).eval()
    feats, labels = torch.randn(4, 8, 14, 14), torch.tensor([5, 0, 5, 2])
    whole, names = head(feats), list(head.state_dict())
    with label_channel_only([head], labels):
        alone = head(feats)
    assert alone.shape == (4, 1, *whole.shape[2:])
    torch.testing.assert_close(alone[:, 0], pick_label(whole, labels), rtol=1e-6, atol=1e-5)
    assert torch.equal(head(feats), whole), 'afterwards the head is what it was'
    assert list(head.state_dict()) == names


def test_head_of_htc_also_hands_on_its_feature():
    head = _mask_head(type='HTCMaskHead')
    feats, before, labels = torch.randn(2, 8, 14, 14), torch.randn(2, 8, 14, 14), torch.ones(2)
    labels = labels.long()
    logits, feature = head(feats, before)
    with label_channel_only([head], labels):
        alone, same = head(feats, before)
        assert torch.equal(head(feats, before, return_logits=False), feature)
    assert torch.equal(same, feature)
    torch.testing.assert_close(alone[:, 0], logits[:, 1], rtol=1e-6, atol=1e-6)


def test_parts_are_put_back_after_an_error():
    head = _mask_head()
    predictor, relu = head.conv_logits, head.relu
    with pytest.raises(RuntimeError), label_channel_only([head], torch.zeros(1).long()):
        head(torch.zeros(1, 5, 14, 14))
    assert head.conv_logits is predictor and head.relu is relu


class _Smoothed(FCNMaskHead):
    """Looks at its logits once more: the label's channel alone would be wrong."""

    def forward(self, x):
        return super().forward(x) - super().forward(x).mean(1, keepdim=True)


class _OwnLoss(FCNMaskHead):
    """Might look at every channel in its loss."""

    def loss_and_target(self, *args):
        return super().loss_and_target(*args)


class _WiderPredictor(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * 2


def _odd_predictor():
    head = FCNMaskHead(num_classes=6, **SIZES)
    head.conv_logits = _WiderPredictor(8, 6, 1)
    return head


@pytest.mark.parametrize(
    'make',
    [
        lambda: _Smoothed(num_classes=6, **SIZES),
        lambda: FCNMaskHead(num_classes=6, class_agnostic=True, **SIZES),
        lambda: CoarseMaskHead(num_fcs=1, fc_out_channels=8, num_classes=6, **SIZES),
        _odd_predictor,
    ],
    ids=['forward', 'agnostic', 'coarse', 'predictor'],
)
def test_head_that_is_not_understood_makes_all_it_has(make):
    torch.manual_seed(0)
    head = make()
    assert not predicts_label_alone(head)
    feats = torch.randn(3, 8, 14, 14)
    whole = head(feats)
    with label_channel_only([head], torch.tensor([1, 2, 3])):
        assert torch.equal(head(feats), whole)


def test_loss_that_wants_every_channel_gets_them():
    head = _mask_head()
    assert trains_on_label_alone(head)
    head.loss_mask = CrossEntropyLoss(use_sigmoid=True)
    assert not trains_on_label_alone(head) and predicts_label_alone(head)
    assert not trains_on_label_alone(_OwnLoss(num_classes=6, **SIZES))


def test_merge_is_that_of_stock_bit_by_bit():
    generator = torch.Generator().manual_seed(0)
    stages = [torch.randn(9, 6, 7, 7, generator=generator) * 4 for _ in range(3)]
    labels = torch.arange(9) % 6
    merged = torch.stack([stage.sigmoid() for stage in stages]).mean(0)
    found = merge_stages(pick_label(stage, labels) for stage in stages)
    assert torch.equal(found, merged[range(9), labels])


def test_stages_of_different_sizes_cannot_be_averaged():
    with pytest.raises(UserError, match='mask_merge'):
        merge_stages([torch.zeros(2, 28, 28), torch.zeros(2, 112, 112)])


STOCK = {
    'mask-rcnn': StandardRoIHead,
    'cascade-mask-rcnn': CascadeRoIHead,
    'htc': HybridTaskCascadeRoIHead,
}


def _samples(counts, classes=NUM_CLASSES, num_negative=2):
    """RoIs of images with some positives, each of an object of its own, and the objects."""
    generator = np.random.default_rng(0)
    results, objects = [], []
    for count in counts:
        corner = generator.uniform(0, 60, (count + num_negative, 2))
        boxes = torch.from_numpy(np.concatenate([corner, corner + 50], 1)).float()
        results.append(
            SimpleNamespace(
                pos_priors=boxes[:count],
                neg_priors=boxes[count:],
                priors=boxes,
                pos_assigned_gt_inds=torch.arange(count),
                pos_gt_labels=torch.from_numpy(generator.integers(0, classes, count)),
            )
        )
        masks = generator.integers(0, 2, (count, 128, 128)).astype(np.uint8)
        objects.append(InstanceData(masks=BitmapMasks(masks, 128, 128)))
    return results, objects


def _loss(owner, head, features, samples, stage):
    """The mask loss as the class ``owner`` computes it, and the gradients of the mask head."""
    results, objects = samples
    head.zero_grad()
    if isinstance(head, StandardRoIHead):
        feats = None
        if head.share_roi_extractor:
            rois = bbox2roi([result.priors for result in results])
            feats = head.bbox_roi_extractor(features[:4], rois)
            feats = head.shared_head(feats) if head.with_shared_head else feats
        terms = owner.mask_loss(head, features, results, feats, objects)
        mask_head = head.mask_head
    else:
        head.current_stage = stage
        terms = owner.mask_loss(head, stage, features, results, objects)
        mask_head = head.mask_head[stage]
    loss = terms['loss_mask']['loss_mask'].sum()
    loss.backward()
    return loss.detach(), [(name, p.grad) for name, p in mask_head.named_parameters()]


def _roi_head(name, **more):
    torch.manual_seed(0)
    return nano_roi_head(name, **more)


def _assert_stocks_loss(name, head, counts=(3, 0, 2), stage=None):
    features, samples = pyramid(len(counts)), _samples(counts)
    mine, gradients = _loss(type(head), head, features, samples, stage)
    stocks, expected = _loss(STOCK[name], head, features, samples, stage)
    torch.testing.assert_close(mine, stocks, rtol=1e-6, atol=1e-7)
    assert any(gradient.any() for _, gradient in gradients) == (sum(counts) > 0)
    for (key, found), (_, wanted) in zip(gradients, expected, strict=True):
        assert (found is None) == (wanted is None), key
        if found is not None:
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('counts', [(3, 0, 2), (0, 0)], ids=str)
@pytest.mark.parametrize(
    ('name', 'stage'), [('mask-rcnn', None), ('cascade-mask-rcnn', 1), ('htc', 0), ('htc', 2)]
)
def test_loss_and_gradients_are_those_of_stock(name, stage, counts):
    _assert_stocks_loss(name, _roi_head(name), counts, stage)


@pytest.mark.parametrize('predictor', ['normalized', 'normed'])
def test_loss_of_a_normalised_predictor_is_that_of_stock(predictor):
    more = dict(mask_head=dict(predictor_cfg=PREDICTORS[predictor], upsample_cfg=CARAFE))
    _assert_stocks_loss('mask-rcnn', _roi_head('mask-rcnn', roi_head=more))


@pytest.mark.parametrize('shared_head', [False, True])
def test_loss_from_the_features_of_the_boxes_is_that_of_stock(shared_head):
    """Without an extractor of its own the mask branch takes the features of the box branch."""
    head = _roi_head('mask-rcnn', train_cfg=dict(rcnn=dict(mask_size=14)))
    head.mask_roi_extractor, head.share_roi_extractor = head.bbox_roi_extractor, True
    if shared_head:
        head.shared_head = nn.Conv2d(16, 16, 3, padding=1)
    _assert_stocks_loss('mask-rcnn', head)


@pytest.mark.parametrize('known', [True, False])
def test_only_a_known_predictor_is_replaced(monkeypatch, known):
    """Which path ran shows in the number of channels that reached the loss."""
    head = _roi_head('mask-rcnn')
    if not known:
        head.mask_head.conv_logits = _WiderPredictor(16, NUM_CLASSES, 1)
    seen = []
    stocks = CrossEntropyLoss.forward
    monkeypatch.setattr(
        head.mask_head.loss_mask,
        'forward',
        lambda pred, *args: seen.append(pred.shape[1])
        or stocks(head.mask_head.loss_mask, pred, *args),
    )
    _assert_stocks_loss('mask-rcnn', head)
    assert seen == [1 if known else NUM_CLASSES, NUM_CLASSES]


def test_sampling_results_keep_their_labels():
    head = _roi_head('mask-rcnn')
    samples = _samples((3, 1))
    labels = [result.pos_gt_labels.clone() for result in samples[0]]
    _loss(type(head), head, pyramid(2), samples, None)
    assert all(torch.equal(r.pos_gt_labels, own) for r, own in zip(samples[0], labels, strict=True))


@pytest.mark.parametrize('name', ['mask-rcnn', 'htc'])
def test_training_takes_the_same_memory_with_2_and_with_1203_classes(name):
    peaks = []
    for classes in (2, 1203):
        head = _roi_head(name, roi_head=dict(mask_head=dict(num_classes=classes)))
        samples = _samples((24,), classes)
        with TensorMemory() as memory:
            _loss(type(head), head, pyramid(), samples, 2)
        peaks.append(memory.peak)
    assert peaks[1] <= 1.1 * peaks[0]
