"""Pictures of detections."""

from plugins.visualization.bare_visualizer import bare_visualizer
from plugins.visualization.encoded_mask_visualizer import EncodedMaskVisualizer, paint_masks

__all__ = ['EncodedMaskVisualizer', 'bare_visualizer', 'paint_masks']
