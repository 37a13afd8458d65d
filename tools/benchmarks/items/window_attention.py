"""Window attention of Swin: stock against torch's fused call, at widths of Swin-T and Swin-L."""

from tools.benchmarks.devices import DEVICES, named
from tools.benchmarks.item import Benchmark

# Channels, and the map of the stage of Swin-L (of Swin-T for 96) of an image of 672 x 400 pixels;
# all but the first need padding.
STAGES = ((96, (98, 168)), (192, (100, 168)), (384, (50, 84)), (768, (25, 42)), (1536, (13, 21)))


def make_inputs(width: int, size: tuple[int, int], device: str = 'cpu') -> dict:
    """Plain and shifted attention of both sides with the same weights."""
    from torch import nn

    from tools.benchmarks.swin_blocks import make_blocks, make_tokens

    class Attentions(nn.Module):
        def __init__(self, **options) -> None:
            super().__init__()
            blocks = make_blocks(width, 2, **options).blocks
            self.parts = nn.ModuleList(block.attn for block in blocks)

        def forward(self, x: object, hw_shape: tuple[int, int]) -> object:
            for part in self.parts:
                x = x + part(x, hw_shape)
            return x

    return dict(
        ours=Attentions(fused=True, lean=False).to(device),
        stock=Attentions().to(device),
        tokens=make_tokens(width, size, device),
        size=size,
    )


def train(inputs: dict, side: str) -> dict:
    """Forward and backward."""
    from tools.benchmarks.swin_blocks import train_step

    return train_step(inputs[side].train(), inputs['tokens'], inputs['size'])


def test(inputs: dict, side: str) -> dict:
    """Forward alone."""
    from tools.benchmarks.swin_blocks import predict

    return predict(inputs[side], inputs['tokens'], inputs['size'])


def same(ours: dict, stock: dict) -> bool:
    """Whether outputs and gradients agree."""
    from tools.benchmarks.swin_blocks import same_tensors

    return same_tensors(ours, stock)


def _item(kind: str, width: int, size: tuple[int, int], device: str = 'cpu') -> Benchmark:
    run = train if kind == 'train' else test
    return Benchmark(
        name=named(f'window_attention_{kind}_{width}', device),
        peer=f'mmdet ShiftWindowMSA, plain and shifted, {width} channels, {size[0]} x {size[1]}',
        setup=lambda: make_inputs(width, size, device),
        ours=lambda inputs: run(inputs, 'ours'),
        peer_run=lambda inputs: run(inputs, 'stock'),
        check=same,
    )


ITEMS = tuple(
    _item(kind, width, size, device)
    for device in DEVICES
    for kind in ('train', 'test')
    for width, size in STAGES
)
