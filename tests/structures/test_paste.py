import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mmengine.config import ConfigDict

from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures.mask import encode_mask_results
from plugins.errors import UserError
from plugins.structures import paste_masks
from tools.benchmarks.measure import measure
from tools.benchmarks.pasted_masks import draw_object

HEAD = FCNMaskHead(num_convs=0, in_channels=4, conv_out_channels=4, class_agnostic=True)
ROUNDING = 1e-6

pytestmark = pytest.mark.filterwarnings('ignore:To copy construct from a tensor')


def stock_codes(maps, boxes, height, width, threshold=0.5):
    """What mmdet pastes and encodes on the CPU."""
    pasted = HEAD._predict_by_feat_single(
        maps[:, None],
        boxes.clone(),
        labels=None,
        img_meta=dict(scale_factor=(1.0, 1.0), ori_shape=(height, width)),
        rcnn_test_cfg=ConfigDict(mask_thr_binary=threshold),
        activate_map=True,
    )
    return encode_mask_results(pasted.numpy())


def exact_values(grid, box, height, width):
    """Bilinear values at all pixels of an image, in float64."""
    grid = np.pad(grid.astype(np.float64), 1)
    x1, y1, x2, y2 = box.astype(np.float64)
    rows = (np.arange(height) + 0.5 - y1) / (y2 - y1) * (grid.shape[0] - 2) + 0.5
    columns = (np.arange(width) + 0.5 - x1) / (x2 - x1) * (grid.shape[1] - 2) + 0.5
    values = np.zeros((height, width))
    for point in range(grid.shape[0]):
        near = np.clip(1 - np.abs(rows - point), 0, 1)[:, None]
        for other in range(grid.shape[1]):
            values += grid[point, other] * near * np.clip(1 - np.abs(columns - other), 0, 1)
    return values


def assert_stock(maps, boxes, height, width, threshold=0.5):
    """Our codes are those of stock, but for pixels at which rounding decides."""
    ours = paste_masks(maps, boxes, height, width, threshold).rles()
    stock = stock_codes(maps, boxes, height, width, threshold)
    for own, other, grid, box in zip(ours, stock, maps.numpy(), boxes.numpy(), strict=True):
        if own != other:
            differs = coco_mask.decode(own) != coco_mask.decode(other)
            values = exact_values(grid, box, height, width)
            assert np.abs(values[differs] - threshold).max() < ROUNDING


def random_boxes(generator, count, height, width):
    """Boxes that overlap the image, many of them its borders."""
    frame = torch.tensor([width, height], dtype=torch.float32)
    centres = torch.rand(count, 2, generator=generator) * frame
    sides = (torch.rand(count, 2, generator=generator) * 1.5 + 1e-3) * frame
    return torch.cat([centres - sides / 2, centres + sides / 2], dim=1)


def smooth_maps(generator, count, rows, columns):
    """Maps with few crossings, as heads predict them."""
    shape = (count, 1, max(2, rows // 5), max(2, columns // 5))
    coarse = torch.randn(shape, generator=generator) * 4
    return torch.nn.functional.interpolate(coarse, (rows, columns), mode='bilinear')[:, 0].sigmoid()


@pytest.mark.parametrize('grid', [(1, 1), (7, 7), (14, 14), (28, 28), (112, 112), (5, 9), (1, 6)])
@pytest.mark.parametrize('image', [(48, 64), (101, 37)])
def test_codes_are_those_of_stock_for_noise_and_for_smooth_maps(grid, image):
    generator = torch.Generator().manual_seed(sum(grid) + image[0])
    boxes = random_boxes(generator, 40, *image)
    clipped = boxes.clone()
    clipped[:, 0::2].clamp_(0, image[1])
    clipped[:, 1::2].clamp_(0, image[0])
    noise = torch.rand(40, *grid, generator=generator)
    for maps in (noise, smooth_maps(generator, 40, *grid)):
        for places in (boxes, clipped, boxes.round()):
            assert_stock(maps, places, *image)


@pytest.mark.parametrize('size', [28, 112])
@pytest.mark.parametrize('scale', [1, 3])
def test_codes_are_those_of_stock_for_objects_as_in_lvis(size, scale):
    rng = np.random.default_rng(1)
    objects = [draw_object(rng, size, 240, 320, scale) for _ in range(60)]
    logits, boxes = (torch.from_numpy(np.stack(parts)) for parts in zip(*objects, strict=True))
    assert_stock(logits.sigmoid(), boxes, 240, 320)


@settings(max_examples=150)
@given(st.data())
def test_codes_are_those_of_stock_up_to_rounding_for_ties(data):
    rows, columns = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    height, width = data.draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    probabilities = st.sampled_from([0.0, 0.25, 0.5, 0.5000001, 0.4999999, 0.75, 1.0])
    numbers = st.lists(probabilities, min_size=rows * columns, max_size=rows * columns)
    maps = torch.tensor(data.draw(numbers)).view(1, rows, columns)
    x, y = (data.draw(st.integers(-8, 2 * size - 1)) / 2 for size in (width, height))
    w, h = (data.draw(st.integers(1, 60)) / 2 for _ in range(2))
    box = torch.tensor([[x, y, x + w, y + h]])
    assume(x + w > 0 and y + h > 0 and x < width and y < height)
    assert_stock(maps, box, height, width)


@pytest.mark.parametrize('threshold', [0.0, 1e-7, 0.3, 1.0, 1.5])
def test_threshold_is_that_of_stock(threshold):
    generator = torch.Generator().manual_seed(0)
    maps = smooth_maps(generator, 20, 14, 14)
    maps[:5] = maps[:5].round()
    assert_stock(maps, random_boxes(generator, 20, 40, 50), 40, 50, threshold)


@pytest.mark.parametrize(
    'box',
    [
        (10, 5, 10, 30),
        (10, 5, 30, 5),
        (10.5, 5.5, 10.5, 5.5),
        (10.5, 5, 10.5, 30),
        (10, 5, 10 + 1e-6, 30),
        (0, 0, 1e-38, 20),
        (3, 3, 3.01, 3.01),
        (-1e6, -1e6, 1e6, 1e6),
        (-1e6, 10, 20, 1e6),
        (-1e30, -5, 20, 1e30),
        (38.9, 0, 39.7, 50),
    ],
)
@pytest.mark.parametrize('size', [1, 2, 28])
def test_extreme_boxes_are_pasted_as_by_stock(box, size):
    maps = smooth_maps(torch.Generator().manual_seed(3), 6, size, size)
    ours = paste_masks(maps, np.array([box] * 6, np.float32), 50, 40).rles()
    assert ours == stock_codes(maps, torch.tensor([box] * 6, dtype=torch.float32), 50, 40)


@pytest.mark.parametrize(
    'box',
    [
        (-30, 5, -10, 20),
        (60, 5, 90, 20),
        (5, -30, 20, -10),
        (5, 70, 20, 90),
        (1e9, 1e9, 2e9, 2e9),
        (-3e38, 0, -2e38, 20),
        (20, 5, 10, 20),
        (5, 20, 15, 19),
        (float('nan'), 5, 10, 20),
        (5, 5, 10, float('nan')),
        (float('-inf'), 5, 10, 20),
        (5, 5, 10, float('inf')),
    ],
)
def test_impossible_box_gives_an_empty_mask_and_leaves_others_alone(box):
    boxes = np.array([(2, 2, 30, 30), box, (5, 5, 20, 20)], np.float32)
    maps = np.ones((3, 7, 7), np.float32)
    masks = paste_masks(maps, boxes, 50, 40)
    assert masks.areas[1] == 0
    assert masks.boxes[1].tolist() == [0, 0, 0, 0]
    assert masks.rles()[1] == coco_mask.encode(np.zeros((50, 40), np.uint8, order='F'))
    assert masks[[0, 2]].codes == paste_masks(maps[::2], boxes[::2], 50, 40).codes


def test_image_may_be_one_pixel():
    maps = torch.tensor([0.9, 0.1]).view(2, 1, 1).expand(2, 28, 28)
    masks = paste_masks(maps, torch.tensor([[0.0, 0, 1, 1]] * 2), 1, 1)
    assert masks.areas.tolist() == [1, 0]
    assert masks.boxes.tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]
    assert_stock(maps, torch.tensor([[0.0, 0, 1, 1]] * 2), 1, 1)


@pytest.mark.parametrize('fill', [0.0, 1.0])
def test_maps_without_a_crossing_give_nothing_or_the_whole_box(fill):
    boxes = torch.tensor([[0.0, 0, 40, 50], [-40, -50, 80, 100], [3, 4, 9, 11]])
    masks = paste_masks(torch.full((3, 28, 28), fill), boxes, 50, 40)
    assert masks.areas.tolist() == ([40 * 50, 40 * 50, 42] if fill else [0, 0, 0])


def test_values_that_are_no_number_are_outside_as_in_stock():
    generator = torch.Generator().manual_seed(0)
    maps = smooth_maps(generator, 10, 7, 7)
    maps[:, 3, 2:5] = float('nan')
    boxes = random_boxes(generator, 10, 40, 50)
    assert paste_masks(maps, boxes, 40, 50).rles() == stock_codes(maps, boxes, 40, 50)


@pytest.mark.parametrize('shape', [(0, 28, 28), (0,), (0, 0, 0)])
def test_there_may_be_no_objects(shape):
    masks = paste_masks(torch.zeros(shape), torch.zeros(0, 4), 50, 40)
    assert len(masks) == 0
    assert (masks.height, masks.width) == (50, 40)
    assert masks.areas.shape == (0,)
    assert masks.boxes.shape == (0, 4)


def test_ten_thousand_objects_are_like_one_after_another():
    generator = torch.Generator().manual_seed(0)
    maps = smooth_maps(generator, 10_000, 7, 7)
    boxes = random_boxes(generator, 10_000, 480, 640)
    masks = paste_masks(maps, boxes, 480, 640)
    assert len(masks) == 10_000
    for i in (0, 4999, 9999):
        alone = paste_masks(maps[i : i + 1], boxes[i : i + 1], 480, 640)
        assert masks.codes[i] == alone.codes[0]


def test_longest_codes_fit():
    checkers = (torch.arange(90)[:, None] + torch.arange(90)) % 2.0
    boxes = torch.tensor([[0.0, 0, 90, 90]] * 3)
    maps = checkers.expand(3, 90, 90)
    masks = paste_masks(maps, boxes, 90, 90)
    assert masks.codes[0] == masks.codes[2]
    assert len(masks.codes[0]) > 90 * 90 / 2
    assert masks.rles() == stock_codes(maps, boxes, 90, 90)


def test_areas_and_boxes_are_those_of_the_codes():
    generator = torch.Generator().manual_seed(7)
    for grid in ((1, 1), (3, 3), (28, 28)):
        maps = torch.rand(60, *grid, generator=generator)
        masks = paste_masks(maps, random_boxes(generator, 60, 33, 44), 33, 44)
        bitmaps = masks.masks
        assert masks.areas.tolist() == bitmaps.sum((1, 2)).tolist()
        for bitmap, (x1, y1, x2, y2) in zip(bitmaps, masks.boxes.tolist(), strict=True):
            inside = np.zeros_like(bitmap)
            inside[y1:y2, x1:x2] = 1
            assert not (bitmap & ~inside).any()
            if bitmap.any():
                tight = bitmap[y1:y2, x1:x2]
                assert tight[0].any() and tight[-1].any()
                assert tight[:, 0].any() and tight[:, -1].any()


def test_arrays_and_tensors_of_other_types_are_taken_and_not_changed():
    generator = torch.Generator().manual_seed(0)
    maps = smooth_maps(generator, 8, 14, 14).half().float()
    boxes = random_boxes(generator, 8, 40, 50)
    expected = paste_masks(maps, boxes, 40, 50).codes
    constant = maps.numpy().copy()
    constant.flags.writeable = False
    copies = maps.clone(), boxes.clone()
    for given_maps in (maps.half(), maps.double(), constant, maps.clone().requires_grad_()):
        assert paste_masks(given_maps, boxes.numpy(), 40, 50).codes == expected
    transposed = maps.transpose(1, 2).contiguous().transpose(1, 2)
    assert paste_masks(transposed, boxes, 40, 50).codes == expected
    assert torch.equal(maps, copies[0])
    assert torch.equal(boxes, copies[1])


def test_number_of_threads_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    maps = smooth_maps(generator, 1100, 7, 7)
    boxes = random_boxes(generator, 1100, 60, 80)
    one, four = (paste_masks(maps, boxes, 60, 80, num_threads=n) for n in (1, 4))
    assert one.codes == four.codes
    assert one.areas.tolist() == four.areas.tolist()
    assert one.boxes.tolist() == four.boxes.tolist()


def test_memory_does_not_grow_with_the_image():
    maps, boxes = torch.ones(50, 28, 28), torch.tensor([[100.0, 100, 400, 400]]).repeat(50, 1)
    paste_masks(maps, boxes, 10, 10)
    cost = measure(lambda _: paste_masks(maps, boxes, 20_000, 30_000), None).cost
    if cost.megabytes is None:
        pytest.skip('this system does not tell peak memory')
    assert cost.megabytes < 30


@pytest.mark.parametrize('size', [(50_000, 50_000), (0, 10), (10, -3)])
def test_image_that_no_code_can_hold_is_refused(size):
    with pytest.raises(UserError, match='cannot have masks'):
        paste_masks(torch.ones(1, 7, 7), torch.ones(1, 4), *size)


@pytest.mark.parametrize('threshold', [-1, -1e-9, float('nan')])
def test_soft_masks_are_refused(threshold):
    with pytest.raises(UserError, match='mask_thr_binary'):
        paste_masks(torch.ones(1, 7, 7), torch.ones(1, 4), 10, 10, threshold)


@pytest.mark.parametrize(
    'shapes', [((2, 7, 7), (3, 4)), ((2, 1, 7, 7), (2, 4)), ((2, 7, 7), (2, 5))]
)
def test_arrays_that_do_not_belong_together_are_refused(shapes):
    with pytest.raises(ValueError, match='masks'):
        paste_masks(torch.ones(shapes[0]), torch.ones(shapes[1]), 10, 10)
