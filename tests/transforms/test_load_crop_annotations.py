import copy

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS
from plugins.errors import UserError
from plugins.structures import CropMasks
from plugins.transforms import LoadCropAnnotations

HEIGHT, WIDTH = 60, 80


def record(segmentations):
    return dict(
        img_path='photo.jpg',
        ori_shape=(HEIGHT, WIDTH),
        instances=[
            dict(bbox=[1.0, 2.0, 30.5, 40.25], bbox_label=i, ignore_flag=i % 2, mask=segmentation)
            for i, segmentation in enumerate(segmentations)
        ],
    )


def code(density):
    pixels = np.random.default_rng(0).random((HEIGHT, WIDTH)) < density
    return coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))


SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]
SEGMENTATIONS = {
    'polygon': [SQUARE],
    'two polygons': [SQUARE, [50.5, 5.2, 70.1, 5, 70.1, 30.9]],
    'odd number of coordinates': [[1, 2, 3, 4, 5, 6, 7]],
    'two corners': [[1, 2, 30, 40]],
    'one good polygon of two': [[1, 2, 30, 40], SQUARE],
    'no polygon': [],
    'outside the image': [[100, 100, 120, 100, 120, 120]],
    'code': {**code(0.5), 'counts': code(0.5)['counts'].decode()},
    'uncompressed code': dict(size=[HEIGHT, WIDTH], counts=[100, 50, HEIGHT * WIDTH - 150]),
    'code of no pixels': {**code(0), 'counts': code(0)['counts'].decode()},
    'code without counts': dict(size=[HEIGHT, WIDTH]),
}


@pytest.mark.parametrize('names', [*([name] for name in SEGMENTATIONS), list(SEGMENTATIONS), []])
def test_annotations_are_those_of_stock(names):
    loaded = record([SEGMENTATIONS[name] for name in names])
    stock = LoadAnnotations(with_mask=True)(copy.deepcopy(loaded))
    ours = LoadCropAnnotations()(loaded)
    assert ours.keys() == stock.keys()
    assert type(ours['gt_masks']) is CropMasks
    np.testing.assert_array_equal(ours['gt_masks'].masks, stock['gt_masks'].masks)
    np.testing.assert_array_equal(ours['gt_ignore_flags'], stock['gt_ignore_flags'])
    np.testing.assert_array_equal(ours['gt_bboxes_labels'], stock['gt_bboxes_labels'])
    assert torch.equal(ours['gt_bboxes'].tensor, stock['gt_bboxes'].tensor)
    assert ours['instances'] == stock['instances']


def test_masks_can_be_left_out():
    assert 'gt_masks' not in LoadCropAnnotations(with_mask=False)(record([[SQUARE]]))


def test_a_config_can_name_it():
    assert isinstance(TRANSFORMS.build(dict(type='LoadCropAnnotations')), LoadAnnotations)


def test_polygons_cannot_be_kept():
    with pytest.raises(UserError, match='poly2mask=True'):
        LoadCropAnnotations(poly2mask=False)


def test_a_mask_of_another_image_is_an_error_that_names_the_image():
    with pytest.raises(UserError, match=r'photo\.jpg: .* 8 x 9 pixels, the image has 60 x 80'):
        LoadCropAnnotations()(record([dict(size=[8, 9], counts=[72])]))
