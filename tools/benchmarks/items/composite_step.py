"""Training step of a composite of two Swin-T, with activations computed again and without.

``composite_memory_*`` are about memory and tune the C library for it, ``composite_step_*`` about
time.
"""

from tools.benchmarks.devices import DEVICES, named, synchronize
from tools.benchmarks.item import Benchmark

SIZE = (384, 512)  # pixels; at less, the gradients of 56 M parameters are most of the memory
SIDES = dict(
    kept={},
    lean=dict(activations='lean'),
    checkpoint=dict(with_cp=True),
    assistant_checkpoint=dict(with_cp=[True, False]),
    lean_checkpoint=dict(activations='lean', with_cp=True),
)


def make_inputs(mode: str, device: str = 'cpu', *, for_memory: bool = False) -> dict:
    """Two composites with the same weights, and an image."""
    import torch

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from plugins.backbones import CBSwinTransformer
    from tools.benchmarks.swin_blocks import return_memory_at_once

    if for_memory:
        return_memory_at_once()
    inputs = {}
    for side in (mode, 'kept'):
        torch.manual_seed(0)
        model = CBSwinTransformer(cb_zero_init=False, drop_path_rate=0.2, **SIDES[side])
        inputs[side] = model.to(device).train()
    image = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    return dict(inputs, image=image.to(device))


def run(inputs: dict, side: str) -> dict:
    """Forward of all pyramids and backward; maps and gradients by name."""
    import torch

    model = inputs[side]
    model.zero_grad()
    torch.manual_seed(1)
    maps = [level for pyramid in model.forward_all(inputs['image']) for level in pyramid]
    sum(level.square().mean() for level in maps).backward()
    synchronize(inputs['image'])
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return dict(gradients, **{f'map {i}': level.detach() for i, level in enumerate(maps)})


def same(ours: dict, kept: dict) -> bool:
    """Whether maps and gradients are equal, but for the order of sums."""
    from tools.benchmarks.swin_blocks import same_tensors

    return same_tensors(ours, kept)


def _item(mode: str, device: str, kind: str) -> Benchmark:
    for_memory = kind == 'memory'
    return Benchmark(
        name=named(f'composite_{kind}_{mode}', device),
        peer=f'the same without it: two Swin-T, {SIZE[0]} x {SIZE[1]} pixels',
        setup=lambda: make_inputs(mode, device, for_memory=for_memory),
        ours=lambda inputs: run(inputs, mode),
        peer_run=lambda inputs: run(inputs, 'kept'),
        check=same,
        repeats=1 if for_memory else 4,
    )


ITEMS = tuple(
    _item(mode, device, kind)
    for device in DEVICES
    for kind in ('memory', 'step')
    for mode in SIDES
    if mode != 'kept'
)
