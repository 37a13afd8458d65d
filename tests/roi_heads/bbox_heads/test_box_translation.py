import pytest
import torch

from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.registry import TASK_UTILS
from plugins.errors import UserError
from plugins.roi_heads.bbox_heads.box_translation import check_coder, translate_deltas
from tests.roi_heads.bbox_heads.tsd import read_golden

STDS = (0.1, 0.2, 0.3, 0.4)
CODER = DeltaXYWHBBoxCoder(target_stds=STDS, clip_border=False)


def _scene(num_classes=1, count=6):
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(count, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 10 + torch.rand(count, 2, generator=generator) * 30], 1)
    deltas = torch.randn(count, 4 * num_classes, generator=generator)
    translation = torch.randn(count, 2, generator=generator) * 0.1
    return boxes, deltas, translation


def _moved(boxes, translation):
    return boxes + ((boxes[:, 2:] - boxes[:, :2]) * translation).repeat(1, 2)


@pytest.mark.parametrize('num_classes', [1, 3])
def test_decoded_boxes_are_those_of_the_moved_box(num_classes):
    boxes, deltas, translation = _scene(num_classes)
    found = CODER.decode(boxes, translate_deltas(deltas, translation, CODER))
    torch.testing.assert_close(found, CODER.decode(_moved(boxes, translation), deltas))


def test_loss_and_gradients_are_those_of_targets_of_the_moved_box():
    boxes, deltas, translation = _scene()
    objects = boxes + torch.arange(24.0).view(6, 4) / 4
    losses, gradients = [], []
    for is_moved in (False, True):
        d, t = deltas.clone().requires_grad_(), translation.clone().requires_grad_()
        if is_moved:
            targets = CODER.encode(_moved(boxes, t), objects)
            loss = torch.nn.functional.smooth_l1_loss(d, targets)
        else:
            targets = CODER.encode(boxes, objects)
            loss = torch.nn.functional.smooth_l1_loss(translate_deltas(d, t, CODER), targets)
        losses.append(loss)
        gradients.append(torch.autograd.grad(loss, (d, t)))
    torch.testing.assert_close(*losses)
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert gradients[0][1].any()


def test_targets_of_the_published_code(shared):
    golden = read_golden(shared, 'tsd_target_a')
    coder = DeltaXYWHBBoxCoder(target_stds=golden['target_stds'].tolist())
    images = range(3)
    positives = golden['bbox_weights'][:, 0] > 0
    delta_r = torch.cat([golden[f'delta_r.{n}'] for n in images])[positives]
    targets, moved = golden['bbox_targets'][positives], golden['tsd_bbox_targets'][positives]
    assert len(targets) == 7
    torch.testing.assert_close(
        translate_deltas(moved, 0.1 * delta_r, coder), targets, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ('coder', 'message'),
    [
        (dict(type='DeltaXYWHBBoxCoder', target_means=(0, 0.1, 0, 0)), 'target_means is'),
        (dict(type='DeltaXYWHBBoxCoder', add_ctr_clamp=True), 'add_ctr_clamp=True'),
        (dict(type='TBLRBBoxCoder'), "'DeltaXYWHBBoxCoder'"),
        (dict(type='DeltaXYWHBBoxCoderForGLIP'), "'DeltaXYWHBBoxCoder'"),
    ],
)
def test_coder_that_is_not_exact_is_refused(coder, message):
    check_coder(CODER)
    with pytest.raises(UserError, match=rf'roi_head\.bbox_head\.bbox_coder.*{message}'):
        check_coder(TASK_UTILS.build(coder))
