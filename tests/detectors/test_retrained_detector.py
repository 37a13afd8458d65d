import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_state_dict
from torch.utils.data import DataLoader

from mmdet.registry import MODELS
from plugins.checkpoints import CheckpointError
from plugins.detectors import RetrainedDetector
from plugins.errors import UserError
from plugins.hooks import CheckpointFitHook
from tests.roi_heads.nano import (
    NUM_CLASSES,
    box_heads,
    drawn_batch,
    nano_model,
    propose,
    pyramid,
)
from tests.steps import build_detector, make_batch, test_step, train_step

CLASSIFIER = ['roi_head.bbox_head.fc_cls']
SECOND = ['roi_head.bbox_head.second_classifier']
LAST_LAYERS = [*CLASSIFIER, 'roi_head.bbox_head.fc_reg', 'roi_head.mask_head.conv_logits']
MASK_HEAD = ['roi_head.mask_head']
SIMCAL = dict(
    roi_head=dict(
        bbox_head=dict(
            type='TwoClassifierShared2FCBBoxHead',
            second_classifier=dict(hidden_fcs=2, init='copy', match='own'),
        )
    ),
    train_cfg=dict(rcnn=dict(sampler=dict(type='ClassDrawRoISampler'))),
)
SEESAW = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(_delete_=True, type='SyncSeesawLoss'))))

each_model = pytest.mark.parametrize('name', ['mask-rcnn', 'cascade-mask-rcnn', 'htc'])


def _plain(name, seed=0, **more):
    torch.manual_seed(seed)
    return build_detector(nano_model(name, **more))


def _retrained(name, trained, *, start=None, reinitialize=False, seed=1, **more):
    torch.manual_seed(seed)
    config = dict(type='RetrainedDetector', trained=trained, reinitialize=reinitialize)
    detector = build_detector(nano_model(name, **config, **more))
    if start is not None:
        load_state_dict(detector, start.state_dict())
    return detector


def _is_trained(name, trained):
    stageless = '.'.join(part for part in name.split('.') if not part.isdigit())
    return any(stageless.startswith(layer) for layer in trained)


def _take_steps(detector, count=2):
    config = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.1))
    wrapper = build_optim_wrapper(detector, config)
    for _ in range(count):
        train_step(detector, drawn_batch())
        wrapper.optimizer.step()
    return wrapper.optimizer


@pytest.mark.parametrize(
    ('name', 'trained', 'more'),
    [
        ('mask-rcnn', CLASSIFIER, {}),
        ('cascade-mask-rcnn', LAST_LAYERS, {}),
        ('mask-rcnn', MASK_HEAD, SEESAW),
        *((name, SECOND, SIMCAL) for name in ('mask-rcnn', 'cascade-mask-rcnn', 'htc')),
    ],
)
def test_only_the_trained_layers_change(name, trained, more):
    plain_loss = SEESAW if more is SEESAW else {}
    detector = _retrained(name, trained, start=_plain(name, **plain_loss), **more)
    before = copy.deepcopy(detector.state_dict())
    optimizer = _take_steps(detector)
    changed = {n for n, value in detector.state_dict().items() if not torch.equal(value, before[n])}
    expected = {n for n, _ in detector.named_parameters() if _is_trained(n, trained)}
    assert changed == expected and expected
    names = {parameter: n for n, parameter in detector.named_parameters()}
    assert {names[parameter] for parameter in optimizer.state} == expected


@pytest.mark.parametrize(
    ('name', 'trained', 'more', 'expected'),
    [
        ('cascade-mask-rcnn', CLASSIFIER, {}, {'loss_cls'}),
        ('mask-rcnn', LAST_LAYERS, {}, {'loss_cls', 'loss_bbox', 'loss_mask'}),
        ('htc', LAST_LAYERS, {}, {'loss_cls', 'loss_bbox', 'loss_mask'}),
        ('htc', MASK_HEAD, {}, {'loss_mask'}),
        ('htc', SECOND, SIMCAL, {'loss_cls'}),
        ('mask-rcnn', ['rpn_head.rpn_cls'], {}, {'loss_rpn_cls'}),
    ],
)
def test_only_losses_that_train_something_are_left(name, trained, more, expected):
    detector = _retrained(name, trained, start=_plain(name), **more)
    losses = train_step(detector, drawn_batch())
    found = {key.split('.')[-1] for key in losses if 'loss' in key} - {'loss'}
    assert found == expected
    assert all(p.grad is not None for p in detector.parameters() if p.requires_grad)


def test_layers_below_the_heads_train_by_all_losses():
    detector = _retrained('mask-rcnn', ['neck'], start=_plain('mask-rcnn'))
    losses = train_step(detector, make_batch(NUM_CLASSES))
    assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'} <= set(losses)
    assert all(p.grad is not None for p in detector.neck.parameters())
    assert not detector.backbone.training and detector.neck.training


def test_calibration_computes_neither_proposal_losses_nor_masks(monkeypatch):
    detector = _retrained('cascade-mask-rcnn', SECOND, start=_plain('cascade-mask-rcnn'), **SIMCAL)

    def fail(*_, **__):
        raise AssertionError('this costs time and trains nothing')

    monkeypatch.setattr(detector.rpn_head, 'loss_by_feat', fail)
    for head in detector.roi_head.mask_head:
        monkeypatch.setattr(head, 'forward', fail)
    assert train_step(detector, drawn_batch())['loss'] > 0


@pytest.mark.parametrize('name', ['mask-rcnn', 'cascade-mask-rcnn'])
def test_frozen_counters_rest_and_those_of_the_second_classifier_count(name):
    loss = dict(loss_cls=dict(_delete_=True, type='SyncSeesawLoss'))
    plain = _plain(name, roi_head=dict(bbox_head=loss))
    train_step(plain, make_batch(NUM_CLASSES))
    more = copy.deepcopy(SIMCAL)
    more['roi_head']['bbox_head'].update(copy.deepcopy(loss))
    detector = _retrained(name, SECOND, start=plain, **more)
    train_step(detector, drawn_batch())
    for single, head in zip(box_heads(plain), box_heads(detector), strict=True):
        assert single.loss_cls.cum_samples.sum() > 0
        assert torch.equal(head.loss_cls.original.cum_samples, single.loss_cls.cum_samples)
        assert head.loss_cls.second.cum_samples.sum() > 0


@each_model
def test_predictions_are_those_of_the_plain_detector(name):
    plain = _plain(name)
    detector = _retrained(name, CLASSIFIER, start=plain)
    train_step(detector, make_batch(NUM_CLASSES))
    batch = make_batch(NUM_CLASSES)
    found, expected = (test_step(m, batch)[0].pred_instances for m in (detector, plain))
    assert len(found) == 20
    assert found.masks.codes == expected.masks.codes
    for key in ('bboxes', 'scores', 'labels'):
        assert torch.equal(found[key], expected[key]), key


def test_frozen_parts_rest_before_the_first_step():
    detector = MODELS.build(nano_model('htc', type='RetrainedDetector', trained=MASK_HEAD))
    assert not any(head.loss_cls.training for head in box_heads(detector))
    assert all(head.training for head in detector.roi_head.mask_head)


def test_proposals_of_training_are_the_plain_detectors():
    plain = _plain('mask-rcnn').eval()
    detector = _retrained('mask-rcnn', CLASSIFIER, start=plain).train()
    for module in (plain, detector):
        module.seen = []
        stock = module.roi_head.loss
        module.roi_head.loss = lambda x, proposals, samples, module=module, stock=stock: (
            module.seen.extend(p.bboxes.clone() for p in proposals) or stock(x, proposals, samples)
        )
        data = module.data_preprocessor(make_batch(NUM_CLASSES, num_images=2), training=True)
        module(**data, mode='loss')
    assert len(plain.seen) == 2 and len(plain.seen[0]) == 40
    for ours, stock in zip(detector.seen, plain.seen, strict=True):
        assert torch.equal(ours, stock)


def _weights_of(detector, trained):
    return {n: p for n, p in detector.state_dict().items() if _is_trained(n, trained)}


def _equal(some, others):
    return [torch.equal(value, others[name]) for name, value in some.items()]


@pytest.mark.parametrize('name', ['mask-rcnn', 'cascade-mask-rcnn'])
def test_phase_one_gives_all_but_the_layers_that_start_anew(name):
    plain = _plain(name)
    fresh = _retrained(name, CLASSIFIER, reinitialize=True)
    started = copy.deepcopy(_weights_of(fresh, CLASSIFIER))
    # Strict: what is left out on purpose is not reported as missing.
    load_state_dict(fresh, plain.state_dict(), strict=True)
    weights = fresh.state_dict()
    assert all(_equal(started, weights))
    is_kept = {n: torch.equal(value, weights[n]) for n, value in plain.state_dict().items()}
    assert {n for n, kept in is_kept.items() if not kept} == {n for n in started if 'weight' in n}


def test_own_checkpoint_is_loaded_whole_whether_or_not_layers_started_anew():
    saved = _retrained('mask-rcnn', CLASSIFIER, start=_plain('mask-rcnn'), reinitialize=True)
    again = _retrained('mask-rcnn', CLASSIFIER, start=saved, reinitialize=True, seed=2)
    assert all(_equal(saved.state_dict(), again.state_dict()))


def test_checkpoint_of_another_phase_counts_as_phase_one():
    other = _retrained('mask-rcnn', MASK_HEAD, start=_plain('mask-rcnn'))
    fresh = _retrained('mask-rcnn', CLASSIFIER, reinitialize=True)
    started = copy.deepcopy(_weights_of(fresh, CLASSIFIER))
    load_state_dict(fresh, other.state_dict())
    assert all(_equal(started, fresh.state_dict()))
    # ... and what this phase saves is its own.
    again = _retrained('mask-rcnn', CLASSIFIER, start=fresh, reinitialize=True, seed=2)
    assert all(_equal(started, again.state_dict()))


def test_training_from_nothing_names_load_from():
    config = nano_model('mask-rcnn', type='RetrainedDetector', trained=CLASSIFIER)
    with pytest.raises(UserError, match='load_from'):
        train_step(MODELS.build(config), make_batch(NUM_CLASSES))


def test_misspelt_layer_is_refused_with_near_names():
    with pytest.raises(UserError, match=r'near names are .*roi_head\.bbox_head\.fc_cls'):
        _retrained('mask-rcnn', ['roi_head.bbox_head.fc_class'])


@pytest.mark.parametrize(
    ('name', 'num_proposals'),
    [('mask-rcnn', 0), ('mask-rcnn', 6), ('cascade-mask-rcnn', 6), ('htc', 0)],
)
def test_image_without_objects_reaches_every_trained_layer(name, num_proposals):
    detector = _retrained(name, SECOND, start=_plain(name), **SIMCAL).train()
    sample = make_batch(NUM_CLASSES, num_objects=0)['data_samples'][0]
    sample.set_metainfo(dict(sampled_label=2))
    losses = detector.roi_head.loss(pyramid(), [propose(num_proposals)], [sample])
    total, _ = detector.parse_losses(losses)
    total.backward()
    assert float(total) == 0
    assert all(p.grad is not None for p in detector.parameters() if p.requires_grad)


def _runner(tmp_path, detector, iterations, *, whole, **options):
    batch = drawn_batch()
    images = [dict(inputs=i, data_samples=s) for i, s in zip(*batch.values(), strict=True)]
    loader = DataLoader(images, batch_size=1, collate_fn=pseudo_collate)
    return Runner(
        model=detector,
        work_dir=str(tmp_path / 'run'),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=False, max_iters=iterations),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False)),
        custom_hooks=[CheckpointFitHook(whole=whole)],
        default_scope='mmdet',
        experiment_name=f'{tmp_path.name}_{iterations}',
        **options,
    )


def test_runner_starts_resumes_and_refuses_as_it_should(tmp_path):
    phase_one = _plain('mask-rcnn')
    torch.save(dict(state_dict=phase_one.state_dict(), meta={}), tmp_path / 'one.pth')
    build = SimpleNamespace(trained=CLASSIFIER, reinitialize=True)
    first = _retrained('mask-rcnn', **vars(build))
    _runner(tmp_path, first, 2, whole=False, load_from=str(tmp_path / 'one.pth')).train()
    saved = torch.load(tmp_path / 'run/iter_2.pth')['state_dict']
    assert not torch.equal(
        saved['roi_head.bbox_head.fc_cls.weight'], phase_one.roi_head.bbox_head.fc_cls.weight
    )
    assert torch.equal(saved['backbone.conv1.weight'], phase_one.backbone.conv1.weight)

    second = _retrained('mask-rcnn', **vars(build), seed=3)
    resumed = _runner(
        tmp_path, second, 2, whole=True, load_from=str(tmp_path / 'run/iter_2.pth'), resume=True
    )
    resumed.train()
    assert resumed.iter == 2
    assert all(_equal(saved, second.state_dict()))

    # A test of this phase with weights of phase one would have random classifiers.
    third = _retrained('mask-rcnn', **vars(build), seed=3)
    with pytest.raises(CheckpointError, match='retraining_phase'):
        CheckpointFitHook(whole=True).after_load_checkpoint(
            SimpleNamespace(model=third, _load_from='one.pth'), torch.load(tmp_path / 'one.pth')
        )


def test_it_is_a_detector_of_the_registry():
    assert isinstance(_retrained('mask-rcnn', CLASSIFIER), RetrainedDetector)
