"""From image files to detections a person can look at: what ``tools/predict.py`` is made of."""

from plugins.inference.image_files import ImageFile, find_images, read_image
from plugins.inference.instance_inferencer import InstanceInferencer
from plugins.inference.output_files import OutputFiles
from plugins.inference.prediction_record import choose, prediction_record
from plugins.inference.score_thresholds import (
    read_thresholds,
    thresholds_by_label,
    use_lowest_threshold,
)

__all__ = [
    'ImageFile',
    'InstanceInferencer',
    'OutputFiles',
    'choose',
    'find_images',
    'prediction_record',
    'read_image',
    'read_thresholds',
    'thresholds_by_label',
    'use_lowest_threshold',
]
