"""Loading of instance masks as crops."""

from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS
from plugins.errors import UserError
from plugins.structures import CropMasks


@TRANSFORMS.register_module()
class LoadCropAnnotations(LoadAnnotations):
    """mmdet's `LoadAnnotations` with `CropMasks` in place of whole images.

    Boxes, labels, ignore flags and pixels are the same, so it can stand wherever mmdet's does.

    Args:
        with_mask: Whether to load masks.
        poly2mask: Must be True: crops have pixels.
        **kwargs: As in mmdet.

    Raises:
        UserError: ``poly2mask`` is False.
    """

    def __init__(self, with_mask: bool = True, poly2mask: bool = True, **kwargs) -> None:
        if not poly2mask:
            raise UserError(
                'LoadCropAnnotations in train_pipeline needs poly2mask=True; polygons are kept by '
                "mmdet's LoadAnnotations"
            )
        super().__init__(with_mask=with_mask, poly2mask=poly2mask, **kwargs)

    def _load_masks(self, results: dict) -> None:
        height, width = results['ori_shape']
        segmentations = self._process_masks(results)
        try:
            results['gt_masks'] = CropMasks.from_segmentations(segmentations, height, width)
        except ValueError as error:
            raise UserError(
                f'{results.get("img_path")}: {error}; check the annotations with '
                'tools/data/check.py'
            ) from error
