import copy

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict

from mmdet.registry import MODELS
from plugins.errors import UserError
from tests.roi_heads.nano import NUM_CLASSES, box_heads, drawn_batch, nano_model, undrawn_batch
from tests.steps import build_detector, make_batch, test_step, train_step

CHANNELS = NUM_CLASSES + 1
TYPES = ('Shared2FC', 'Shared4Conv1FC')


def _head(kind='Shared2FC', loss='SoftmaxLoss', conv_out_channels=8, **second):
    config = dict(
        type=f'TwoClassifier{kind}BBoxHead',
        in_channels=4,
        conv_out_channels=conv_out_channels,
        fc_out_channels=16,
        roi_feat_size=7,
        num_classes=NUM_CLASSES,
        loss_cls=dict(type=loss),
        second_classifier=second,
    )
    torch.manual_seed(0)
    head = MODELS.build(config)
    head.init_weights()
    return head


def _plain(kind='Shared2FC', loss='SoftmaxLoss'):
    torch.manual_seed(1)
    return MODELS.build(
        dict(
            type=f'{kind}BBoxHead',
            in_channels=4,
            conv_out_channels=8,
            fc_out_channels=16,
            num_classes=NUM_CLASSES,
            loss_cls=dict(type=loss),
        )
    )


def _features(count=6):
    return torch.rand(count, 4, 7, 7, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize('kind', TYPES)
@pytest.mark.parametrize('hidden_fcs', [0, 1, 2])
def test_original_classifier_and_boxes_are_those_of_the_plain_head(kind, hidden_fcs):
    plain, head = _plain(kind), _head(kind, hidden_fcs=hidden_fcs)
    load_state_dict(head, plain.state_dict())
    logits, deltas = head(_features())
    expected_logits, expected_deltas = plain(_features())
    assert logits.shape == (6, 2 * CHANNELS)
    assert torch.equal(logits[:, :CHANNELS], expected_logits)
    assert torch.equal(deltas, expected_deltas)


@pytest.mark.parametrize(
    ('kind', 'hidden_fcs', 'widths'),
    [
        ('Shared2FC', 0, [16]),
        ('Shared2FC', 1, [4 * 49, 16]),
        ('Shared2FC', 2, [4 * 49, 16, 16]),
        ('Shared4Conv1FC', 0, [16]),
        ('Shared4Conv1FC', 1, [8 * 49, 16]),
    ],
)
def test_second_branch_has_the_layers_its_name_says(kind, hidden_fcs, widths):
    branch = _head(kind, hidden_fcs=hidden_fcs).second_classifier
    assert [layer.in_features for layer in (*branch.fcs, branch.fc_cls)] == widths
    assert branch.fc_cls.out_features == CHANNELS


def test_second_logits_are_those_of_its_layers_on_the_roi_feature():
    head = _head(hidden_fcs=1)
    branch = head.second_classifier
    expected = branch.fc_cls(branch.fcs[0](_features().flatten(1)).relu())
    torch.testing.assert_close(head(_features())[0][:, CHANNELS:], expected)


def test_second_predictor_alone_sees_the_shared_feature():
    head = _head(hidden_fcs=0)
    shared = _features().flatten(1)
    for fc in head.shared_fcs:
        shared = fc(shared).relu()
    expected = head.second_classifier.fc_cls(shared)
    torch.testing.assert_close(head(_features())[0][:, CHANNELS:], expected)


@pytest.mark.parametrize(('kind', 'num_fcs'), [('Shared2FC', 2), ('Shared4Conv1FC', 1)])
def test_copy_has_the_logits_of_the_original_exactly(kind, num_fcs):
    for hidden_fcs in (0, num_fcs):
        head = _head(kind, hidden_fcs=hidden_fcs, init='copy')
        load_state_dict(head, _plain(kind).state_dict())
        logits = head(_features())[0]
        assert torch.equal(logits[:, :CHANNELS], logits[:, CHANNELS:])


def test_random_start_differs_from_the_original():
    head = _head(hidden_fcs=2, init='random')
    load_state_dict(head, _plain().state_dict())
    logits = head(_features())[0]
    assert not torch.allclose(logits[:, :CHANNELS], logits[:, CHANNELS:])


def test_own_checkpoint_is_loaded_not_copied_again():
    head = _head(hidden_fcs=2, init='copy')
    load_state_dict(head, _plain().state_dict())
    with torch.no_grad():
        head.second_classifier.fc_cls.weight += 1
    again = _head(hidden_fcs=2, init='copy')
    again.load_state_dict(head.state_dict(), strict=True)
    assert torch.equal(again(_features())[0], head(_features())[0])


def test_deep_copy_sees_its_own_features():
    head = _head(hidden_fcs=1)
    twin = copy.deepcopy(head)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
    expected = _head(hidden_fcs=1)
    assert torch.equal(twin(_features())[0], expected(_features())[0])
    assert not head(_features())[0].any()


def test_loss_and_predictor_of_the_second_may_differ():
    head = _head(
        hidden_fcs=1,
        loss_cls=dict(type='SyncSeesawLoss'),
        cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20),
    )
    assert type(head.fc_cls).__name__ == 'Linear'
    assert type(head.second_classifier.fc_cls).__name__ == 'NormalizedLinear'
    logits = head(_features())[0]
    assert logits.shape == (6, CHANNELS + NUM_CLASSES + 2)
    assert head.loss_cls.get_activation(logits).shape == (6, CHANNELS)


def test_second_classifier_starts_from_the_prior_of_its_loss():
    head = _head(hidden_fcs=1, loss_cls=dict(type='SigmoidLoss', prior=0.01))
    second = head.second_classifier.fc_cls
    torch.testing.assert_close(second.bias.sigmoid(), torch.full((NUM_CLASSES,), 0.01))
    assert not head.fc_cls.bias.any()


def test_no_roi_gives_no_logits():
    logits, deltas = _head(hidden_fcs=2)(_features(0))
    assert logits.shape == (0, 2 * CHANNELS) and len(deltas) == 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(hidden_fcs=1, init='copy'), r"init='copy' needs hidden_fcs=2"),
        (dict(hidden_fcs=-1), r'hidden_fcs must be'),
        (dict(init='fine'), r'second_classifier\.init must be one of'),
        (dict(match='all'), r'second_classifier\.match must be one of'),
        (dict(hidden=1), r"no option 'hidden'; it has hidden_fcs"),
        (dict(init='copy', loss_cls=dict(type='SyncSeesawLoss')), r'loss_cls with 6 logits, not 7'),
        (dict(init='copy', cls_predictor_cfg=dict(type='NormalizedLinear')), r'cls_predictor_cfg'),
    ],
)
def test_option_that_cannot_be_is_named(options, message):
    with pytest.raises(UserError, match=message):
        _head(**options)


def _detector(name, sampler='ClassDrawRoISampler', **second):
    head = dict(type='TwoClassifierShared2FCBBoxHead', second_classifier=second)
    model = nano_model(
        name,
        type='RetrainedDetector',
        trained=['roi_head.bbox_head.second_classifier'],
        roi_head=dict(bbox_head=head),
        train_cfg=dict(rcnn=dict(sampler=dict(type=sampler))),
    )
    torch.manual_seed(0)
    return build_detector(model)


@pytest.mark.parametrize('name', ['mask-rcnn', 'cascade-mask-rcnn'])
def test_every_stage_has_a_second_classifier_of_its_own(name):
    detector = _detector(name, hidden_fcs=2, init='copy')
    load_state_dict(detector, build_detector(nano_model(name)).state_dict())
    heads = box_heads(detector)
    assert len(heads) == (1 if name == 'mask-rcnn' else 3)
    assert len({id(head.second_classifier) for head in heads}) == len(heads)
    for head in heads:
        assert torch.equal(head.second_classifier.fc_cls.weight, head.fc_cls.weight)
    if len(heads) == 3:
        assert not torch.equal(heads[0].fc_cls.weight, heads[1].fc_cls.weight)


@pytest.mark.parametrize(
    ('name', 'merge'),
    [('mask-rcnn', 'average'), ('cascade-mask-rcnn', 'average'), ('htc', 'select')],
)
def test_copied_classifiers_detect_as_the_single_model(name, merge):
    plain = build_detector(nano_model(name))
    detector = _detector(name, hidden_fcs=2, init='copy', merge=merge)
    load_state_dict(detector, plain.state_dict())
    for head in box_heads(detector):
        counts = torch.arange(NUM_CLASSES) * 200
        head.loss_cls.set_category_counts(counts, counts, 10)
    batch = make_batch(NUM_CLASSES)
    found, expected = (test_step(m, batch)[0].pred_instances for m in (detector, plain))
    assert len(found) == 20
    assert found.masks.codes == expected.masks.codes
    for key in ('bboxes', 'scores', 'labels'):
        assert torch.equal(found[key], expected[key]), key


def _weights_seen(detector, batch):
    """Train a step; return labels, weights and normaliser that reach the loss of every stage."""
    seen = []
    hooks = [
        head.loss_cls.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append((*args[1:], kwargs['avg_factor'])),
            with_kwargs=True,
        )
        for head in box_heads(detector)
    ]
    train_step(detector, batch)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(
    ('name', 'match'), [('mask-rcnn', 'own'), ('cascade-mask-rcnn', 'union'), ('htc', 'own')]
)
def test_calibration_trains_on_the_drawn_class_and_as_much_background(name, match):
    detector = _detector(name, hidden_fcs=1, match=match)
    batch = drawn_batch(label=2)
    first = batch['data_samples'][0]
    first.gt_instances.labels[0] = 4  # an object of another class in an image drawn for class 2
    seen = _weights_seen(detector, batch)
    assert len(seen) == len(box_heads(detector))
    for labels, weights, normalizer in seen:
        kept = labels[weights > 0]
        assert (weights[labels == 4] == 0).all() and (labels == 4).any()
        assert (weights[labels == 2] == 1).all() and (labels == 2).any()
        assert (kept == 2).sum() == (kept == NUM_CLASSES).sum() == len(kept) / 2
        assert normalizer == len(kept)


def test_without_match_all_rois_train():
    detector = _detector('mask-rcnn', sampler='RandomSampler', hidden_fcs=1)
    ((_, weights, _),) = _weights_seen(detector, make_batch(NUM_CLASSES))
    assert (weights == 1).all()


def test_original_classifier_that_should_train_is_refused():
    detector = _detector('mask-rcnn')
    detector.roi_head.bbox_head.fc_cls.requires_grad_(True)
    with pytest.raises(UserError, match=r"model\.type='RetrainedDetector'"):
        train_step(detector, drawn_batch())


def test_wrong_roi_sampler_is_named():
    detector = _detector('mask-rcnn', sampler='RandomSampler', match='own')
    with pytest.raises(UserError, match=r"train_cfg\.rcnn\.sampler\.type='ClassDrawRoISampler'"):
        train_step(detector, drawn_batch())


def test_wrong_image_sampler_is_named():
    detector = _detector('mask-rcnn', match='own')
    with pytest.raises(UserError, match=r"train_dataloader\.sampler\.type='ClassDrawSampler'"):
        train_step(detector, undrawn_batch())


def test_image_that_lost_its_draw_is_tolerated():
    """The data set replaces an image that its pipeline refuses by one drawn for nothing."""
    detector = _detector('mask-rcnn', match='own')
    train_step(detector, drawn_batch())
    losses = train_step(detector, undrawn_batch())
    assert losses['loss_cls'] == 0
    assert detector.roi_head.bbox_head.second_classifier.fc_cls.weight.grad is not None
