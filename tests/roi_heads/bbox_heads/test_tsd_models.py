"""Detectors with TSD heads in all stages."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import MMDistributedDataParallel
from mmengine.runner.checkpoint import load_state_dict

from plugins.errors import UserError
from plugins.test_time import MaskTTAModel
from tests.roi_heads.nano import NUM_CLASSES, box_heads, nano_model
from tests.steps import build_detector, make_batch, test_step, train_step, without_gradient
from tests.two_processes import distributed_step, on_two_processes

MODELS = ('mask-rcnn', 'cascade-mask-rcnn', 'htc', 'htc-lite')
TSD = dict(type='TSDShared2FCBBoxHead', offset_channels=8)
NOTHING_PROPOSED = dict(rpn_proposal=dict(min_bbox_size=10**6))


def _model(name, head=TSD, **more):
    parts = dict(bbox_head=dict(head))
    if name == 'htc-lite':
        parts['context_head'] = dict(in_channels=16, conv_out_channels=16)
    torch.manual_seed(0)
    return build_detector(nano_model(name, roi_head=parts, **more))


@pytest.mark.parametrize('num_objects', [3, 0])
@pytest.mark.parametrize('name', MODELS)
def test_all_stages_train_and_test(name, num_objects):
    detector = _model(name)
    batch = make_batch(NUM_CLASSES, num_objects=num_objects, num_images=2)
    losses = train_step(detector, batch)
    assert without_gradient(detector) == []
    stages = 1 if name == 'mask-rcnn' else 3
    for part in ('loss_cls', 'loss_cls_sibling', 'loss_bbox_sibling', 'loss_pc_cls', 'loss_pc_loc'):
        assert sum(key.split('.')[-1] == part for key in losses) == stages
    for found in test_step(detector, batch):
        assert len(found.pred_instances) == len(found.pred_instances.masks)


@pytest.mark.parametrize('name', MODELS)
def test_everything_trains_where_nothing_was_proposed(name):
    detector = _model(name, train_cfg=NOTHING_PROPOSED)
    losses = train_step(detector, make_batch(NUM_CLASSES, num_objects=0))
    assert without_gradient(detector) == []
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())


def test_no_detection_is_tested_without_proposals():
    detector = _model('cascade-mask-rcnn', test_cfg=dict(rpn=dict(min_bbox_size=10**6)))
    assert len(test_step(detector, make_batch(NUM_CLASSES))[0].pred_instances) == 0


def test_steps_on_an_image_make_its_losses_smaller():
    detector = _model('cascade-mask-rcnn')
    optimizer = torch.optim.SGD(detector.roi_head.parameters(), lr=0.01)
    batch, totals = make_batch(NUM_CLASSES), []
    for _ in range(6):
        torch.manual_seed(1)
        losses = train_step(detector, batch)
        totals.append(sum(v for key, v in losses.items() if '.loss' in key))
        optimizer.step()
    assert totals[-1] < 0.9 * totals[0]


def test_one_view_is_rated_as_a_plain_test_does():
    detector = _model('htc-lite').eval()
    batch = make_batch(NUM_CLASSES)
    expected = test_step(detector, copy.deepcopy(batch))[0].pred_instances
    model = MaskTTAModel(module=detector, tta_cfg=ConfigDict()).eval()
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(flip=False, flip_direction=None))
    view = {key: [value] for key, value in batch.items()}
    with torch.no_grad():
        found = model.test_step(view)[0].pred_instances
    assert len(found) == len(expected) > 0
    torch.testing.assert_close(found.bboxes, expected.bboxes, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-5, rtol=1e-4)


SECOND = dict(
    type='TwoClassifierTSDShared2FCBBoxHead',
    offset_channels=8,
    pc_cls=False,
    loss_cls=dict(type='SyncSeesawLoss', _delete_=True),
    cls_predictor_cfg=dict(type='NormalizedLinear'),
)


def _retrained(name, **second):
    return _model(
        name,
        head=dict(SECOND, second_classifier=second),
        type='RetrainedDetector',
        trained=['roi_head.bbox_head.second_classifier'],
    )


def _phase_one(name):
    head = {key: value for key, value in SECOND.items() if key != 'type'}
    return _model(name, head=dict(head, type='TSDShared2FCBBoxHead'))


@pytest.mark.parametrize('hidden_fcs', [0, 2])
@pytest.mark.parametrize('name', ['mask-rcnn', 'htc-lite'])
def test_copied_second_classifier_detects_as_the_single_model(name, hidden_fcs):
    plain = _phase_one(name)
    with torch.no_grad():
        for head in box_heads(plain):
            head.TSD_fc_cls.weight.normal_()
    detector = _retrained(name, hidden_fcs=hidden_fcs, init='copy')
    load_state_dict(detector, plain.state_dict())
    for head in box_heads(detector):
        assert torch.equal(head.second_classifier.fc_cls.weight, head.TSD_fc_cls.weight)
        head.roi_chunk = 7
    batch = make_batch(NUM_CLASSES)
    found, expected = (test_step(m, batch)[0].pred_instances for m in (detector, plain))
    assert len(found) == len(expected) > 0
    for key in ('bboxes', 'scores', 'labels'):
        torch.testing.assert_close(found[key], expected[key], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('name', ['mask-rcnn', 'htc-lite'])
def test_second_classifier_alone_trains_and_the_sibling_rests(name):
    detector = _retrained(name, hidden_fcs=1)
    before = copy.deepcopy(detector.state_dict())
    calls = []
    for head in box_heads(detector):
        for layer in (head.shared_fcs, head.fc_cls, head.fc_reg):
            for part in layer.modules():
                part.register_forward_pre_hook(lambda *call: calls.append(call))
    optimizer = torch.optim.SGD([p for p in detector.parameters() if p.requires_grad], lr=0.1)
    losses = train_step(detector, make_batch(NUM_CLASSES))
    assert without_gradient(detector) == [] and calls == []
    assert not any('sibling' in key or 'pc' in key or 'bbox' in key for key in losses)
    optimizer.step()
    changed = {n for n, v in detector.state_dict().items() if not torch.equal(v, before[n])}
    second = {n for n in before if '.second_classifier.' in n}
    counts = {n for n in before if n.endswith('loss_cls.second.cum_samples')}
    assert len(counts) == len(box_heads(detector)) and changed == second | counts


@pytest.mark.parametrize('layer', ['TSD_fc_cls', 'fc_cls'])
def test_original_classifier_or_sibling_that_should_train_is_refused(layer):
    detector = _retrained('mask-rcnn')
    getattr(detector.roi_head.bbox_head, layer).requires_grad_(True)
    with pytest.raises(UserError, match=rf'without its {layer}'):
        train_step(detector, make_batch(NUM_CLASSES))


def test_retraining_the_classifier_of_the_sibling_alone_is_refused():
    detector = _model('mask-rcnn', type='RetrainedDetector', trained=['roi_head.bbox_head.fc_cls'])
    load_state_dict(detector, detector.state_dict())
    with pytest.raises(UserError, match=r"name 'roi_head\.bbox_head\.TSD_fc_cls'"):
        train_step(detector, make_batch(NUM_CLASSES))


def _step(rank):
    more = dict(train_cfg=NOTHING_PROPOSED) if rank else {}
    head = dict(TSD, pc_cls=False, loss_cls=SECOND['loss_cls'])
    detector = _model('htc-lite', head=head, **more)
    model = MMDistributedDataParallel(detector, broadcast_buffers=False)
    model.train()
    torch.manual_seed(rank)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    # The second step fails if the first left a gradient out.
    for _ in range(2):
        batch = make_batch(NUM_CLASSES, num_objects=0 if rank else 3)
        distributed_step(model, optimizer, batch)
    return {n: v for n, v in detector.state_dict().items() if 'running' not in n}


def test_ranks_agree_after_steps_where_one_has_nothing(tmp_path):
    weights, others = on_two_processes(tmp_path, _step)
    assert any('cum_samples' in name for name in weights)
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name
