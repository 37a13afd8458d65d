"""Types and empty inputs of every differentiable operator, through mmcv's Python side."""

import mmcv.ops as ops
import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

from plugins.ops.precision import widened

ROIS = torch.tensor([[0, 3.3, 5.1, 30.7, 41.9], [1, 1.0, 2.0, 60.0, 50.0]])
SHAPES, STARTS = torch.tensor([[4, 5], [2, 3]]), torch.tensor([0, 20])
TARGET = torch.tensor([0, 3, 1, 2, 2, 0])


def attend(value, place, weight):
    shapes, starts = SHAPES.to(value.device), STARTS.to(value.device)
    return MultiScaleDeformableAttnFunction.apply(value, shapes, starts, place, weight, 64)


def softmax_loss(x):
    return ops.softmax_focal_loss(x.clone(), TARGET.to(x.device), 2.0, 0.25, None, 'sum')


# Operator, and the shapes of its floating inputs; N is the batch or the number of RoIs.
OPERATORS = {
    'roi_align': (lambda x: ops.roi_align(x, ROIS.to(x.device), 3, 0.125, 2), [(2, 3, 8, 10)]),
    'roi_pool': (lambda x: ops.roi_pool(x, ROIS.to(x.device), 3, 0.125), [(2, 3, 8, 10)]),
    'deform_roi_pool': (
        lambda x, o: ops.deform_roi_pool(x, ROIS.to(x.device), o, 3, 0.125, 2, 0.1),
        [(2, 3, 8, 10), (2, 2, 3, 3)],
    ),
    'deform_conv': (
        lambda x, o, w: ops.deform_conv2d(x, o, w, 1, 1),
        [(2, 4, 6, 6), (2, 18, 6, 6), (3, 4, 3, 3)],
    ),
    'modulated_deform_conv': (
        lambda x, o, m, w, b: ops.modulated_deform_conv2d(x, o, m, w, b, 1, 1),
        [(2, 4, 6, 6), (2, 18, 6, 6), (2, 9, 6, 6), (3, 4, 3, 3), (3,)],
    ),
    'carafe': (lambda x, m: ops.carafe(x, m, 3, 1, 2), [(2, 4, 4, 5), (2, 9, 8, 10)]),
    'sigmoid_focal_loss': (
        lambda x: ops.sigmoid_focal_loss(x, TARGET.to(x.device), 2.0, 0.25, None, 'sum'),
        [(6, 4)],
    ),
    'softmax_focal_loss': (softmax_loss, [(6, 4)]),
    'ms_deform_attn': (attend, [(2, 26, 2, 3), (2, 4, 2, 2, 2, 2), (2, 4, 2, 2, 2)]),
}


def run(name, inputs):
    """Output and gradients for random weights of the output, which depend on its shape only."""
    operator = OPERATORS[name][0]
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]
    output = operator(*inputs)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randint(-2, 3, output.shape, generator=generator).to(output)
    return output, torch.autograd.grad((output * weight).sum(), inputs)


@pytest.mark.parametrize('name', OPERATORS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_give_the_float32_result_in_their_own(name, dtype, device):
    generator = torch.Generator().manual_seed(0)
    shapes = OPERATORS[name][1]
    inputs = [torch.randn(shape, generator=generator).to(device).to(dtype) for shape in shapes]
    output, grads = run(name, inputs)
    expected, expected_grads = run(name, [tensor.float() for tensor in inputs])
    assert output.dtype == dtype and all(grad.dtype == dtype for grad in grads)
    loose = 8 * torch.finfo(dtype).eps if dtype.itemsize < 4 else 1e-4
    for ours, theirs in zip((output, *grads), (expected, *expected_grads), strict=True):
        atol = loose * float(theirs.detach().abs().max())
        torch.testing.assert_close(ours.float(), theirs, atol=atol, rtol=loose)


@pytest.mark.parametrize('name', OPERATORS)
def test_memory_layout_does_not_matter(name, device):
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=generator) for shape in OPERATORS[name][1]]
    plain = [tensor.to(device) for tensor in inputs]
    strided = [tensor.transpose(0, -1).contiguous().transpose(0, -1) for tensor in plain]
    (expected, expected_grads), (output, grads) = run(name, plain), run(name, strided)
    for ours, theirs in zip((output, *grads), (expected, *expected_grads), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
@pytest.mark.parametrize(
    'pool',
    [
        lambda x, r: ops.roi_align(x, r, 3, 0.125, 0),
        lambda x, r: ops.roi_align(x, r, 3, 0.125, 2, 'max'),
        lambda x, r: ops.roi_pool(x, r, 3, 0.125),
        lambda x, r: ops.deform_roi_pool(x, r, x.new_zeros(0, 2, 3, 3), 3, 0.125, 2),
        lambda x, r: ops.deform_roi_pool(x, r, None, 3, 0.125, 2),
    ],
)
def test_no_rois_give_no_rows_and_a_zero_gradient(pool, dtype, device):
    features = torch.randn(2, 3, 8, 10, device=device).to(dtype).requires_grad_()
    output = pool(features, ROIS[:0].to(device))
    assert output.shape == (0, 3, 3, 3) and output.dtype == dtype
    output.sum().backward()
    assert features.grad.shape == features.shape and features.grad.abs().max() == 0


def test_other_empty_inputs(device):
    empty = {
        'carafe': [(0, 4, 4, 5), (0, 9, 8, 10)],
        'ms_deform_attn': [(2, 26, 2, 3), (2, 0, 2, 2, 2, 2), (2, 0, 2, 2, 2)],
    }
    for name, shapes in empty.items():
        output, grads = run(name, [torch.zeros(shape, device=device) for shape in shapes])
        assert output.numel() == 0
        assert [grad.shape for grad in grads] == [torch.Size(shape) for shape in shapes]
    none = torch.zeros(0, 4, device=device, requires_grad=True)
    loss = ops.sigmoid_focal_loss(none, TARGET[:0].to(device), 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss == 0 and none.grad.shape == (0, 4)


def test_rois_may_be_more_precise_than_the_features():
    # A box rounded to the features' type would move by pixels on a large image.
    features = torch.arange(64 * 64.0).reshape(1, 1, 64, 64).to(torch.bfloat16)
    rois = torch.tensor([[0, 401.3, 305.7, 433.9, 340.2]])
    exact = ops.roi_align(features.float(), rois, 2, 0.125, 2)
    assert torch.equal(ops.roi_align(features, rois, 2, 0.125, 2), exact.to(torch.bfloat16))


@pytest.mark.parametrize(
    ('types', 'common'),
    [
        ((torch.float16,), torch.float32),
        ((torch.bfloat16, torch.float16), torch.float32),
        ((torch.int64, torch.float16), torch.float32),
        ((torch.float32, torch.float64), torch.float64),
    ],
)
def test_common_type_has_at_least_32_bits(types, common):
    assert {t.dtype for t in widened(*(torch.zeros(2, dtype=d) for d in types))} == {common}


def test_wide_tensors_are_not_copied():
    tensor = torch.zeros(3)
    assert widened(tensor)[0] is tensor
