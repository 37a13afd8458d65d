"""Pictures of detections."""

from plugins.visualization.encoded_mask_visualizer import EncodedMaskVisualizer, paint_masks

__all__ = ['EncodedMaskVisualizer', 'paint_masks']
