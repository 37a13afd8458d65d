"""Reading checkpoints by address or by model name: downloaded once, then read as safely as files.

mmengine hands an address to ``torch.hub``, which unpickles whatever comes back, code included.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.runner.checkpoint import (
    CheckpointLoader,
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)

from plugins.checkpoints.loading import CheckpointError, load_from_local


def load_from_http(filename: str, map_location: str | Callable | None = None) -> dict:
    """Download a checkpoint into torch's cache and read it without executing code.

    The main process downloads first; where its cache is not shared, the others follow.

    Args:
        filename: Address of the file.
        map_location: As in ``torch.load``.

    Raises:
        CheckpointError: It cannot be downloaded, or ``load_from_local`` refuses it.
    """
    cached = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(filename).path).name)
    if is_main_process():
        _download(filename, cached)
    barrier()
    _download(filename, cached)
    return load_from_local(str(cached), map_location)


def load_from_torchvision(filename: str, map_location: str | Callable | None = None) -> dict:
    """Read torchvision's weights of a model, as in ``torchvision://resnet50``."""
    return load_from_http(_address(filename, get_torchvision_models()), map_location)


def load_from_openmmlab(filename: str, map_location: str | Callable | None = None) -> dict:
    """Read OpenMMLab's weights of a backbone, as in ``open-mmlab://detectron2/resnet50_caffe``."""
    models = get_external_models()
    models.update({old: models.get(new) for old, new in get_deprecated_model_names().items()})
    return load_from_http(_address(filename, models), map_location)


def load_from_mmcls(filename: str, map_location: str | Callable | None = None) -> dict:
    """Read the backbone of a classification model of OpenMMLab, as in ``mmcls://vgg16``."""
    checkpoint = load_from_http(_address(filename, get_mmcls_models()), map_location)
    weights = checkpoint.get('state_dict', checkpoint)
    prefix = 'backbone.'
    kept = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    return dict(state_dict=kept)


def _address(filename: str, models: dict[str, str]) -> str:
    name = filename.split('://', 1)[1]
    if not str(models.get(name)).startswith(('http://', 'https://')):
        raise CheckpointError(f'checkpoint {filename}: there is no address for the model {name!r}')
    return models[name]


def _download(url: str, target: Path) -> None:
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(target), progress=sys.stderr.isatty())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f'checkpoint {url} cannot be downloaded ({error}); check the address and the network, '
            'or fetch the file by other means and give its path'
        ) from error


# As for local files: mmengine's own way to say how an address is read.
CheckpointLoader.register_scheme(('http://', 'https://'), load_from_http, force=True)
CheckpointLoader.register_scheme(
    ('torchvision://', 'modelzoo://'), load_from_torchvision, force=True
)
CheckpointLoader.register_scheme('mmcls://', load_from_mmcls, force=True)
CheckpointLoader.register_scheme(('open-mmlab://', 'openmmlab://'), load_from_openmmlab, force=True)
