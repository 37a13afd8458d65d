"""Moving average of the weights of a Swin-B, 87 million parameters in 333 tensors."""

from tools.benchmarks.item import Benchmark

STEPS = 5


def make_inputs() -> dict:
    """A backbone and an average of each kind that has yet to catch up with it."""
    import torch

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.models.backbones import SwinTransformer
    from mmdet.models.layers import ExpMomentumEMA
    from plugins.hooks.weight_average import WeightAverage

    torch.manual_seed(0)
    model = SwinTransformer(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32))
    stock = ExpMomentumEMA(model)
    ours = WeightAverage(ExpMomentumEMA(model), model)
    # The first update is a copy.
    stock.update_parameters(model)
    ours.update()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return dict(model=model, stock=stock, ours=ours)


def run_ours(inputs: dict) -> list:
    """Average some steps with our update; return the average."""
    for _ in range(STEPS):
        inputs['ours'].update()
    return list(inputs['ours'].averaged.parameters())


def run_stock(inputs: dict) -> list:
    """Average some steps with stock's update; return the average."""
    for _ in range(STEPS):
        inputs['stock'].update_parameters(inputs['model'])
    return list(inputs['stock'].parameters())


def same_average(ours: list, stock: list) -> bool:
    """Whether the averages agree to a few roundings of float32."""
    import torch

    return len(ours) == len(stock) and all(
        torch.allclose(one, other, rtol=1e-5, atol=1e-6)
        for one, other in zip(ours, stock, strict=True)
    )


ITEMS = (
    Benchmark(
        name='ema',
        peer=f'mmdet ExpMomentumEMA, {STEPS} updates of a Swin-B (87 M parameters)',
        setup=make_inputs,
        ours=run_ours,
        peer_run=run_stock,
        check=same_average,
    ),
)
