"""What a stage of Swin keeps for the backward pass, and the time of a training step.

``swin_activations_*`` are about memory and tune the C library for it, ``swin_step_*`` about time.
"""

from tools.benchmarks.devices import DEVICES, named
from tools.benchmarks.item import Benchmark, say

DEPTH = 6
# Channels and map, of stages 1 and 3 of Swin-L; both need padding.
STAGES = ((192, (60, 90)), (768, (27, 41)))
MODES = dict(
    kept=dict(lean=False),
    lean=dict(lean=True),
    checkpoint=dict(lean=False, with_cp=True),
    lean_checkpoint=dict(lean=True, with_cp=True),
)
# By which share of stock's a mode has to keep less.
BARS = dict(kept=1.0, lean=1.7, checkpoint=15.0, lean_checkpoint=15.0)


def make_inputs(
    mode: str, width: int, size: tuple[int, int], device: str = 'cpu', *, for_memory: bool = False
) -> dict:
    """The stage of both sides with the same weights; says what each keeps."""
    from tools.benchmarks.swin_blocks import (
        kept_values,
        make_blocks,
        make_tokens,
        return_memory_at_once,
    )

    if for_memory:
        return_memory_at_once()
    sides = dict(
        ours=make_blocks(width, DEPTH, fused=True, **MODES[mode]).to(device),
        stock=make_blocks(width, DEPTH).to(device),
    )
    tokens = make_tokens(width, size, device)
    kept = {side: kept_values(stage, tokens, size) / DEPTH for side, stage in sides.items()}
    say(
        f'{mode}, {width} channels: keeps {kept["ours"]:.2f} values per token, channel and block, '
        f'stock {kept["stock"]:.2f}: {kept["stock"] / kept["ours"]:.2f} times as many'
    )
    is_less = kept['stock'] >= BARS[mode] * kept['ours']
    return dict(**sides, tokens=tokens, size=size, is_less=is_less)


def run(inputs: dict, side: str) -> dict:
    """Forward and backward."""
    from tools.benchmarks.swin_blocks import train_step

    result = train_step(inputs[side], inputs['tokens'], inputs['size'])
    return dict(tensors=result, is_less=inputs['is_less'])


def same(ours: dict, stock: dict) -> bool:
    """Whether outputs and gradients agree, and less is kept."""
    from tools.benchmarks.swin_blocks import same_tensors

    return ours['is_less'] and same_tensors(ours['tensors'], stock['tensors'])


def _item(mode: str, width: int, size: tuple[int, int], device: str, kind: str) -> Benchmark:
    for_memory = kind == 'activations'
    return Benchmark(
        name=named(f'swin_{kind}_{mode}_{width}', device),
        peer=f'{DEPTH} blocks of mmdet Swin, forward and backward, {width} channels, '
        f'{size[0]} x {size[1]}',
        setup=lambda: make_inputs(mode, width, size, device, for_memory=for_memory),
        ours=lambda inputs: run(inputs, 'ours'),
        peer_run=lambda inputs: run(inputs, 'stock'),
        check=same,
        repeats=1 if for_memory else 4,
    )


ITEMS = tuple(
    _item(mode, width, size, device, kind)
    for device in DEVICES
    for kind in ('activations', 'step')
    for mode in MODES
    for width, size in STAGES
)
