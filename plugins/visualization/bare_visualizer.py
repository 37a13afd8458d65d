"""The visualizer of a config for tools that take the pictures it draws."""

from mmengine.config import Config, ConfigDict
from mmengine.visualization import Visualizer

from mmdet.registry import VISUALIZERS
from mmdet.visualization import DetLocalVisualizer
from plugins.visualization.encoded_mask_visualizer import EncodedMaskVisualizer


def bare_visualizer(cfg: Config | ConfigDict, dataset_meta: dict) -> Visualizer:
    """Make a config's visualizer without its back-ends, which would write files.

    Args:
        cfg: A whole config; ``EncodedMaskVisualizer`` takes the place of ``DetLocalVisualizer``
            and of none.
        dataset_meta: ``classes`` and, as far as there is one, ``palette``.
    """
    options = dict(cfg.get('visualizer') or {'type': 'EncodedMaskVisualizer'})
    kind = VISUALIZERS.get(options.pop('type'))
    kind = EncodedMaskVisualizer if kind is DetLocalVisualizer else kind
    options.pop('_scope_', None)  # left by `mmdet::` bases, for registries only
    # Not built by the registry, which would hand out an earlier one of the same name.
    visualizer = kind(**{**options, 'vis_backends': None})
    visualizer.dataset_meta = dataset_meta
    return visualizer
