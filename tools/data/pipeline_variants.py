"""A config's training loader with and without balanced sampling and mixing."""

import copy

from mmengine.config import Config, ConfigDict

from plugins.errors import UserError

VARIANTS = {
    'uniform': 'uniform sampling, no mixing',
    'rfs': 'repeat-factor sampling, no mixing',
    'rfs-copy-paste': 'repeat-factor sampling, balanced copy-paste',
    'rfs-mosaic': 'repeat-factor sampling, balanced mosaic',
    'config': 'as the config says',
}
_MOSAIC, _COPY_PASTE = 'BalancedMosaic', 'BalancedCopyPaste'
_MIXES = {'rfs-copy-paste': _COPY_PASTE, 'rfs-mosaic': _MOSAIC}
_REPEATING_WRAPPERS = ('ClassBalancedDataset', 'RepeatDataset')
_AFTER_COPY_PASTE = (
    'FilterAnnotations',
    'PhotoMetricDistortion',
    'RoundedPhotoMetricDistortion',
    'Pack',
)


def variant_loader(config: Config, variant: str, threshold: float | None = None) -> ConfigDict:
    """The config of a training loader: its data set and sampler, changed as the variant asks.

    Mixing transforms are removed from the pipeline, or put in with their default options where the
    config has none: a mosaic right after the loading, copy-paste before colours are changed and
    objects filtered.

    Args:
        config: Has ``train_dataloader``; it is not changed.
        variant: A key of ``VARIANTS``.
        threshold: Of the repeat factors in all variants but ``config``; None takes the sampler's,
            or 1e-3 if it has none.

    Raises:
        UserError: There is no training loader, or its data set has no pipeline.
    """
    if not config.get('train_dataloader'):
        raise UserError(f'{config.filename} has no train_dataloader')
    loader = copy.deepcopy(config.train_dataloader)
    if variant == 'config':
        return loader
    if threshold is None:
        threshold = loader.sampler.get('repeat_threshold', 1e-3)
    while _type(loader.dataset) in _REPEATING_WRAPPERS:
        loader.dataset = loader.dataset.dataset
    if 'pipeline' not in loader.dataset:
        raise UserError(
            f'{config.filename}: train_dataloader.dataset has no pipeline, so that only '
            '--variants config can be sampled'
        )
    kept = _MIXES.get(variant)
    pipeline = [
        step
        for step in loader.dataset.pipeline
        if not (_uses(step, _MOSAIC) or _uses(step, _COPY_PASTE)) or (kept and _uses(step, kept))
    ]
    if kept and not any(_uses(step, kept) for step in pipeline):
        step = dict(type=kept, repeat_threshold=threshold)
        if kept == _MOSAIC and 'image_scale' in config:
            step['img_scale'] = config.image_scale
        pipeline.insert(_place(pipeline, kept), ConfigDict(step))
    loader.dataset.pipeline = pipeline
    if variant == 'uniform':
        loader.sampler = ConfigDict(type='DefaultSampler', shuffle=True)
    else:
        loader.sampler = ConfigDict(type='RepeatFactorSampler', repeat_threshold=threshold)
    return loader


def _place(pipeline: list[dict], mixing: str) -> int:
    """Where a mixing transform goes that the config does not have."""
    loading = [i for i, step in enumerate(pipeline) if _type(step).startswith('Load')]
    start = loading[-1] + 1 if loading else 0
    if mixing == _MOSAIC:
        return start
    places = range(start, len(pipeline))
    return next((i for i in places if _type(pipeline[i]).startswith(_AFTER_COPY_PASTE)), start)


def _uses(step: dict, name: str) -> bool:
    """Whether a step is the transform called ``name``, or one that holds it."""
    if isinstance(step, list | tuple):
        return any(_uses(inner, name) for inner in step)
    return _type(step) == name or _uses(step.get('transforms', ()), name)


def _type(config: dict) -> str:
    """The class that a config names, without the scope of its registry."""
    kind = config['type']
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]
