"""What ``tools/test.py --tta`` changes in a config."""

from copy import deepcopy

from mmengine.config import Config, ConfigDict

_META_KEYS = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
)


def use_test_time_augmentation(cfg: Config) -> None:
    """Wrap the model and replace the test pipeline by the augmented one.

    A config may say ``tta_model`` and ``tta_pipeline``; without them the image and its mirror image
    are merged.

    Args:
        cfg: The config of the test, changed in place.
    """
    if 'tta_model' not in cfg:
        cfg.tta_model = ConfigDict(type='MaskTTAModel')
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    if 'tta_pipeline' not in cfg:
        cfg.tta_pipeline = _mirrored(dataset.pipeline)
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    dataset.pipeline = cfg.tta_pipeline


def _mirrored(pipeline: list[dict]) -> list[dict]:
    """Return a test pipeline whose last step packs the image twice, plain and flipped."""
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
    pack = dict(type='PackDetInputs', meta_keys=_META_KEYS)
    return [
        *deepcopy(pipeline[:-1]),
        dict(type='TestTimeAug', transforms=[flips, [pack]]),
    ]
