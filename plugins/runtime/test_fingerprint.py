"""What the detections of a test depend on, as one hash per part."""

import hashlib
import json
from collections.abc import Iterable

import torch
from mmengine.config import Config
from mmengine.fileio import get_local_path
from mmengine.model import is_model_wrapper
from torch import nn

_BLOCK = 1 << 20  # bytes


def describe_test(
    cfg: Config, model: nn.Module, ann_files: Iterable[str], keeps: Iterable[object]
) -> dict[str, str]:
    """Hash everything that two tests must share for their detections to be put together.

    Hardware, number of processes, batch size and loader settings may differ.

    Args:
        cfg: The config of the test.
        model: The model with the weights that are tested.
        ann_files: Annotation files, of which the content counts.
        keeps: What each evaluator keeps of the detections.

    Returns:
        The name of a part to its hash, hexadecimal.
    """
    fp16 = cfg.test_cfg.get('fp16', False)
    return {
        'model config': _hash_of_text(_plain([cfg.model, fp16])),
        'data set config': _hash_of_text(_plain(cfg.test_dataloader.dataset)),
        'weights': _hash_of_weights(model),
        'annotations': _hash_of_files(sorted(set(ann_files)), cfg.get('backend_args')),
        'detections kept': _hash_of_text(_plain(list(map(repr, keeps)))),
    }


def _plain(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=_name)
    # A run on several CPU processes has BN in its place, which tests alike.
    return text.replace('"SyncBN"', '"BN"').replace('"MMSyncBN"', '"BN"')


def _name(value: object) -> str:
    """Functions and classes by name: their default text has an address."""
    return f'{value.__module__}.{value.__qualname__}' if callable(value) else repr(value)


def _hash_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_of_weights(model: nn.Module) -> str:
    digest = hashlib.sha256()
    while is_model_wrapper(model):  # a matter of how many processes there are
        model = model.module
    for name, value in sorted(model.state_dict().items()):
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().contiguous()
            digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _hash_of_files(paths: list[str], backend_args: dict | None) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with (
            get_local_path(path, backend_args=backend_args) as local_path,
            open(local_path, 'rb') as file,
        ):
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
