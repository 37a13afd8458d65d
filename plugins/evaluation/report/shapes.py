"""Masks or boxes of single annotations and detections, and how they overlap."""

import numpy as np
from pycocotools import mask as coco_mask

from plugins.evaluation.engine import GroundTruth, Results


class Shapes:
    """Looks up the outlines that were compared: masks where both sides have them, else boxes."""

    def __init__(self, ground_truth: GroundTruth, results: Results, iou_type: str) -> None:
        """Decide what is compared.

        Args:
            ground_truth: The annotations.
            results: The detections.
            iou_type: ``'segm'`` or ``'bbox'``.
        """
        self._ground_truth = ground_truth
        self._results = results
        self.has_masks = iou_type == 'segm' and ground_truth.has_masks and results.rle is not None

    def annotations(self, indices: np.ndarray) -> list:
        """Run-length codes, or boxes (x, y, width, height in pixels), of annotations."""
        if not self.has_masks:
            return [self._ground_truth.ann_box[index].tolist() for index in indices]
        return [self._annotation_code(int(index)) for index in indices]

    def detections(self, indices: np.ndarray) -> list:
        """Run-length codes, or boxes (x, y, width, height in pixels), of detections."""
        if self.has_masks:
            return [self._detection_code(int(index)) for index in indices]
        if self._results.box is None:  # boxes of the masks are compared
            codes = [self._detection_code(int(index)) for index in indices]
            return [coco_mask.toBbox(code).tolist() for code in codes]
        return [self._results.box[index].tolist() for index in indices]

    def overlaps(self, detections: np.ndarray, annotations: np.ndarray) -> np.ndarray:
        """IoU of D detections and G annotations of one image, float64 (D, G)."""
        if not len(detections) or not len(annotations):
            return np.zeros((len(detections), len(annotations)))
        first, second = self.detections(detections), self.annotations(annotations)
        if not self.has_masks:
            first, second = np.array(first, np.float64), np.array(second, np.float64)
        overlaps = coco_mask.iou(first, second, np.zeros(len(second), np.uint8))
        return np.maximum(overlaps, 0)  # -1 stands for masks of different sizes

    def box(self, shape: dict | list) -> np.ndarray:
        """Box of a shape, float64 (4,), x, y, width, height in pixels."""
        if isinstance(shape, dict):
            return coco_mask.toBbox(shape)
        return np.array(shape, np.float64)

    def _annotation_code(self, index: int) -> dict:
        truth = self._ground_truth
        low, high = truth.mask_offset[index : index + 2]
        image = truth.ann_image[index]
        size = [int(truth.height[image]), int(truth.width[image])]
        edges = np.stack([truth.mask_start[low:high], truth.mask_end[low:high]], axis=1).ravel()
        counts = np.diff(edges, prepend=0, append=size[0] * size[1]).tolist()
        return coco_mask.frPyObjects({'size': size, 'counts': counts}, *size)

    def _detection_code(self, index: int) -> dict:
        results = self._results
        low = int(results.rle_offset[index])
        text = bytes(results.rle[low : low + int(results.rle_length[index])])
        if results.escaped:
            text = text.replace(b'\\\\', b'\\')
        size = [int(results.rle_height[index]), int(results.rle_width[index])]
        return {'size': size, 'counts': text}
