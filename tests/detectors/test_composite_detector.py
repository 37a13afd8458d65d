import copy

import pytest
import torch
from mmengine.structures import InstanceData

from plugins.errors import UserError
from tests.roi_heads.nano import (
    NUM_CLASSES,
    assert_same_detections,
    box_heads,
    nano_model,
)
from tests.steps import build_detector, make_batch, test_step, train_step, without_gradient

RESNET = dict(type='CBResNet')
SWIN = dict(
    _delete_=True,
    type='CBSwinTransformer',
    embed_dims=8,
    depths=[1, 1, 1, 1],
    num_heads=[1, 1, 2, 2],
    window_size=4,
)
SEESAW = dict(bbox_head=dict(loss_cls=dict(_delete_=True, type='SyncSeesawLoss')))
NOTHING_PROPOSED = dict(rpn_proposal=dict(min_bbox_size=10**6))

each_model = pytest.mark.parametrize('name', ['mask-rcnn', 'cascade-mask-rcnn', 'htc'])
each_backbone = pytest.mark.parametrize('backbone', [RESNET, SWIN], ids=['resnet', 'swin'])


def _composite(name='mask-rcnn', backbone=SWIN, **more):
    torch.manual_seed(0)
    more = dict(type='CompositeDetector', backbone=backbone, **more)
    return build_detector(nano_model(name, **more))


def _plain(name, like, **more):
    detector = build_detector(nano_model(name, backbone=SWIN, **more))
    detector.load_state_dict(like.state_dict())
    return detector


def _losses(detector, seed=3, **batch):
    torch.manual_seed(seed)
    return train_step(detector, make_batch(NUM_CLASSES, **batch))


def _record_proposals(detector, monkeypatch):
    """Write down what the RoI head is given, and what it leaves of it."""
    given = []
    original = detector.roi_head.loss

    def loss(x, proposals, samples):
        given.append((proposals, [p.bboxes.clone() for p in proposals]))
        return original(x, proposals, samples)

    monkeypatch.setattr(detector.roi_head, 'loss', loss)
    return given


@each_backbone
@each_model
@pytest.mark.parametrize('num_objects', [3, 0])
def test_all_pyramids_train_everything(name, backbone, num_objects):
    detector = _composite(name, backbone)
    losses = _losses(detector, num_objects=num_objects, num_images=2)
    assert without_gradient(detector) == []
    assert all(map(torch.isfinite, map(torch.tensor, losses.values())))
    lead = {n for n in losses if not n.endswith('_assistant1')} - {'loss'}
    assert {n for n in losses if n not in lead} == {f'{n}_assistant1' for n in lead} | {'loss'}
    parts = [value for n, value in losses.items() if 'loss' in n and n != 'loss']
    assert losses['loss'] == pytest.approx(sum(parts), rel=1e-5)
    assert lead == set(_losses(_plain(name, detector))) - {'loss'} if backbone is SWIN else lead


@each_model
@pytest.mark.parametrize('num_objects', [3, 0])
def test_everything_trains_where_nothing_was_proposed(name, num_objects):
    detector = _composite(name, train_cfg=NOTHING_PROPOSED)
    losses = _losses(detector, num_objects=num_objects)
    assert without_gradient(detector) == []
    assert losses['loss_no_proposal'] == losses['loss_no_proposal_assistant1'] == 0


@each_model
def test_without_assistants_the_losses_are_those_of_the_plain_detector(name):
    detector = _composite(name, pyramid_loss_weights=[0, 1])
    found, expected = _losses(detector), _losses(_plain(name, detector))
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-6), key
    assert all(found[n] == 0 for n in found if 'loss' in n and n.endswith('_assistant1'))
    assert any(n.endswith('acc_assistant1') for n in found)


@each_model
def test_predictions_are_those_of_the_plain_detector(name):
    detector = _composite(name)
    batch = make_batch(NUM_CLASSES, num_images=2)
    found = test_step(detector, copy.deepcopy(batch))
    expected = test_step(_plain(name, detector), batch)
    for sample, other in zip(found, expected, strict=True):
        assert_same_detections(sample.pred_instances, other.pred_instances)


def test_losses_of_assistants_are_weighted_and_their_accuracies_are_not():
    options = dict(backbone=dict(SWIN, num_backbones=3))
    found = _losses(_composite(**options))
    assert _composite(**options).pyramid_loss_weights == (0.5, 1.0, 1.0)
    plain = _losses(_composite(**options, pyramid_loss_weights=[1, 1, 1]))
    double = _losses(_composite(**options, pyramid_loss_weights=[1, 2, 3]))
    assert any(n.endswith('_assistant2') for n in found) and found.keys() == plain.keys()
    for key in found.keys() - {'loss'}:
        number = int(key[-1]) if '_assistant' in key else 3
        weighted = 'loss' in key
        factor, other = ((0.5, 1, 1)[number - 1], number) if weighted else (1, 1)
        assert found[key] == pytest.approx(factor * plain[key], rel=1e-5)
        assert double[key] == pytest.approx(other * plain[key], rel=1e-5)


def test_all_roi_passes_get_the_proposals_of_the_lead(monkeypatch):
    detector = _composite(backbone=dict(SWIN, num_backbones=3))
    given = _record_proposals(detector, monkeypatch)
    _losses(detector)
    proposals, boxes = zip(*given, strict=True)
    assert len(given) == 3 and len(boxes[0][0])
    assert all(torch.equal(b[0], boxes[0][0]) for b in boxes)
    assert len({id(p[0]) for p in proposals}) == 3
    torch.manual_seed(3)
    data = detector.data_preprocessor(make_batch(NUM_CLASSES), training=True)
    lead = detector.extract_pyramids(data['inputs'])[-1]
    cfg = detector.train_cfg.rpn_proposal
    metas = [sample.metainfo for sample in data['data_samples']]
    found = detector.rpn_head.predict_by_feat(
        *detector.rpn_head(lead), batch_img_metas=metas, cfg=cfg
    )
    torch.testing.assert_close(found[0].bboxes, boxes[0][0])


def test_given_proposals_replace_an_rpn(monkeypatch):
    config = nano_model('mask-rcnn', type='CompositeDetector', backbone=SWIN)
    config.rpn_head = None
    detector = build_detector(config)
    given = _record_proposals(detector, monkeypatch)
    batch = make_batch(NUM_CLASSES)
    sample = batch['data_samples'][0]
    sample.proposals = InstanceData(bboxes=sample.gt_instances.bboxes + 1)
    losses = train_step(detector, batch)
    assert not any('rpn' in n for n in losses) and len(given) == 2
    assert without_gradient(detector) == []


def test_annotations_are_left_as_they_are():
    detector = _composite()
    batch = make_batch(NUM_CLASSES)
    data = detector.data_preprocessor(copy.deepcopy(batch), training=True)
    detector(**data, mode='loss')
    before, after = batch['data_samples'][0].gt_instances, data['data_samples'][0].gt_instances
    assert torch.equal(before.labels, after.labels) and before.labels.any()
    assert torch.equal(before.bboxes, after.bboxes)


def test_classes_are_counted_once_per_pyramid():
    counts = []
    for options in (dict(type='CompositeDetector'), dict()):
        torch.manual_seed(0)
        detector = build_detector(
            nano_model('cascade-mask-rcnn', backbone=SWIN, roi_head=SEESAW, **options)
        )
        _losses(detector)
        counts.append([head.loss_cls.cum_samples.sum() for head in box_heads(detector)])
    # The first stage sees the same RoIs of the lead; what an assistant adds is of its own draw.
    assert all(both > lead > 0 for both, lead in zip(*counts, strict=True))
    assert counts[0][0] <= 2 * counts[1][0] + 64


@pytest.mark.parametrize('name', ['mask-rcnn', 'htc'])
def test_frozen_backbones_train_connections_and_heads(name):
    detector = _composite(name, dict(SWIN, frozen_stages=4))
    _losses(detector)
    assert without_gradient(detector) == []
    trained = {
        n.split('.')[1]
        for n, p in detector.backbone.named_parameters(prefix='b')
        if p.requires_grad
    }
    assert trained == {'cb_linears'}


def test_neck_runs_once_in_a_test_and_once_per_pyramid_in_training():
    detector = _composite(backbone=dict(SWIN, num_backbones=3))
    calls = []
    detector.neck.register_forward_hook(lambda *args: calls.append(len(args[2])))
    test_step(detector, make_batch(NUM_CLASSES))
    assert calls == [5]
    _losses(detector)
    assert calls == [5] * 4


def test_copy_of_the_detector_predicts_the_same():
    detector = _composite(backbone=RESNET)
    batch = make_batch(NUM_CLASSES)
    twin = copy.deepcopy(detector)
    found, expected = (test_step(d, copy.deepcopy(batch))[0] for d in (twin, detector))
    assert_same_detections(found.pred_instances, expected.pred_instances)


def test_backbone_with_one_pyramid_is_one_error():
    message = r'ResNet returns a single pyramid; .* takes CBResNet or CBSwinTransformer'
    with pytest.raises(UserError, match=message):
        _composite(backbone={})


def test_wrong_number_of_weights_is_one_error():
    with pytest.raises(UserError, match='for 2 backbones'):
        _composite(pyramid_loss_weights=[1, 1, 1])
