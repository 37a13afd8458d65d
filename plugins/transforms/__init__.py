"""Pipeline steps: loading, geometry, packing."""

from plugins.transforms.balanced_copy_paste import BalancedCopyPaste
from plugins.transforms.balanced_mosaic import BalancedMosaic
from plugins.transforms.insta_boost_polygons import InstaBoostPolygons
from plugins.transforms.large_scale_jitter import LargeScaleJitter
from plugins.transforms.load_crop_annotations import LoadCropAnnotations
from plugins.transforms.pack_federated_inputs import PackFederatedInputs
from plugins.transforms.rounded_photo_metric_distortion import RoundedPhotoMetricDistortion

__all__ = [
    'BalancedCopyPaste',
    'BalancedMosaic',
    'InstaBoostPolygons',
    'LargeScaleJitter',
    'LoadCropAnnotations',
    'PackFederatedInputs',
    'RoundedPhotoMetricDistortion',
]
