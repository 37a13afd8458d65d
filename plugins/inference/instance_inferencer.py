"""mmdet's inferencer for detectors of this repository."""

import os
from types import SimpleNamespace

import mmengine
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData
from mmengine.visualization import Visualizer
from torch import nn

from mmdet.apis import DetInferencer
from mmdet.registry import DATASETS
from mmdet.structures import DetDataSample
from plugins.errors import UserError
from plugins.hooks import CheckpointFitHook
from plugins.structures import EncodedMasks
from plugins.visualization import bare_visualizer


class InstanceInferencer(DetInferencer):
    """``DetInferencer`` that is strict with checkpoints and never makes a mask an image.

    Stock loads what fits of a checkpoint, takes COCO's names if it has none, and turns every mask
    into an image and back for its dictionaries. Arguments and results are the same; a checkpoint
    is required. Takes a test-time augmentation too (``use_test_time_augmentation``).

    Raises:
        UserError: The checkpoint is missing, for another model, or without the categories' names
            where the config has none either.
    """

    def _load_weights_to_model(
        self, model: nn.Module, checkpoint: dict | None, cfg: Config | ConfigDict
    ) -> None:
        """Load weights that fit, names and palette."""
        if checkpoint is None:
            raise UserError('predictions need a checkpoint: give `weights`')
        runner = SimpleNamespace(model=model, _load_from=None)
        CheckpointFitHook(whole=True).after_load_checkpoint(runner, checkpoint)
        inner = getattr(model, 'module', model)  # of a test-time augmentation
        weights = checkpoint.get('state_dict', checkpoint)
        weights = {name.removeprefix('module.'): value for name, value in weights.items()}
        inner.load_state_dict(weights, strict=False)
        model.dataset_meta = _data_set_meta(checkpoint, cfg)
        _check_names(inner, model.dataset_meta['classes'])
        if self.palette != 'none':
            model.dataset_meta['palette'] = self.palette

    def _init_visualizer(self, cfg: Config | ConfigDict) -> Visualizer:
        """See `bare_visualizer`."""
        return bare_visualizer(cfg, self.model.dataset_meta)

    def pred2dict(self, data_sample: DetDataSample, pred_out_dir: str = '') -> dict:
        """Return the detections as numbers and strings, and write them if there is a folder.

        Args:
            data_sample: Of one image.
            pred_out_dir: ``preds/<image>.json`` is written below it, unless it is empty.

        Returns:
            ``labels``, ``scores``, ``bboxes`` and ``masks``, as ``DetInferencer`` returns them.
        """
        instances = data_sample.get('pred_instances')
        if instances is None or not isinstance(instances.get('masks'), EncodedMasks):
            return super().pred2dict(data_sample, pred_out_dir)
        others = {key: value for key, value in instances.items() if key != 'masks'}
        without_masks = DetDataSample(pred_instances=InstanceData(**others))
        result = super().pred2dict(without_masks)
        result['masks'] = [instances.masks[i] for i in range(len(instances))]
        if pred_out_dir:
            name = os.path.splitext(os.path.basename(data_sample.get('img_path') or ''))[0]
            if not name:
                name = str(self.num_predicted_imgs)
                self.num_predicted_imgs += 1
            mmengine.dump(result, os.path.join(pred_out_dir, 'preds', f'{name}.json'))
        return result


def _data_set_meta(checkpoint: dict, cfg: Config | ConfigDict) -> dict:
    """Names and palette: those of the checkpoint, else of the config's test set."""
    known = dict(palette='random')
    saved = checkpoint.get('meta', {})
    sources = (
        _metainfo(cfg.get('test_dataloader', {}).get('dataset', {})),
        {'classes': saved.get('CLASSES')},  # mmdet before 3.0
        {key.lower(): value for key, value in saved.get('dataset_meta', {}).items()},
    )
    for source in sources:
        known.update({key: value for key, value in source.items() if value is not None})
    if 'classes' not in known:
        raise UserError(
            'neither the checkpoint nor the config names the categories; add '
            'test_dataloader.dataset.metainfo=dict(classes=...) to the config'
        )
    if isinstance(known['classes'], str):
        known['classes'] = (known['classes'],)
    return known


def _metainfo(dataset: dict) -> dict:
    """What a data set's class and config say of its categories; its files are not opened."""
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    own = getattr(DATASETS.get(dataset['type']), 'METAINFO', {}) if 'type' in dataset else {}
    return {**own, **(dataset.get('metainfo') or {})}


def _check_names(model: nn.Module, names: tuple[str, ...]) -> None:
    """Raise if a category that the box heads can predict has no name."""
    for name, module in model.named_modules():
        number = getattr(module, 'num_classes', None)
        if 'bbox_head' in name.split('.') and isinstance(number, int) and number > len(names):
            raise UserError(
                f'{name} predicts {number} categories, but the checkpoint, or else the config, '
                f'names {len(names)}; give the config it was trained with'
            )
