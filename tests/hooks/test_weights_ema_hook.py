import copy
import json
import math
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop
from torch import nn

from mmdet.models.layers import ExpMomentumEMA
from plugins.checkpoints import CheckpointError
from plugins.errors import UserError
from plugins.hooks import WeightsEMAHook
from tests.hooks.short_run import (
    AP,
    EPOCHS,
    ITERS,
    Network,
    Run,
    hook_of,
    same_state,
    without_waiting,
)
from tests.roi_heads.nano import nano_model
from tests.steps import build_detector
from tests.tensor_memory import TensorMemory

EMA = dict(type='WeightsEMAHook', momentum=0.1, gamma=4)
EXACT = [dict(type='StepSeedHook'), dict(type='ResumeValidationHook')]

each_loop = pytest.mark.parametrize('loop', [EPOCHS, ITERS], ids=['epochs', 'iterations'])


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    without_waiting(monkeypatch)


def _run(tmp_path, loop=EPOCHS, **more):
    ema = {**EMA, **more.pop('ema', {})}
    return Run(tmp_path, loop, [*EXACT, ema], **more)


def _saved(tmp_path, name):
    return torch.load(tmp_path / name, weights_only=True)


def _average_of(runner):
    return hook_of(runner, WeightsEMAHook).ema_model


def _same_end(one, other):
    """Whether two runs ended with the same weights, averages and number of updates."""
    return same_state(one.model.state_dict(), other.model.state_dict()) and same_state(
        _average_of(one).state_dict(), _average_of(other).state_dict()
    )


class _Recorder:
    """Weights after every step of a run, as a hook sees them."""

    def __init__(self, monkeypatch):
        self.states = []
        update = WeightsEMAHook.after_train_iter

        def record(hook, runner, *args, **kwargs):
            self.states.append([p.detach().clone() for p in hook.src_model.parameters()])
            update(hook, runner, *args, **kwargs)

        monkeypatch.setattr(WeightsEMAHook, 'after_train_iter', record)


@each_loop
def test_saved_weights_are_the_average_of_those_after_every_step(tmp_path, loop, monkeypatch):
    recorder = _Recorder(monkeypatch)
    _run(tmp_path, loop).train()
    name = 'epoch_6.pth' if loop is EPOCHS else 'iter_18.pth'
    checkpoint = _saved(tmp_path, name)
    model = Network()
    stock = ExpMomentumEMA(model, momentum=0.1, gamma=4)
    for state in recorder.states:
        for parameter, value in zip(model.parameters(), state, strict=True):
            parameter.data.copy_(value)
        stock.update_parameters(model)
    assert len(recorder.states) == int(checkpoint['ema_state_dict']['steps']) == 18
    for name, parameter in model.named_parameters():
        expected = stock.module.get_parameter(name)
        torch.testing.assert_close(checkpoint['state_dict'][name], expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(checkpoint['ema_state_dict'][f'module.{name}'], parameter)
    assert not torch.equal(checkpoint['state_dict']['layers.0.weight'], model.layers[0].weight)


def test_buffers_of_a_checkpoint_are_those_of_the_model(tmp_path):
    runner = _run(tmp_path).train()
    checkpoint = _saved(tmp_path, 'epoch_6.pth')
    assert checkpoint['state_dict']['counts'].tolist() == [2**40 + 18, 18]
    for name, buffer in runner.model.named_buffers():
        assert torch.equal(checkpoint['state_dict'][name], buffer)
        assert torch.equal(checkpoint['ema_state_dict'][f'module.{name}'], buffer)
    assert torch.equal(checkpoint['state_dict']['frozen'], Network().frozen)


def _best(tmp_path):
    (path,) = tmp_path.glob('best_*.pth')
    return path


@each_loop
def test_best_checkpoint_loaded_plainly_gives_the_ap_of_its_validation(tmp_path, loop):
    run = _run(tmp_path, loop)
    run.cfg['default_hooks']['checkpoint'].update(save_best=AP, rule='greater')
    runner = run.train()
    (log,) = tmp_path.glob('*/vis_data/2*.json')
    logs = [json.loads(line) for line in log.read_text().splitlines()]
    aps = [entry[AP] for entry in logs if AP in entry]
    assert len(aps) == 6 and max(aps) != aps[-1]
    run.cfg['custom_hooks'] = []
    metrics = run.build(load_from=str(_best(tmp_path))).test()
    assert metrics[AP] == max(aps) == runner.message_hub.get_info('best_score')


@each_loop
@pytest.mark.parametrize(
    'ends',
    [[dict(dies_in_step=8)], [dict(dies_in_test=11)], [dict(dies_in_step=5), dict(dies_in_test=7)]],
    ids=['in training', 'in a validation', 'twice'],
)
def test_killed_and_resumed_run_ends_as_an_undisturbed_one(tmp_path, loop, ends):
    whole = _run(tmp_path / 'whole', loop).train()
    run = _run(tmp_path / 'killed', loop)
    for number, end in enumerate(ends):
        run.train(**end, resume=number > 0)
    resumed = run.train(resume=True)
    assert _same_end(resumed, whole)
    assert int(_average_of(resumed).steps) == 18
    name = 'epoch_6.pth' if loop is EPOCHS else 'iter_18.pth'
    one, other = (_saved(tmp_path / folder, name) for folder in ('whole', 'killed'))
    for key in ('state_dict', 'ema_state_dict'):
        assert same_state(one[key], other[key])


def test_run_killed_inside_an_epoch_is_resumed_exactly(tmp_path):
    whole = _run(tmp_path / 'whole').train()
    run = _run(tmp_path / 'killed')
    run.cfg['default_hooks']['checkpoint'].update(by_epoch=False, interval=2)
    run.train(dies_in_step=9)
    assert _same_end(run.train(resume=True), whole)


def test_interrupted_validation_leaves_the_weights_that_train_to_the_next_training(tmp_path):
    whole = _run(tmp_path / 'whole').train()
    runner = _run(tmp_path / 'interrupted').train(dies_in_test=5)
    assert hook_of(runner, WeightsEMAHook)._average.is_exchanged
    runner.save_checkpoint(str(tmp_path), 'emergency.pth')
    before = _saved(tmp_path / 'interrupted', 'epoch_2.pth')
    emergency = _saved(tmp_path, 'emergency.pth')
    for key in ('state_dict', 'ema_state_dict'):
        assert same_state(emergency[key], before[key])
    runner.train()
    assert _same_end(runner, whole)


def test_test_after_the_training_is_of_the_average_and_gives_the_weights_back(tmp_path):
    runner = _run(tmp_path).train()
    raw = copy.deepcopy(runner.model.state_dict())
    found = runner.test()['lvis/found']
    assert same_state(runner.model.state_dict(), raw)
    runner.model.load_state_dict(_saved(tmp_path, 'epoch_6.pth')['state_dict'])
    runner.model.eval()
    inputs = [sample['inputs'] for sample in runner.val_dataloader.dataset.data_list]
    expected = float(runner.model.layers(torch.stack(inputs)).detach().double().sum())
    assert found == pytest.approx(expected, rel=1e-5)


def test_plain_test_makes_no_copy(tmp_path):
    run = _run(tmp_path)
    run.train()
    path = str(tmp_path / 'epoch_6.pth')
    runner = run.build(load_from=path)
    found = runner.test()['lvis/found']
    assert not hasattr(hook_of(runner, WeightsEMAHook), 'ema_model')
    assert not isinstance(runner._train_loop, BaseLoop)
    assert same_state(runner.model.state_dict(), _saved(tmp_path, 'epoch_6.pth')['state_dict'])
    run.cfg['custom_hooks'] = []
    assert run.build(load_from=path).test()['lvis/found'] == found


@each_loop
def test_accumulating_iterations_are_no_updates(tmp_path, loop, monkeypatch):
    recorder = _Recorder(monkeypatch)
    runner = _run(
        tmp_path,
        loop,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=4),
    ).train()
    # 18 iterations: after 4, 8, 12, 16, and the rest at the end.
    assert int(_average_of(runner).steps) == 5
    stock = ExpMomentumEMA(Network(), momentum=0.1, gamma=4)
    model = Network()
    for i in (3, 7, 11, 15, 17):
        for parameter, value in zip(model.parameters(), recorder.states[i], strict=True):
            parameter.data.copy_(value)
        stock.update_parameters(model)
    for one, other in zip(_average_of(runner).parameters(), stock.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


class _ScaledWrapper(OptimWrapper):
    """Loss scaling as mixed precision does it, without its GPU; some gradients overflow."""

    def __init__(self, optimizer, overflows, **kwargs):
        super().__init__(optimizer, **kwargs)
        self.scaler = torch.amp.GradScaler('cpu', init_scale=2.0)
        self.overflows = overflows

    def backward(self, loss, **kwargs):
        factor = float('inf') if self._inner_count in self.overflows else 1.0
        self.scaler.scale(loss * factor).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()


@pytest.mark.parametrize('fused', [False, True])
def test_steps_that_mixed_precision_skips_are_no_updates(tmp_path, fused):
    network = Network()
    optimizer = torch.optim.SGD(network.layers.parameters(), lr=0.01, fused=fused)
    run = _run(tmp_path, optim_wrapper=_ScaledWrapper(optimizer, overflows=(0, 5, 6)))
    assert int(_average_of(run.train(network=network)).steps) == 15


@each_loop
def test_average_begins_when_told(tmp_path, loop):
    begin = dict(begin_epoch=3) if loop is EPOCHS else dict(begin_iter=7)
    runner = _run(tmp_path, loop, ema=begin).train()
    # From epoch 3, after six iterations, and from iteration 7 on.
    assert int(_average_of(runner).steps) == 12
    early = _saved(tmp_path, 'epoch_2.pth' if loop is EPOCHS else 'iter_6.pth')
    for name, value in early['state_dict'].items():
        assert torch.equal(early['ema_state_dict'][f'module.{name}'], value)
    run = _run(tmp_path / 'killed', loop, ema=begin)
    run.train(dies_in_step=6)
    assert _same_end(run.train(resume=True), runner)


def test_average_starts_from_weights_that_are_loaded(tmp_path):
    torch.manual_seed(5)
    start = {name: torch.rand_like(p) for name, p in Network().named_parameters()}
    start = {**Network().state_dict(), **start}
    torch.save(dict(state_dict=start), tmp_path / 'start.pth')
    run = _run(tmp_path, ema=dict(begin_epoch=6))
    runner = run.build(load_from=str(tmp_path / 'start.pth'))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.call_hook('before_run')
    runner.load_or_resume()
    hook_of(runner, WeightsEMAHook).before_val_epoch(runner)
    assert same_state(runner.model.state_dict(), start)


def test_checkpoint_with_an_average_is_an_ordinary_start(tmp_path):
    """`load_from` takes the averaged weights, as every other program does, and counts anew."""
    _run(tmp_path / 'first').train()
    path = str(tmp_path / 'first/epoch_6.pth')
    runner = _run(tmp_path / 'second').train(load_from=path, dies_in_step=1)
    assert same_state(runner.model.state_dict(), _saved(tmp_path, path)['state_dict'])
    assert int(_average_of(runner).steps) == 0


def _messages(monkeypatch):
    texts = []
    monkeypatch.setattr(
        'plugins.hooks.weights_ema_hook.print_log', lambda text, **_: texts.append(text)
    )
    return texts


def test_resuming_a_run_without_an_average_starts_it_with_one_warning(tmp_path, monkeypatch):
    texts = _messages(monkeypatch)
    run = _run(tmp_path)
    ema = run.cfg['custom_hooks'].pop()
    run.train(dies_in_step=8)
    run.cfg['custom_hooks'].append(ema)
    runner = run.train(resume=True)
    assert len(texts) == 1 and 'epoch_2.pth has no average of the weights' in texts[0]
    assert int(_average_of(runner).steps) == 12


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.pop('module.layers.0.weight'), r'does not hold layers\.0\.weight and its'),
        (lambda s: s.update({'module.frozen': torch.zeros(4)}), r'frozen and its .* \(3,\)'),
        (lambda s: s.pop('steps'), 'does not say how often'),
    ],
    ids=['missing', 'another shape', 'no count'],
)
def test_average_that_is_not_whole_is_an_error(tmp_path, change, message):
    run = _run(tmp_path)
    run.train(dies_in_step=8)
    checkpoint = _saved(tmp_path, 'epoch_2.pth')
    change(checkpoint['ema_state_dict'])
    torch.save(checkpoint, tmp_path / 'epoch_2.pth')
    with pytest.raises(CheckpointError, match=rf'epoch_2\.pth .*{message}'):
        run.train(resume=True)


def test_buffer_that_grew_is_resumed(tmp_path):
    class Growing(Network):
        def _load_from_state_dict(self, state_dict, prefix, *args):
            self.counts = torch.zeros_like(state_dict[f'{prefix}counts'])
            super()._load_from_state_dict(state_dict, prefix, *args)

    run = _run(tmp_path)
    grown = Growing()
    grown.counts = torch.arange(9)
    run.train(network=grown, dies_in_step=8)
    path = str(tmp_path / 'epoch_2.pth')
    runner = run.build(resume=True, load_from=path, network=Growing())
    # Otherwise the shape is another architecture's.
    runner._hooks = [h for h in runner.hooks if type(h).__name__ != 'CheckpointFitHook']
    runner.train()
    assert runner.model.counts.tolist() == [i + 18 for i in range(9)]
    saved = _saved(tmp_path, 'epoch_6.pth')
    assert torch.equal(saved['state_dict']['counts'], runner.model.counts)


def test_wrapped_model_saves_and_resumes_as_a_plain_one(tmp_path):
    plain = _run(tmp_path / 'plain').train()
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        run = _run(tmp_path / 'wrapped')
        run.train(network=MMDistributedDataParallel(Network()), dies_in_step=8)
        runner = run.train(network=MMDistributedDataParallel(Network()), resume=True)
    finally:
        dist.destroy_process_group()
    one, other = (_saved(tmp_path / kind, 'epoch_6.pth') for kind in ('plain', 'wrapped'))
    for key in ('state_dict', 'ema_state_dict'):
        assert same_state(one[key], other[key])
    assert same_state(runner.model.module.state_dict(), plain.model.state_dict())


def test_exchange_holds_one_tensor_at_a_time(tmp_path):
    runner = _run(tmp_path).train(dies_in_step=5)
    hook = hook_of(runner, WeightsEMAHook)
    largest = max(p.numel() * p.element_size() for p in runner.model.parameters())
    with TensorMemory() as memory:
        hook.before_val_epoch(runner)
        hook.after_val_epoch(runner)
    assert 0 < memory.peak <= largest


def _hooked(model):
    """The hook on a model, and the few things of a runner that it asks for."""
    hook = WeightsEMAHook(momentum=0.3, gamma=2)
    runner = SimpleNamespace(model=model, _train_loop=BaseLoop.__new__(_Loop), _resume=True)
    hook.before_run(runner)
    return hook, runner


class _Loop(BaseLoop):
    def run(self):
        pass


def _checkpoint(hook, runner):
    checkpoint = dict(meta={}, state_dict=copy.deepcopy(runner.model.state_dict()))
    hook.before_save_checkpoint(runner, checkpoint)
    return checkpoint


def test_retrained_detector_resumes_its_own_average_of_what_trains(tmp_path):
    trained = ['roi_head.bbox_head.fc_cls']
    config = nano_model('mask-rcnn', type='RetrainedDetector', trained=trained, reinitialize=True)
    hook, runner = _hooked(build_detector(config))
    start = copy.deepcopy(runner.model.state_dict())
    for _ in range(3):
        with torch.no_grad():
            runner.model.roi_head.bbox_head.fc_cls.weight.normal_()
        hook._average.update()
    checkpoint = _checkpoint(hook, runner)
    saved = copy.deepcopy(checkpoint)
    for name, value in checkpoint['state_dict'].items():
        moves = name == 'roi_head.bbox_head.fc_cls.weight'
        assert torch.equal(value, start[name]) != moves, name

    again, runner = _hooked(build_detector(config))
    again.after_load_checkpoint(runner, checkpoint)
    runner.model.load_state_dict(checkpoint['state_dict'])
    resumed = _checkpoint(again, runner)
    for key in ('state_dict', 'ema_state_dict'):
        assert same_state(resumed[key], saved[key])


def test_average_of_composite_backbones_is_kept_for_each(tmp_path):
    config = nano_model('mask-rcnn', type='CompositeDetector', backbone=dict(num_backbones=3))
    config.backbone.type = 'CBResNet'
    hook, runner = _hooked(build_detector(config))
    hook._average.update()
    start = copy.deepcopy(runner.model.state_dict())
    with torch.no_grad():
        for parameter in runner.model.parameters():
            parameter += 1
    hook._average.update()
    momentum = 0.7 * math.exp(-2 / 2) + 0.3
    saved = _checkpoint(hook, runner)
    names = [name for name, _ in runner.model.named_parameters()]
    assert sum(name.startswith('backbone.') for name in names) > 3 * 50
    for name in names:
        expected = start[name] + momentum
        torch.testing.assert_close(saved['state_dict'][name], expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(saved['ema_state_dict'][f'module.{name}'], start[name] + 1)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(ema_type='ResNet'), "ema_type='ResNet' is no averaged model"),
        (dict(ema_type='Nowhere'), "ema_type='Nowhere' is no averaged model"),
        (dict(begin_iter=3, begin_epoch=2), 'only one can be set; they are 3 and 2'),
        (dict(begin_iter=-1), 'must not be negative'),
        (dict(momentum=0), 'momentum must be between 0 and 1, not 0'),
        (dict(interval=0), 'interval must be 1 or more, not 0'),
        (dict(gamma=0), 'gamma must be above 0'),
        (dict(update_buffers=True), 'update_buffers=True is not possible'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        WeightsEMAHook(**options)


@pytest.mark.parametrize(
    ('loop', 'ema', 'message'),
    [
        (EPOCHS, dict(begin_epoch=7), 'begin_epoch is 7, but the run ends with 6'),
        (ITERS, dict(begin_iter=19), 'begin_iter is 19, but the run ends with 18'),
        (ITERS, dict(begin_epoch=1), 'use begin_iter'),
    ],
)
def test_average_that_would_never_begin_is_an_error(tmp_path, loop, ema, message):
    with pytest.raises(UserError, match=message):
        _run(tmp_path, loop, ema=ema).train()


def test_all_averaged_models_of_mmengine_serve(tmp_path):
    for ema_type in ('ExponentialMovingAverage', 'MomentumAnnealingEMA', 'StochasticWeightAverage'):
        run = Run(tmp_path / ema_type, EPOCHS, [dict(type='WeightsEMAHook', ema_type=ema_type)])
        runner = run.train(dies_in_step=6)
        assert int(_average_of(runner).steps) == 5
        for parameter in _average_of(runner).parameters():
            assert bool(torch.isfinite(parameter).all())


def test_copy_can_be_kept_on_the_cpu(tmp_path):
    runner = _run(tmp_path, ema=dict(device='cpu')).train(dies_in_step=6)
    assert {p.device.type for p in _average_of(runner).parameters()} == {'cpu'}
    assert isinstance(_average_of(runner).module, nn.Module)
