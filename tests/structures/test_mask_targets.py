import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmdet.models.roi_heads.mask_heads import FCNMaskHead, MaskIoUHead, MaskPointHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.mask import BitmapMasks, mask_target
from plugins.structures import CropMasks, dense_roi_align

HEIGHT, WIDTH = 90, 130


@pytest.fixture(scope='module')
def masks():
    """Scattered and solid objects, one without pixels, in both containers."""
    rng = np.random.default_rng(1)
    bitmaps = np.zeros((6, HEIGHT, WIDTH), np.uint8)
    bitmaps[0] = rng.random((HEIGHT, WIDTH)) < 0.5
    bitmaps[1, 10:80, 20:110] = 1
    bitmaps[2, :, 90:] = 1
    bitmaps[3, 40:43, 50:53] = 1
    bitmaps[4, 30:60, 5:70] = rng.random((30, 65)) < 0.9
    return CropMasks.from_bitmaps(bitmaps), BitmapMasks(bitmaps, HEIGHT, WIDTH)


def draw_boxes(kind, count=150):
    rng = np.random.default_rng(2)
    corners = rng.uniform(-20, 150, (count, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    if kind == 'whole pixels':
        boxes = boxes.round()
    if kind == 'small':
        boxes[:, 2:] = boxes[:, :2] + rng.uniform(-2, 12, (count, 2)).clip(0)
    if kind == 'inside':
        boxes = boxes.clip(0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    if kind == 'broken':
        boxes[::3, 1] = np.nan
        boxes[1::3, 2] = np.inf
    return boxes.astype(np.float32), rng.integers(0, 6, count)


@pytest.mark.parametrize('binarize', [True, False])
@pytest.mark.parametrize('size', [(28, 28), (14, 14), (3, 11), (1, 1)])
@pytest.mark.parametrize('kind', ['any', 'whole pixels', 'small', 'inside', 'broken'])
def test_targets_from_crops_are_bit_equal_to_stock(masks, kind, size, binarize):
    boxes, objects = draw_boxes(kind)
    crops, stock = (m.crop_and_resize(boxes, size, objects, binarize=binarize) for m in masks)
    assert crops.masks.dtype == stock.masks.dtype
    assert (crops.height, crops.width) == size
    np.testing.assert_array_equal(crops.masks, stock.masks)
    assert kind == 'broken' or stock.masks.any()


@pytest.mark.parametrize('most_bytes', [1, 3 * 8 * HEIGHT * WIDTH, 1 << 26])
@pytest.mark.parametrize('binarize', [True, False])
def test_whole_images_of_a_few_objects_are_bit_equal_to_stock(
    masks, binarize, most_bytes, monkeypatch
):
    # Double precision is not for the crops; it takes the way of other devices.
    monkeypatch.setattr(dense_roi_align, 'MOST_BYTES', most_bytes)
    boxes, objects = draw_boxes('any')
    boxes = boxes.astype(np.float64)
    crops, stock = (m.crop_and_resize(boxes, (7, 9), objects, binarize=binarize) for m in masks)
    assert crops.masks.dtype == stock.masks.dtype
    np.testing.assert_array_equal(crops.masks, stock.masks)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('binarize', [True, False])
def test_targets_on_a_gpu_are_bit_equal_to_stock(masks, binarize):
    boxes, objects = draw_boxes('inside')
    crops, stock = (
        m.crop_and_resize(boxes, (28, 28), objects, 'cuda', binarize=binarize) for m in masks
    )
    np.testing.assert_array_equal(crops.masks, stock.masks)


def test_tensors_are_as_good_as_arrays(masks):
    boxes, objects = draw_boxes('inside')
    crops, stock = (
        m.crop_and_resize(torch.from_numpy(boxes), (5, 5), torch.from_numpy(objects)) for m in masks
    )
    np.testing.assert_array_equal(crops.masks, stock.masks)


def test_no_boxes_and_no_objects_give_no_targets(masks):
    boxes, objects = draw_boxes('inside')
    assert masks[0].crop_and_resize(boxes[:0], (5, 6), objects[:0]).masks.shape == (0, 5, 6)
    assert masks[0][:0].crop_and_resize(boxes, (5, 6), objects).masks.shape == (0, 5, 6)


@pytest.mark.parametrize('index', [-1, 6])
def test_an_object_that_does_not_exist_is_an_error(masks, index):
    with pytest.raises(IndexError, match='from 0 to 5'):
        masks[0].crop_and_resize(np.zeros((1, 4), np.float32), (5, 5), np.array([index]))


@pytest.mark.parametrize('soft', [True, False])
def test_mask_target_of_moved_masks_is_bit_equal_to_stock(masks, soft):
    boxes, objects = map(torch.from_numpy, draw_boxes('any'))
    cfg = ConfigDict(mask_size=28, soft_mask_target=soft)
    moved = [m.flip().resize((180, 200)).pad((192, 224)) for m in masks]
    crops, stock = (mask_target([boxes.clone()], [objects], [m], cfg) for m in moved)
    torch.testing.assert_close(crops, stock, rtol=0, atol=0)


def sampling_results(boxes, objects):
    """What a sampler hands to the mask heads: positive proposals only."""
    return [
        SamplingResult(
            pos_inds=torch.arange(len(boxes)),
            neg_inds=torch.zeros(0, dtype=torch.long),
            priors=boxes,
            gt_bboxes=torch.zeros(6, 4),
            assign_result=InstanceData(
                gt_inds=objects + 1, labels=torch.zeros(len(boxes), dtype=torch.long)
            ),
            gt_flags=torch.zeros(len(boxes)),
        )
    ]


def test_stock_heads_get_the_same_targets(masks):
    boxes, objects = map(torch.from_numpy, draw_boxes('inside', 20))
    # Stock's area ratio has no answer for a proposal that begins at the far border.
    wide = (boxes[:, 0] < WIDTH - 1) & (boxes[:, 1] < HEIGHT - 1)
    samples = sampling_results(boxes[wide], objects[wide])
    cfg = ConfigDict(
        mask_size=14,
        mask_thr_binary=0.5,
        num_points=20,
        oversample_ratio=3,
        importance_sample_ratio=0.75,
    )
    fcn = FCNMaskHead(num_convs=1, in_channels=4, conv_out_channels=4, num_classes=2)
    score = MaskIoUHead(
        num_convs=1,
        num_fcs=1,
        roi_feat_size=14,
        in_channels=4,
        conv_out_channels=4,
        fc_out_channels=4,
        num_classes=2,
    )
    points = MaskPointHead(num_classes=2, num_fcs=1, in_channels=4, fc_channels=4)
    relative = torch.rand(len(samples[0].pos_priors), 20, 2)
    rois = torch.cat([torch.zeros(len(relative), 1), samples[0].pos_priors], dim=1)
    found = []
    for container in masks:
        image = [InstanceData(masks=container)]
        targets = fcn.get_targets(samples, image, cfg)
        ratios = score.get_targets(samples, image, targets.flip(-1), targets, cfg)
        found.append((targets, ratios, points.get_targets(rois, relative, samples, image, cfg)))
    for crops, stock in zip(*found, strict=True):
        assert stock.any()
        # An object without pixels has no area ratio, in stock either.
        torch.testing.assert_close(crops, stock, rtol=0, atol=0, equal_nan=True)


def test_a_box_without_extent_shows_nothing(masks):
    boxes = np.array([[30, 30, 30, 60], [60, 60, 40, 40]], np.float32)
    assert not masks[0].crop_and_resize(boxes, (4, 4), np.array([1, 1])).masks.any()
