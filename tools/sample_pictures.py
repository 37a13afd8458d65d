"""Pictures of packed samples: what a data pipeline ends with, and what it started from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmengine.dataset import BaseDataset
    from torch.utils.data import Dataset

    from mmdet.structures import DetDataSample
    from mmdet.visualization import DetLocalVisualizer

GRID_CELL = 320  # pixels, side of the square that a picture of the contact sheet is fitted into
READABLE_SIDE = 480  # pixels; smaller pictures are magnified, or the names would hide the objects


def inner_datasets(dataset: 'Dataset') -> 'Iterator[BaseDataset]':
    """The data sets below wrappers such as ``ConcatDataset`` or ``MultiImageMixDataset``."""
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from inner_datasets(part)
    elif hasattr(dataset, 'dataset'):
        yield from inner_datasets(dataset.dataset)
    else:
        yield dataset


class Originals:
    """Images as they are on disk, with their annotations before any augmentation.

    Only the loading steps of the data set's own pipeline are run.
    """

    def __init__(self, dataset: 'Dataset') -> None:
        """Index the images below ``dataset`` by path."""
        self._places = {
            inner.get_data_info(index)['img_path']: (inner, index)
            for inner in inner_datasets(dataset)
            for index in range(len(inner))
        }

    def load(self, img_path: str) -> dict:
        """Packed sample (``inputs``, ``data_samples``) of the image at ``img_path``."""
        from mmcv.transforms import LoadAnnotations, LoadImageFromFile

        from mmdet.datasets.transforms import PackDetInputs

        inner, index = self._places[img_path]
        results = inner.get_data_info(index)
        for step in inner.pipeline.transforms:
            if isinstance(step, LoadImageFromFile | LoadAnnotations):
                results = step(results)
        return PackDetInputs(meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape'))(results)


def annotations_follow_resize(dataset: 'Dataset') -> bool:
    """Whether a test pipeline packs annotations in pixels of the file beside a resized image."""
    from mmcv.transforms import LoadAnnotations

    resized = False
    for step in next(inner_datasets(dataset)).pipeline.transforms:
        if isinstance(step, LoadAnnotations):
            return resized
        resized = resized or 'Resize' in type(step).__name__
    return False


def prepare(sample: dict, *, in_file_pixels: bool = False) -> 'tuple[np.ndarray, DetDataSample]':
    """Image and annotations of a packed sample, ready to be drawn on each other.

    Args:
        sample: what a pipeline ends with: ``inputs`` (3, H, W) BGR in [0, 255], ``data_samples``.
        in_file_pixels: boxes and masks are in pixels of the image file, not of ``inputs``.

    Returns:
        RGB image uint8 (h, w, 3) and a copy of the data sample with plain xyxy boxes (N, 4) and
        boolean masks (N, h, w) in that image; h and w are whole multiples of H and W.
    """
    import cv2
    import torch

    from mmdet.structures.bbox import BaseBoxes

    pixels = sample['inputs'].permute(1, 2, 0).numpy()
    image = np.ascontiguousarray(pixels.clip(0, 255).astype(np.uint8)[..., ::-1])
    height, width = image.shape[:2]
    zoom = max(1, -(-READABLE_SIDE // max(height, width)))
    size = (width * zoom, height * zoom)
    image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) if zoom > 1 else image

    data_sample = sample['data_samples'].clone()
    data_sample.gt_instances = instances = data_sample.gt_instances.clone()
    source = data_sample.ori_shape if in_file_pixels else (height, width)
    if 'bboxes' in instances:
        boxes = instances.bboxes
        boxes = boxes.tensor if isinstance(boxes, BaseBoxes) else boxes
        scale = (size[0] / source[1], size[1] / source[0])
        instances.bboxes = boxes * torch.tensor([*scale, *scale])
    if 'masks' in instances:
        masks = np.zeros((len(instances), size[1], size[0]), dtype=bool)
        for target, mask in zip(masks, instances.masks.to_ndarray(), strict=True):
            target[:] = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
        instances.masks = masks
    return image, data_sample


def draw(visualizer: 'DetLocalVisualizer', sample: dict, **options: bool) -> np.ndarray:
    """RGB picture uint8 (h, w, 3) of a packed sample; ``options`` as in :func:`prepare`."""
    image, data_sample = prepare(sample, **options)
    visualizer.add_datasample('sample', image, data_sample, draw_pred=False)
    return visualizer.get_image()


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two RGB pictures, the left one scaled to the height of the right one, 8 pixels apart."""
    import cv2

    height = right.shape[0]
    width = max(1, round(left.shape[1] * height / left.shape[0]))
    gap = np.full((height, 8, 3), 255, np.uint8)
    return np.hstack([cv2.resize(left, (width, height), interpolation=cv2.INTER_AREA), gap, right])


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """The RGB picture, aspect kept, fitted into a square of ``GRID_CELL`` pixels."""
    import cv2

    scale = GRID_CELL / max(picture.shape[:2])
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def contact_sheet(thumbnails: list[np.ndarray]) -> np.ndarray:
    """Thumbnails on one white RGB sheet, row by row, each row as high as its highest picture."""
    columns = int(np.ceil(np.sqrt(len(thumbnails))))
    rows = []
    for start in range(0, len(thumbnails), columns):
        line = thumbnails[start : start + columns]
        height = max(picture.shape[0] for picture in line)
        row = np.full((height + 4, columns * (GRID_CELL + 4), 3), 255, np.uint8)
        for column, picture in enumerate(line):
            left = column * (GRID_CELL + 4)
            row[: picture.shape[0], left : left + picture.shape[1]] = picture
        rows.append(row)
    return np.vstack(rows)
