"""What holds for every classification loss."""

import json

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.losses import ClassificationLoss, NeedsCategoryCounts
from plugins.losses.step_generator import DrawsPerStep

NUM_CLASSES = 6
COUNTS = torch.tensor([1, 5, 20, 90, 400, 2000])
LOSSES = {
    'softmax': dict(type='SoftmaxLoss'),
    'focal': dict(type='MultiClassFocalLoss'),
    'margin': dict(type='ClassAwareMarginLoss'),
    'inverse-frequency': dict(type='InverseFrequencyLoss'),
    'sigmoid': dict(type='SigmoidLoss'),
    'eql': dict(type='EqualizationLoss', frequency_threshold=0.02),
    'eqlv2': dict(type='EqualizationLossV2'),
    'federated': dict(type='FederatedLoss', num_sampled=4),
    'bags': dict(type='BalancedGroupSoftmaxLoss'),
    'seesaw': dict(type='SyncSeesawLoss'),
    'softmax-objectness': dict(type='ObjectnessLoss', loss_cls=dict(type='SoftmaxLoss')),
    'federated-objectness': dict(type='ObjectnessLoss', loss_cls=dict(type='FederatedLoss')),
}
CHANNELS = {
    'softmax': 7,
    'focal': 7,
    'margin': 7,
    'inverse-frequency': 7,
    'sigmoid': 6,
    'eql': 6,
    'eqlv2': 7,
    'federated': 6,
    'bags': 12,
    'seesaw': 8,
    'softmax-objectness': 8,
    'federated-objectness': 7,
}
each_loss = pytest.mark.parametrize('name', LOSSES)


def build(name: str, with_counts: bool = True, **more) -> ClassificationLoss:
    """Build a loss as a head does, and tell it the counts."""
    loss = MODELS.build({**LOSSES[name], **more})
    assert loss.get_cls_channels(NUM_CLASSES) == CHANNELS[name]
    for module in loss.modules():
        if with_counts and isinstance(module, NeedsCategoryCounts):
            module.set_category_counts(COUNTS, COUNTS.clamp(max=900), 1000)
    loss.start_training(seed=0, resumed=False)
    return loss


def batch(name: str, num_rois: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(num_rois, CHANNELS[name], generator=generator)
    labels = torch.randint(0, NUM_CLASSES + 1, (num_rois,), generator=generator)
    return logits.requires_grad_(), labels


@each_loss
def test_every_hook_of_the_box_head_is_on(name):
    loss = build(name)
    assert loss.custom_cls_channels and loss.custom_activation and loss.custom_accuracy


@each_loss
def test_scores_have_a_column_per_class_and_one_for_background(name):
    logits, labels = batch(name)
    loss = build(name)
    scores = loss.get_activation(logits)
    assert scores.shape == (40, NUM_CLASSES + 1) and scores.min() >= 0 and scores.max() <= 1
    accuracy = loss.get_accuracy(logits, labels)
    assert all('acc' in key and 0 <= value <= 100 for key, value in accuracy.items())
    assert loss.get_activation(logits[:0]).shape == (0, NUM_CLASSES + 1)


@each_loss
def test_training_on_the_loss_finds_the_label(name):
    """Gradient steps on the logits alone raise the score of the label above the others."""
    torch.manual_seed(0)
    loss = build(name)
    labels = torch.arange(NUM_CLASSES + 1).repeat(4)
    logits = torch.zeros(len(labels), CHANNELS[name], requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        sum(loss(logits, labels).values()).backward()
        optimizer.step()
    scores = loss.get_activation(logits.detach())
    is_foreground = labels < NUM_CLASSES
    found = scores[is_foreground, :-1].argmax(1)
    assert torch.equal(found, labels[is_foreground])
    own = scores[is_foreground].gather(1, labels[is_foreground, None]).squeeze(1)
    assert own.min() > 2 * scores[~is_foreground, :-1].max()


@each_loss
def test_no_rois_give_a_zero_that_depends_on_the_logits(name):
    logits, labels = batch(name)
    for rows in (logits[:0], logits):
        terms = build(name)(rows, labels[: len(rows)], torch.zeros(len(rows)), 1.0)
        total = sum(terms.values())
        assert total.item() == 0
        (gradient,) = torch.autograd.grad(total, logits)
        assert (gradient == 0).all()


# Seesaw counts all RoIs, group softmax draws among all: tested with them.
@pytest.mark.parametrize('name', sorted(set(LOSSES) - {'seesaw', 'bags'}))
def test_rois_without_weight_do_not_count(name):
    logits, labels = batch(name, 20)
    other = logits.detach().flip(0) * 2
    weights = torch.cat([torch.ones(20), torch.zeros(20)])
    alone = build(name)(logits, labels, torch.ones(20))
    both = build(name)(torch.cat([logits, other]), labels.repeat(2), weights)
    for key in alone:
        torch.testing.assert_close(alone[key], both[key])


@each_loss
def test_weight_scales_every_term(name):
    logits, labels = batch(name)
    single, double = build(name)(logits, labels), build(name, loss_weight=2.0)(logits, labels)
    for key in single:
        torch.testing.assert_close(2 * single[key], double[key])


@each_loss
def test_half_precision_logits_are_computed_in_float32(name):
    logits, labels = batch(name)
    half = logits.detach().half()
    terms, expected = build(name)(half, labels), build(name)(half.float(), labels)
    assert all(torch.equal(terms[key], expected[key]) for key in expected)


@each_loss
def test_a_gpu_computes_what_a_cpu_computes(name, monkeypatch):
    """The branches for a GPU, which keep the rows that a CPU drops."""
    logits, labels = batch(name)
    weights = (torch.arange(40) % 3 > 0).float()
    results = []
    for is_cuda in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, 'is_cuda', is_cuda, raising=False)
            terms = build(name)(logits, labels, weights)
        results.append((terms, *torch.autograd.grad(sum(terms.values()), logits)))
    torch.testing.assert_close(results[1], results[0])


@each_loss
def test_a_gpu_never_has_to_wait(name, monkeypatch):
    """Tensors without values, said to be on a GPU: asking for a value or mixing devices fails."""
    loss = build(name)
    # torch makes no generator of a GPU that is not there.
    monkeypatch.setattr(DrawsPerStep, 'next_generator', lambda self, device: None)
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in loss.modules():
            for key, value in module.named_buffers(recurse=False):
                setattr(module, key, torch.empty(value.shape, dtype=value.dtype, device='cuda'))
        logits = torch.empty(40, CHANNELS[name], device='cuda', requires_grad=True)
        labels = torch.empty(40, dtype=torch.int64, device='cuda')
        terms = loss(logits, labels, torch.empty(40, device='cuda'), avg_factor=40.0)
        accuracy = loss.get_accuracy(logits, labels)
        scores = loss.get_activation(logits)
    for value in (*terms.values(), *accuracy.values(), scores):
        assert value.device.type == 'cuda'


@each_loss
def test_state_survives_a_checkpoint(name):
    logits, labels = batch(name)
    loss = build(name)
    for _ in range(3):
        loss(logits, labels)
    restored = build(name, with_counts=False)
    restored.load_state_dict(loss.state_dict())
    assert torch.equal(restored.get_activation(logits), loss.get_activation(logits))
    again, expected = restored(logits, labels), loss(logits, labels)
    assert all(torch.equal(again[key], expected[key]) for key in expected)


@each_loss
@pytest.mark.parametrize('label', [-1, NUM_CLASSES + 1])
def test_label_out_of_range_is_one_error(name, label):
    logits, labels = batch(name)
    labels[3] = label
    with pytest.raises(UserError, match=r'num_classes to the number of categories'):
        build(name)(logits, labels)


@each_loss
def test_wrong_number_of_logits_is_one_error(name):
    logits, labels = batch(name)
    with pytest.raises(UserError, match='two-stage'):
        build(name)(logits[:, :-1], labels)


@each_loss
def test_a_head_that_does_not_ask_for_channels_is_one_error(name):
    logits, labels = batch(name)
    with pytest.raises(UserError, match='never told its number of classes'):
        MODELS.build(LOSSES[name])(logits, labels)


def test_seesaw_in_a_one_stage_head_is_one_error():
    head = MODELS.build(
        dict(
            type='RetinaHead',
            num_classes=3,
            in_channels=4,
            feat_channels=4,
            loss_cls=dict(type='SyncSeesawLoss', num_classes=3),
        )
    )
    with pytest.raises(UserError, match='two-stage'):
        head.loss_cls(torch.zeros(5, head.cls_out_channels), torch.zeros(5, dtype=torch.int64))


def test_num_classes_of_loss_and_head_must_agree():
    with pytest.raises(UserError, match='num_classes=5, but the head has num_classes=6'):
        MODELS.build(dict(type='SoftmaxLoss', num_classes=5)).get_cls_channels(6)


@pytest.mark.parametrize('name', ['margin', 'inverse-frequency', 'eql', 'federated', 'bags'])
def test_without_counts_the_error_names_the_tool(name):
    logits, labels = batch(name)
    with pytest.raises(UserError, match=r'counts of the training categories.*stats\.py'):
        build(name, with_counts=False)(logits, labels)


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        (COUNTS[:4], 'counts 4 categories, but the head has num_classes=6'),
        (COUNTS - 2, 'negative or NaN'),
        (torch.tensor([1.0, 2.0, 3.0, float('nan'), 5.0, 6.0]), 'negative or NaN'),
    ],
)
def test_bad_counts_are_one_error(counts, message):
    loss = build('federated', with_counts=False)
    with pytest.raises(UserError, match=message):
        loss.set_category_counts(counts, counts, 10)


def test_counts_of_a_file_outrank_data_set_and_checkpoint(tmp_path):
    entries = [
        dict(id=7 - i, instance_count=int(n), image_count=int(n)) for i, n in enumerate(COUNTS)
    ]
    path = tmp_path / 'counts.json'
    path.write_text(json.dumps(entries))
    loss = build('federated', counts=str(path))
    # Ids are sorted: the last entry of the file comes first.
    assert torch.equal(loss.instance_count, COUNTS.flip(0))
    trained = build('federated')
    loss.load_state_dict(trained.state_dict())
    assert torch.equal(loss.instance_count, COUNTS.flip(0))


def test_counts_that_cannot_be_read_name_the_key():
    with pytest.raises(UserError, match=r'loss_cls\.counts: nowhere\.json'):
        build('federated', counts='nowhere.json')


@pytest.mark.parametrize('limits', [(10.0, 0.1), (1.0,), (-1.0, 1.0)])
def test_limits_of_weights_out_of_order_are_one_error(limits):
    with pytest.raises(UserError, match='two weights in order'):
        MODELS.build(dict(type='InverseFrequencyLoss', limits=limits))


def test_equalization_needs_the_number_of_images(tmp_path):
    entries = [dict(id=i, instance_count=9, image_count=9) for i in range(NUM_CLASSES)]
    path = tmp_path / 'counts.json'
    path.write_text(json.dumps(entries))
    with pytest.raises(UserError, match=r'number of training images.*stats\.py'):
        build('eql', counts=str(path))


@pytest.mark.parametrize('inner', ['SyncSeesawLoss', 'BalancedGroupSoftmaxLoss', 'ObjectnessLoss'])
def test_a_second_objectness_is_refused(inner):
    more = dict(loss_cls=dict(type='SoftmaxLoss')) if inner == 'ObjectnessLoss' else {}
    with pytest.raises(UserError, match=f'{inner} has an objectness of its own'):
        MODELS.build(dict(type='ObjectnessLoss', loss_cls=dict(type=inner, **more)))


def test_objectness_cannot_extend_a_loss_without_the_hooks():
    with pytest.raises(UserError, match='SoftmaxLoss for cross entropy'):
        MODELS.build(dict(type='ObjectnessLoss', loss_cls=dict(type='CrossEntropyLoss')))


def test_objectness_scores_are_the_product():
    logits, _ = batch('softmax-objectness')
    scores = build('softmax-objectness').get_activation(logits)
    classes = logits[:, :-1].softmax(1)[:, :-1]
    torch.testing.assert_close(scores[:, :-1], classes * logits[:, -1:].sigmoid())
    assert (scores.sum(1) <= 1 + 1e-6).all()


def test_softmax_loss_equals_the_stock_loss():
    logits, labels = batch('softmax')
    stock = MODELS.build(dict(type='CrossEntropyLoss'))
    torch.testing.assert_close(build('softmax')(logits, labels)['loss_cls'], stock(logits, labels))


@each_loss
def test_prior_bias_gives_every_class_a_small_score(name):
    loss = build(name)
    bias = loss.prior_bias()
    if bias is None:
        return
    scores = loss.get_activation(bias[None])
    assert len(bias) == CHANNELS[name] and scores[0, :-1].max() <= 0.011


def test_losses_are_modules_without_parameters():
    for name in LOSSES:
        loss = build(name)
        assert isinstance(loss, nn.Module) and not list(loss.parameters())


def test_weights_without_counts_leave_them_to_the_training_set():
    loss = build('federated', with_counts=False)
    weights = {k: v for k, v in loss.state_dict().items() if 'count' not in k and k != 'num_images'}
    assert not loss.load_state_dict(weights, strict=False).missing_keys
    with pytest.raises(UserError, match='counts of the training categories'):
        loss(*batch('federated'))
