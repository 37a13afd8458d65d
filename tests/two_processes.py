"""Two processes that train together on this machine."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn


def on_two_processes(folder: Path, run: Callable, *args: object) -> list:
    """Call ``run(rank, *args)`` in two processes that gloo joins.

    Args:
        folder: An empty one, for what they exchange.
        run: Returns tensors, numbers, strings and containers of them.
        *args: Of ``run``; inherited, not pickled.

    Returns:
        What both returned, in the order of their ranks.
    """
    mp.start_processes(_work, args=(folder, run, args), nprocs=2, start_method='fork')
    return [torch.load(folder / f'{rank}.pth') for rank in (0, 1)]


def _work(rank: int, folder: Path, run: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2
    )
    try:
        torch.save(run(rank, *args), folder / f'{rank}.pth')
    finally:
        dist.destroy_process_group()


def distributed_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: dict) -> None:
    """Train a detector inside a distributed wrapper on the batch of this process."""
    data = model.module.data_preprocessor(batch, training=True)
    loss, _ = model.module.parse_losses(model(**data, mode='loss'))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
