"""Against mmdet's Swin with the same weights."""

import copy
import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmdet.models.backbones import SwinTransformer
from mmdet.registry import MODELS
from plugins.backbones import FusedSwinTransformer, window_layout
from plugins.errors import UserError

TINY = dict(
    embed_dims=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 4), window_size=7, drop_path_rate=0.0
)
MODES = dict(
    fused={},
    lean=dict(activations='lean'),
    checkpoint=dict(with_cp=True),
    lean_checkpoint=dict(activations='lean', with_cp=True),
    stock=dict(attention='stock'),
    stock_checkpoint=dict(attention='stock', with_cp=True),
)
# At the coarsest stage, and at all of them, the map is smaller than a window.
SIZES = [(50, 70), (61, 45), (224, 224), (28, 28), (32, 20)]


def _pair(dtype=torch.float32, stock=None, **options):
    torch.manual_seed(0)
    theirs = SwinTransformer(**{**TINY, **(stock or {})}).to(dtype)
    for name, value in theirs.named_parameters():
        if 'bias' in name or 'norm' in name:
            torch.nn.init.normal_(value, std=0.5)
    mine = FusedSwinTransformer(**{**TINY, **(stock or {}), **options}).to(dtype)
    mine.load_state_dict(theirs.state_dict())
    return mine, theirs


def _image(size=(50, 70), dtype=torch.float32, images=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(images, 3, *size, generator=generator, dtype=dtype)


def _step(model, image):
    """Maps, and gradients of a fixed weighting of them by the image and every parameter."""
    model.train()
    model.zero_grad()
    image = image.clone().requires_grad_()
    torch.manual_seed(1)
    maps = model(image)
    loss = sum((m * torch.linspace(-1, 1, m.numel()).to(m).view_as(m)).sum() for m in maps)
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return [m.detach() for m in maps], dict(gradients, image=image.grad)


def _assert_same(mine, stock, tolerance):
    for one, other in zip(mine[0], stock[0], strict=True):
        assert (one - other).norm() <= tolerance * other.norm()
    assert mine[1].keys() == stock[1].keys()
    for name, other in stock[1].items():
        assert (mine[1][name] - other).norm() <= tolerance * other.norm(), name


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_values_and_gradients_are_those_of_stock(mode, size):
    """In 64 bits, where rounding hides nothing."""
    mine, theirs = _pair(torch.float64, **MODES[mode])
    image = _image(size, torch.float64)
    _assert_same(_step(mine, image), _step(theirs, image), 1e-11)


@pytest.mark.parametrize('mode', MODES)
def test_32_bits_are_as_near_as_rounding_allows(mode):
    mine, theirs = _pair(**MODES[mode])
    image = _image()
    maps, gradients = _step(mine, image)
    exact, stock = _step(theirs.double(), image.double()), _step(theirs.float(), image)
    for one, other, true in zip(maps, stock[0], exact[0], strict=True):
        assert (one - other).norm() <= 1e-6 * other.norm()
        assert (one - true).norm() <= 1e-6 * true.norm()
    for name, true in exact[1].items():
        # A sum with a gradient of zero, as that of the bias of keys, is rounding alone.
        error = (stock[1][name] - true).norm()
        assert (gradients[name] - true).norm() <= max(3 * error, 1e-6 * true.norm()), name


@pytest.mark.parametrize('mode', ['fused', 'lean', 'stock'])
def test_prediction_is_that_of_stock(mode):
    mine, theirs = _pair(**MODES[mode])
    mine.eval(), theirs.eval()
    with torch.no_grad():
        for one, other in zip(mine(_image()), theirs(_image()), strict=True):
            assert (one - other).norm() <= 1e-6 * other.norm()


@pytest.mark.parametrize('mode', ['lean', 'checkpoint', 'lean_checkpoint'])
def test_computing_again_changes_no_bit(mode):
    plain, _ = _pair(stock=dict(drop_path_rate=0.5, drop_rate=0.1))
    again, _ = _pair(stock=dict(drop_path_rate=0.5, drop_rate=0.1), **MODES[mode])
    expected, found = _step(plain, _image()), _step(again, _image())
    assert all(torch.equal(a, b) for a, b in zip(found[0], expected[0], strict=True))
    assert all(torch.equal(found[1][name], value) for name, value in expected[1].items())


@pytest.mark.parametrize('mode', ['lean', 'lean_checkpoint', 'checkpoint'])
def test_dropped_attention_is_the_same_when_computed_again(mode):
    plain, _ = _pair(stock=dict(attn_drop_rate=0.3))
    again, _ = _pair(stock=dict(attn_drop_rate=0.3), **MODES[mode])
    without, _ = _pair()
    expected, found = _step(plain, _image()), _step(again, _image())
    assert all(torch.equal(found[1][name], value) for name, value in expected[1].items())
    assert not torch.allclose(expected[0][0], _step(without, _image())[0][0], atol=1e-3)
    plain.eval(), without.eval()
    assert all(torch.equal(a, b) for a, b in zip(plain(_image()), without(_image()), strict=True))


@pytest.mark.parametrize('mode', MODES)
def test_same_seed_drops_the_same_paths_as_stock(mode):
    options = dict(drop_path_rate=0.5)
    mine, theirs = _pair(torch.float64, stock=options, **MODES[mode])
    image = _image(dtype=torch.float64, images=3)
    expected = _step(theirs, image)
    _assert_same(_step(mine, image), expected, 1e-11)
    whole, _ = _pair(torch.float64)
    assert not torch.allclose(_step(whole, image)[0][3], expected[0][3], atol=1e-3)


def test_options_of_stock_keep_their_meaning():
    options = dict(
        qkv_bias=False,
        qk_scale=0.7,
        window_size=4,
        mlp_ratio=2,
        out_indices=(1, 3),
        patch_norm=False,
    )
    mine, theirs = _pair(torch.float64, stock=options, activations='lean')
    image = _image(dtype=torch.float64)
    assert 'norm0.weight' not in mine.state_dict()
    _assert_same(_step(mine, image), _step(theirs, image), 1e-11)


def test_activation_in_place_is_computed_again_all_the_same():
    options = dict(act_cfg=dict(type='ReLU', inplace=True))
    mine, theirs = _pair(torch.float64, stock=options, activations='lean')
    image = _image(dtype=torch.float64)
    _assert_same(_step(mine, image), _step(theirs, image), 1e-11)


def test_weights_go_both_ways_and_the_same_seed_draws_the_same():
    models = []
    for cls in (SwinTransformer, FusedSwinTransformer):
        torch.manual_seed(3)
        models.append(cls(**TINY))
        models[-1].init_weights()
    theirs, mine = (model.state_dict() for model in models)
    assert list(mine) == list(theirs)
    assert all(torch.equal(mine[key], value) for key, value in theirs.items())
    assert [n for n, _ in models[1].named_parameters()] == [
        n for n, _ in models[0].named_parameters()
    ]
    models[0].load_state_dict(mine, strict=True)


@pytest.mark.parametrize('mode', ['fused', 'lean', 'lean_checkpoint'])
def test_half_precision_trains_and_is_near_stock(mode):
    mine, theirs = _pair(**MODES[mode])
    with torch.autocast('cpu', torch.bfloat16):
        found, expected = _step(mine, _image()), _step(theirs, _image())
    exact = _step(theirs, _image())
    for one, other, true in zip(found[0], expected[0], exact[0], strict=True):
        assert (one - true).norm() <= 1.5 * (other - true).norm() + 1e-3 * true.norm()
    for name, true in exact[1].items():
        assert found[1][name].dtype == torch.float32
        error = (expected[1][name] - true).norm()
        assert (found[1][name] - true).norm() <= 2 * error + 0.01 * true.norm(), name


@pytest.mark.parametrize('mode', MODES)
def test_frozen_stages_are_frozen_from_the_start_and_the_rest_learns(mode):
    """A distributed wrapper looks at the parameters before training begins."""
    model = MODELS.build(dict(type='FusedSwinTransformer', **TINY, frozen_stages=2, **MODES[mode]))
    frozen = ('patch_embed.', 'stages.0.', 'stages.1.', 'norm0.', 'norm1.')
    for name, value in model.named_parameters():
        assert value.requires_grad != name.startswith(frozen), name
    assert not model.stages[1].training and model.stages[2].training
    # As in training: the image has no gradient.
    sum(m.square().sum() for m in model(_image())).backward()
    learns = {n for n, p in model.named_parameters() if p.grad is not None}
    assert learns == {n for n, p in model.named_parameters() if p.requires_grad}


@pytest.fixture
def process_group():
    torch.distributed.init_process_group(
        'gloo', store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize('frozen', [-1, 1])
@pytest.mark.parametrize('mode', ['lean', 'checkpoint', 'lean_checkpoint'])
def test_distributed_training_waits_for_no_parameter(process_group, mode, frozen):
    """It says so in the step after a gradient that did not come, or came twice."""
    model = FusedSwinTransformer(**TINY, frozen_stages=frozen, **MODES[mode])
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    for _ in range(3):
        sum(m.square().sum() for m in wrapped(_image((32, 48)))).backward()


def test_first_block_after_the_image_is_recomputed_too():
    """Stock's checkpoint does nothing where its input has no gradient."""
    model, _ = _pair(with_cp=True)
    model.patch_embed.requires_grad_(False)
    assert _kept_per_token(model.stages[0].blocks[0], needs_gradient=False) < 1.1


def _kept_per_token(block, size=(28, 35), needs_gradient=True):
    """Values kept for the backward pass per token and channel, without parameters."""
    tokens = torch.randn(1, size[0] * size[1], 16, requires_grad=needs_gradient)
    own = {p.untyped_storage().data_ptr() for p in block.parameters()}
    kept = {}

    def keep(value):
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            # The tensor is kept alive, or its place would be counted once for two.
            kept[storage.data_ptr()] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        block(tokens, size)
    total = sum(value.untyped_storage().nbytes() for value in kept.values())
    return total / tokens.nbytes


@pytest.mark.parametrize('shifted', [0, 1])
def test_lean_keeps_half_of_what_stock_keeps(shifted):
    kept = {
        mode: _kept_per_token(_pair(**MODES[mode])[0].stages[0].blocks[shifted]) for mode in MODES
    }
    assert kept['lean'] < 9.2
    assert kept['stock'] / kept['lean'] > 1.9
    assert kept['fused'] < kept['stock']
    for mode in ('checkpoint', 'lean_checkpoint', 'stock_checkpoint'):
        assert kept[mode] < 1.1


class _CountProducts(TorchDispatchMode):
    """Counts multiplications of the linear layers."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in (torch.ops.aten.addmm.default, torch.ops.aten.mm.default)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(('mode', 'products'), [('fused', 12), ('lean', 12), ('checkpoint', 15)])
def test_lean_repeats_no_product_of_the_linear_layers(mode, products):
    block = _pair(**MODES[mode])[0].stages[0].blocks[1]
    tokens = torch.randn(1, 70, 16, requires_grad=True)
    with _CountProducts() as counted:
        block(tokens, (7, 10)).sum().backward()
    assert counted.count == products


def test_copies_work_and_carry_no_cache():
    model, _ = _pair(activations='lean')
    expected, _ = _step(model, _image())
    clones = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for clone in clones:
        assert all(
            torch.equal(a, b) for a, b in zip(_step(clone, _image())[0], expected, strict=True)
        )
    assert clones[0].state_dict().keys() == SwinTransformer(**TINY).state_dict().keys()


def test_many_sizes_do_not_fill_the_memory():
    model, _ = _pair()
    model.eval()
    with torch.inference_mode():
        for side in range(16, 96, 4):
            model(_image((side, 32), images=1))
    assert window_layout._cached_layout.cache_info().currsize <= 64
    _step(model, _image((16, 32)))


def test_meta_device_gives_the_shapes():
    model = FusedSwinTransformer(**TINY, activations='lean').to('meta')
    maps = model(torch.zeros(1, 3, 50, 70, device='meta'))
    assert [tuple(m.shape) for m in maps] == [
        (1, 16, 13, 18),
        (1, 32, 7, 9),
        (1, 64, 4, 5),
        (1, 128, 2, 3),
    ]
    sum(m.sum() for m in maps).backward()


def test_train_and_eval_return_the_model():
    model = FusedSwinTransformer(**TINY)
    assert model.eval() is model and not model.training
    assert model.train() is model and model.training


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(attention='flash'), r"attention is 'flash'; set one of"),
        (dict(activations='all'), r"activations is 'all'; set one of"),
        (dict(attention='stock', activations='lean'), r"activations='lean' .*attention='fused'"),
        (dict(pretrained='a.pth'), r'pretrained is not read .*init_cfg=dict'),
        (dict(init_cfg=dict(type='Pretrained')), r'init_cfg is .*checkpoint='),
    ],
)
def test_wrong_option_is_one_clear_error(options, message):
    with pytest.raises(UserError, match=rf'backbone\.{message}'):
        FusedSwinTransformer(**options)
