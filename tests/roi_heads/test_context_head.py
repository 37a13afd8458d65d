"""The context encoder against mmdet's, golden numbers and the rules of federated annotation."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmdet.models.roi_heads.mask_heads import GlobalContextHead
from mmdet.structures import DetDataSample
from plugins.errors import UserError
from plugins.roi_heads.context_head import FederatedContextHead

SMALL = dict(num_convs=2, in_channels=8, conv_out_channels=8, num_classes=6)


def _samples(labels, absent=None):
    samples = []
    for i, own in enumerate(labels):
        sample = DetDataSample(gt_instances=InstanceData(labels=torch.as_tensor(own).long()))
        if absent is not None:
            sample.set_metainfo(dict(neg_labels=absent[i]))
        samples.append(sample)
    return samples


def _head(**options):
    torch.manual_seed(0)
    head = FederatedContextHead(**SMALL, **options)
    head.init_weights()
    return head


@pytest.fixture(scope='module')
def golden(shared):
    with np.load(shared / 'golden/models/context_a.npz') as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays}


def test_predictions_vectors_and_loss_are_the_golden_ones(golden):
    channels = golden['x'].shape[1]
    head = FederatedContextHead(
        num_convs=int(golden['num_convs']),
        in_channels=channels,
        conv_out_channels=channels,
        num_classes=int(golden['num_classes']),
        conv_to_res=bool(golden['conv_to_res']),
        loss_weight=float(golden['loss_weight']),
    )
    head.load_state_dict({k[3:]: v for k, v in golden.items() if k.startswith('sd.')})
    logits, vectors = head((golden['x'],))
    torch.testing.assert_close(logits, golden['pred'], rtol=0, atol=1e-5)
    torch.testing.assert_close(vectors, golden['vec'].flatten(1), rtol=0, atol=1e-5)
    labels = [golden[f'labels.{i}'] for i in range(3)]
    torch.testing.assert_close(head.loss(logits, _samples(labels)), golden['loss'])


def test_loss_is_that_of_mmdet_and_repeated_labels_do_not_matter():
    head, stock = _head(), GlobalContextHead(**SMALL, loss_weight=3.0)
    logits = torch.randn(3, 6, requires_grad=True)
    labels = [[1, 1, 4, 1], [], [0]]
    loss = head.loss(logits, _samples(labels))
    expected = stock.loss(logits, [torch.tensor(own).long() for own in labels])
    torch.testing.assert_close(loss, expected)
    mine, theirs = (torch.autograd.grad(v, logits, retain_graph=True)[0] for v in (loss, expected))
    torch.testing.assert_close(mine, theirs)
    assert torch.equal(loss, head.loss(logits, _samples([[1, 4], [], [0]])))


def test_classes_nobody_looked_for_do_not_count():
    head, logits = _head(targets='federated'), torch.randn(2, 6, requires_grad=True)
    loss = head.loss(logits, _samples([[1], []], absent=[[0, 3], [5]]))
    (gradient,) = torch.autograd.grad(loss, logits)
    counted = torch.zeros(2, 6).bool()
    counted[0, [0, 1, 3]] = counted[1, 5] = True
    assert torch.equal(gradient != 0, counted)
    signs = torch.where(torch.arange(6) == 1, -1.0, 1.0)
    assert torch.equal(gradient[0].sign()[counted[0]], signs[counted[0]])
    probabilities = logits.detach().sigmoid()
    terms = [-probabilities[0, 1].log(), -(1 - probabilities[0, 0]).log()]
    terms += [-(1 - probabilities[0, 3]).log(), -(1 - probabilities[1, 5]).log()]
    torch.testing.assert_close(loss.detach(), 3.0 * sum(terms) / 4)


def test_federated_with_all_classes_known_is_all():
    logits = torch.randn(2, 6)
    known = _samples([[1, 2], [5]], absent=[[0, 3, 4, 5], [0, 1, 2, 3, 4]])
    expected = _head().loss(logits, known)
    torch.testing.assert_close(_head(targets='federated').loss(logits, known), expected)


def test_object_of_a_class_outranks_its_being_looked_for_in_vain():
    """A pasted object may be of a class that the image was searched for."""
    logits = torch.randn(1, 6)
    head = _head(targets='federated')
    assert head.loss(logits, _samples([[2]], [[2, 3]])) == head.loss(logits, _samples([[2]], [[3]]))


def test_nothing_known_is_a_loss_of_zero_with_gradients():
    head = _head(targets='federated')
    logits, _ = head((torch.randn(2, 8, 4, 4),))
    loss = head.loss(logits, _samples([[], []], absent=[[], []]))
    loss.backward()
    assert loss == 0 and all(p.grad is not None for p in head.parameters())


def test_loss_is_float32_from_half_precision():
    assert _head().loss(torch.randn(2, 6).bfloat16(), _samples([[0], [1]])).dtype == torch.float32


@pytest.mark.parametrize('level', [0, 1, -1])
def test_level_is_the_one_asked_for(level):
    pyramid = tuple(torch.randn(1, 8, s, s) for s in (16, 8, 4))
    head = _head(level=level)
    assert torch.equal(head(pyramid)[1], _head()(pyramid[level : level + 1 or None])[1])


@pytest.mark.parametrize(
    ('options', 'message'),
    [(dict(targets='none'), 'targets'), (dict(level=3), 'level is 3'), (dict(level=-4), 'level')],
)
def test_wrong_option_is_one_error(options, message):
    with pytest.raises(UserError, match=message):
        _head(**options)(tuple(torch.randn(1, 8, 4, 4) for _ in range(3)))


def test_missing_lists_are_one_error_that_says_where_they_come_from():
    with pytest.raises(UserError, match='PackFederatedInputs'):
        _head(targets='federated').loss(torch.randn(1, 6), _samples([[1]]))
