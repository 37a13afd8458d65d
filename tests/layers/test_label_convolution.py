import pytest
import torch
from mmcv.cnn import build_conv_layer
from torch import nn

from mmdet.models.layers import NormedConv2d
from plugins.layers import NormalizedConv2d, knows_label_channels, label_channel
from plugins.layers.rectified_label_convolution import RectifiedLabelConvolution

CHANNELS, CLASSES = 12, 7
PREDICTORS = dict(
    plain=lambda: nn.Conv2d(CHANNELS, CLASSES, 1),
    of_a_config=lambda: build_conv_layer(dict(type='Conv'), CHANNELS, CLASSES, 1),
    without_bias=lambda: nn.Conv2d(CHANNELS, CLASSES, 1, bias=False),
    normalized=lambda: NormalizedConv2d(CHANNELS, CLASSES, 1, temperature=30),
    normed=lambda: NormedConv2d(CHANNELS, CLASSES, 1, tempearture=10, power=0.7),
    normed_over_kernel=lambda: NormedConv2d(CHANNELS, CLASSES, 1, norm_over_kernel=True),
)


def _predictor(name):
    predictor = PREDICTORS[name]()
    nn.init.normal_(predictor.weight)
    if predictor.bias is not None:
        nn.init.normal_(predictor.bias)
    return predictor


@pytest.mark.parametrize('name', PREDICTORS)
@pytest.mark.parametrize('rectify', [False, True])
@pytest.mark.parametrize('labels', [[3, 0, 3, 6, 3], [2], []], ids=str)
def test_channel_and_gradients_are_those_of_the_whole_layer(name, labels, rectify):
    torch.manual_seed(0)
    predictor, labels = _predictor(name), torch.tensor(labels, dtype=torch.long)
    assert knows_label_channels(predictor)
    features = torch.randn(len(labels), CHANNELS, 5, 4, requires_grad=True)
    weights = torch.randn(len(labels), 5, 4)
    inputs = (features, *predictor.parameters())

    whole = predictor(features.relu() if rectify else features)[torch.arange(len(labels)), labels]
    expected = torch.autograd.grad((whole * weights).sum(), inputs)
    alone = label_channel(predictor, features * 1, labels, rectify=rectify)
    found = torch.autograd.grad((alone * weights).sum(), inputs)

    torch.testing.assert_close(alone, whole, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    absent = torch.ones(CLASSES, dtype=torch.bool)
    absent[labels] = False
    assert not found[1][absent].any()


def test_only_what_is_trained_gets_a_gradient():
    torch.manual_seed(0)
    predictor, labels = _predictor('plain'), torch.tensor([1, 5])
    features = torch.randn(2, CHANNELS, 3, 3)
    label_channel(predictor, features.clone(), labels, rectify=True).sum().backward()
    assert predictor.weight.grad.any() and features.grad is None
    predictor.requires_grad_(False)
    features.requires_grad_()
    label_channel(predictor, features * 1, labels, rectify=True).sum().backward()
    expected = predictor.weight[labels] * (features > 0)
    torch.testing.assert_close(features.grad, expected)


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    features = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(RectifiedLabelConvolution.apply, (features, rows))


@pytest.mark.parametrize('rectify', [False, True])
@pytest.mark.parametrize('name', ['plain', 'normalized', 'normed'])
def test_half_precision_stays_what_autocast_makes_of_the_layer(name, rectify):
    torch.manual_seed(0)
    predictor, labels = _predictor(name), torch.tensor([1, 5])
    features = torch.rand(2, CHANNELS, 3, 3).bfloat16().requires_grad_()
    inputs = (features, predictor.weight)
    with torch.autocast('cpu', torch.bfloat16):
        whole = predictor(features)[[0, 1], labels]
        alone = label_channel(predictor, features * 1, labels, rectify=rectify)
    assert alone.dtype == whole.dtype == torch.bfloat16
    torch.testing.assert_close(alone, whole, rtol=0.05, atol=0.05)
    for mine, theirs in zip(
        *(torch.autograd.grad(x.sum(), inputs) for x in (alone, whole)), strict=True
    ):
        assert mine.dtype == theirs.dtype
        torch.testing.assert_close(mine, theirs, rtol=0.05, atol=0.1)


class _Derived(nn.Conv2d):
    pass


def _with_hook():
    predictor = nn.Conv2d(CHANNELS, CLASSES, 1)
    predictor.register_forward_hook(lambda *_: None)
    return predictor


@pytest.mark.parametrize(
    'make',
    [
        lambda: nn.Conv2d(CHANNELS, CLASSES, 3, padding=1),
        lambda: nn.Conv2d(CHANNELS, CLASSES, 1, padding=1),
        lambda: nn.Conv2d(CHANNELS, CLASSES, 1, stride=2),
        lambda: nn.Conv2d(CHANNELS, CHANNELS, 1, groups=2),
        lambda: _Derived(CHANNELS, CLASSES, 1),
        lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(CHANNELS, CLASSES, 1)),
        lambda: nn.ConvTranspose2d(CHANNELS, CLASSES, 1),
        _with_hook,
    ],
)
def test_any_other_layer_is_not_known(make):
    assert not knows_label_channels(make())
