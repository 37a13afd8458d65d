import copy
import json
import pickle

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from mmengine.structures import InstanceData

from mmdet.apis import DetInferencer
from mmdet.evaluation import CocoMetric, DumpDetResults, LVISMetric
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, encode_mask_results
from mmdet.visualization import DetLocalVisualizer
from plugins.evaluation.detections import compact
from plugins.structures import CropMasks, EncodedMasks

HEIGHT, WIDTH = 37, 53


@pytest.fixture
def bitmaps():
    """Objects of all kinds: scattered, solid, a single pixel, the whole image, none."""
    rng = np.random.default_rng(0)
    masks = np.zeros((6, HEIGHT, WIDTH), np.uint8)
    masks[0, 5:20, 8:40] = rng.random((15, 32)) < 0.5
    masks[1, 20:37, 30:53] = 1
    masks[2, 0, 52] = 1
    masks[3] = 1
    masks[4, 3:9, 0:4] = rng.random((6, 4)) < 0.5
    return masks


@pytest.fixture
def encoded(bitmaps):
    return EncodedMasks.from_bitmaps(bitmaps)


def predicted(masks):
    """A data sample whose instances have the masks."""
    boxes = torch.tensor([[1.0, 2, 30, 31]]).repeat(len(masks), 1)
    scores, labels = (
        torch.linspace(0.9, 0.1, len(masks)),
        torch.zeros(len(masks), dtype=torch.int64),
    )
    sample = DetDataSample(metainfo=dict(img_id=1, ori_shape=(HEIGHT, WIDTH)))
    sample.pred_instances = InstanceData(bboxes=boxes, scores=scores, labels=labels, masks=masks)
    return sample


def test_bitmaps_come_back(bitmaps, encoded):
    assert np.array_equal(encoded.masks, bitmaps)
    assert np.array_equal(encoded.to_ndarray(), bitmaps)
    assert np.array_equal(np.stack(list(encoded)), bitmaps)
    assert torch.equal(encoded.to_tensor(torch.float32, 'cpu'), torch.tensor(bitmaps).float())
    assert encoded.masks.dtype == np.uint8


@pytest.mark.parametrize('convert', [torch.from_numpy, lambda a: a.astype(bool), lambda a: a * 7])
def test_what_is_not_zero_is_the_object(bitmaps, encoded, convert):
    assert EncodedMasks.from_bitmaps(convert(bitmaps)).codes == encoded.codes


def test_codes_are_those_of_mmdet(bitmaps, encoded):
    assert encoded.rles() == encode_mask_results(bitmaps)
    assert encode_mask_results(encoded) == encoded.rles()


def test_measures_are_those_of_the_pixels(bitmaps, encoded):
    assert encoded.areas.dtype == np.int64
    assert encoded.areas.tolist() == bitmaps.sum((1, 2)).tolist()
    expected = BitmapMasks(bitmaps, HEIGHT, WIDTH).get_bboxes('hbox').tensor
    assert torch.equal(encoded.get_bboxes('hbox').tensor, expected)
    assert encoded.boxes.tolist() == expected.int().tolist()


def test_hundreds_of_masks_are_measured():
    masks = EncodedMasks.from_bitmaps(np.eye(300, dtype=np.uint8)[:, None].repeat(2, axis=1))
    assert masks.areas.tolist() == [2] * 300
    assert masks.boxes[299].tolist() == [299, 0, 300, 2]


def test_given_measures_are_not_computed_again(encoded):
    areas, boxes = np.arange(6), np.arange(24).reshape(6, 4)
    masks = EncodedMasks(encoded.codes, HEIGHT, WIDTH, areas, boxes)
    chosen = EncodedMasks.cat([masks[2:4], masks[[5]]])
    assert chosen.areas.tolist() == [2, 3, 5]
    assert chosen.boxes.tolist() == boxes[[2, 3, 5]].tolist()


@pytest.mark.parametrize(
    'index',
    [
        slice(1, 5, 2),
        [4, 0],
        [],
        [True, False, True, False, False, True],
        np.array([3, 3, -1]),
        np.array([False, True] * 3),
        torch.tensor([2, 1]),
        torch.tensor([True, False] * 3),
        torch.zeros(6, dtype=torch.bool),
    ],
)
def test_indices_choose_as_in_bitmaps(bitmaps, encoded, index):
    as_array = index.numpy() if isinstance(index, torch.Tensor) else index
    expected = bitmaps[as_array]
    chosen = encoded[index]
    assert isinstance(chosen, EncodedMasks)
    assert np.array_equal(chosen.masks, expected)
    assert chosen.areas.tolist() == expected.sum((1, 2)).tolist()
    of_instances = InstanceData(masks=encoded)[index].masks
    assert of_instances.codes == chosen.codes


@pytest.mark.parametrize('index', [2, -1, np.int64(4), torch.tensor(3)])
def test_single_index_gives_what_result_files_hold(bitmaps, encoded, index):
    code = json.loads(json.dumps(encoded[index]))
    assert np.array_equal(coco_mask.decode(code), bitmaps[int(index)])
    assert len(InstanceData(masks=encoded)[int(index)].masks) == 1


def test_index_beyond_the_end_is_an_error(encoded):
    with pytest.raises(IndexError):
        encoded[6]


def test_instances_can_be_put_together_and_sorted(bitmaps, encoded):
    one = InstanceData(masks=encoded, scores=torch.arange(6.0))
    both = InstanceData.cat([one, one[:2]])
    ordered = both[both.scores.argsort(descending=True, stable=True)]
    assert np.array_equal(ordered.masks.masks, bitmaps[[5, 4, 3, 2, 1, 1, 0, 0]])


def test_cat_takes_masks_of_other_kinds(bitmaps, encoded):
    others = [BitmapMasks(bitmaps, HEIGHT, WIDTH), CropMasks.from_bitmaps(bitmaps)]
    masks = EncodedMasks.cat([encoded, *others])
    assert masks.codes == encoded.codes * 3
    assert masks.areas.tolist() == encoded.areas.tolist() * 3


@pytest.mark.parametrize('shapes', [[], [(3, 4), (4, 3)]])
def test_cat_refuses_nothing_and_different_sizes(shapes):
    with pytest.raises(ValueError, match='one height and width'):
        EncodedMasks.cat([EncodedMasks([], *shape) for shape in shapes])


@pytest.mark.parametrize('direction', ['horizontal', 'vertical', 'diagonal'])
def test_flip_is_that_of_bitmaps(bitmaps, encoded, direction):
    expected = BitmapMasks(bitmaps, HEIGHT, WIDTH).flip(direction).masks
    flipped = encoded.flip(direction)
    assert flipped.codes == EncodedMasks.from_bitmaps(expected).codes
    assert flipped.areas.tolist() == encoded.areas.tolist()
    assert flipped.boxes.tolist() == EncodedMasks.from_bitmaps(expected).boxes.tolist()


def test_flip_in_no_direction_is_an_error(encoded):
    with pytest.raises(ValueError, match='flip_direction'):
        encoded.flip('sideways')


def test_other_operations_give_bitmaps(bitmaps, encoded):
    stock = BitmapMasks(bitmaps, HEIGHT, WIDTH)
    assert np.array_equal(encoded.resize((20, 30)).masks, stock.resize((20, 30)).masks)
    assert np.array_equal(encoded.rescale(0.5).masks, stock.rescale(0.5).masks)
    assert np.array_equal(encoded.pad((40, 60)).masks, stock.pad((40, 60)).masks)
    box = np.array([3, 4, 20, 30])
    assert np.array_equal(encoded.crop(box).masks, stock.crop(box).masks)


def test_masks_survive_pickling_and_copying(bitmaps, encoded):
    for copied in (pickle.loads(pickle.dumps(encoded)), copy.deepcopy(encoded), copy.copy(encoded)):
        assert np.array_equal(copied.masks, bitmaps)
        assert copied.areas.tolist() == encoded.areas.tolist()


def test_assigned_bitmaps_replace_the_codes(bitmaps, encoded):
    encoded.masks = bitmaps[::-1]
    assert np.array_equal(encoded.masks, bitmaps[::-1])


def test_there_may_be_no_objects():
    masks = EncodedMasks.from_bitmaps(np.zeros((0, 5, 7), bool))
    assert (len(masks), masks.height, masks.width) == (0, 5, 7)
    assert masks.areas.shape == (0,)
    assert masks.boxes.shape == (0, 4)
    assert masks.masks.shape == (0, 5, 7)
    assert masks.get_bboxes('hbox').tensor.shape == (0, 4)
    assert len(masks.flip()) == len(masks[:]) == len(EncodedMasks.cat([masks, masks])) == 0
    assert masks.cpu().shape == (0, 5, 7)


def test_random_masks_are_those_of_bitmaps():
    ours, stock = EncodedMasks.random(rng=0), BitmapMasks.random(rng=0)
    assert np.array_equal(ours.masks, stock.masks)


def test_our_metric_takes_the_codes_as_they_are(bitmaps, encoded):
    ours, stock = (
        compact(1, predicted(masks).pred_instances.to_dict())
        for masks in (encoded, torch.from_numpy(bitmaps).bool())
    )
    assert ours['masks'] == stock['masks']


@pytest.mark.parametrize('metric', [CocoMetric, LVISMetric, DumpDetResults])
def test_metrics_of_mmdet_collect_the_same_codes_as_from_stock(bitmaps, encoded, metric, tmp_path):
    collected = []
    for masks in (encoded, torch.from_numpy(bitmaps).bool()):
        collector = metric.__new__(metric)
        collector.results = []
        sample = predicted(masks).to_dict()
        gt = dict(width=WIDTH, height=HEIGHT, img_id=1, instances=[])
        collector._coco_api = collector._lvis_api = None
        collector.process({}, [dict(sample, ori_shape=(HEIGHT, WIDTH), **gt)])
        result = collector.results[0]
        result = result.get('pred_instances', result) if isinstance(result, dict) else result[1]
        collected.append([result['masks'][i]['counts'] for i in range(len(bitmaps))])
    ours, stock = ([c if isinstance(c, bytes) else c.encode() for c in side] for side in collected)
    assert ours == stock


def test_coco_metric_of_mmdet_scores_them(bitmaps, encoded, tmp_path):
    """Its whole way: the codes are written to a file, read again and matched."""
    rles = [dict(rle, counts=rle['counts'].decode()) for rle in encoded.rles()]
    objects = [
        dict(id=i + 1, image_id=1, category_id=3, iscrowd=0, area=int(area), segmentation=rle)
        | dict(bbox=[0, 0, 1, 1])
        for i, (rle, area) in enumerate(zip(rles, encoded.areas, strict=True))
        if area > 0
    ]
    image = dict(id=1, file_name='1.jpg', height=HEIGHT, width=WIDTH)
    data = dict(images=[image], annotations=objects, categories=[dict(id=3, name='cup')])
    path = tmp_path / 'objects.json'
    path.write_text(json.dumps(data))
    metric = CocoMetric(ann_file=str(path), metric='segm')
    metric.dataset_meta = dict(classes=('cup',))
    sample = predicted(encoded[:5]).to_dict()
    metric.process({}, [dict(sample, img_id=1, ori_shape=(HEIGHT, WIDTH))])
    assert metric.evaluate(size=1)['coco/segm_mAP'] == 1.0


def test_visualizer_of_mmdet_draws_them(bitmaps, encoded):
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    drawn = []
    for masks in (encoded, torch.from_numpy(bitmaps).bool()):
        np.random.seed(0)  # colours are jittered
        visualizer = DetLocalVisualizer()
        visualizer.dataset_meta = dict(classes=('cup',), palette=[(255, 0, 0)])
        visualizer.add_datasample('x', image, predicted(masks), draw_gt=False, pred_score_thr=0.2)
        drawn.append(visualizer.get_image())
    assert np.array_equal(*drawn)
    assert not np.array_equal(drawn[0], image)


@pytest.mark.parametrize('count', [6, 0])
def test_inferencer_of_mmdet_reports_them(bitmaps, encoded, count):
    inferencer = DetInferencer.__new__(DetInferencer)
    ours, stock = (
        inferencer.pred2dict(predicted(masks[:count]))
        for masks in (encoded, torch.from_numpy(bitmaps).bool())
    )
    assert ours == stock
    assert len(ours['masks']) == count
