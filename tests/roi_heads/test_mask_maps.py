"""Masks of detections against stock's, which pastes every class's map into the whole image."""

import copy

import pytest
import torch
from mmengine.structures import InstanceData

from mmdet.models.roi_heads import CascadeRoIHead, HybridTaskCascadeRoIHead, StandardRoIHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from plugins.errors import UserError
from plugins.roi_heads.stages import stages_of
from plugins.structures import EncodedMasks
from tests.roi_heads.nano import NUM_CLASSES, SEMANTIC, nano_model, nano_roi_head, pyramid
from tests.tensor_memory import TensorMemory

NAMES = ('mask-rcnn', 'cascade-mask-rcnn', 'htc')
each_model = pytest.mark.parametrize('name', NAMES)


def _roi_head(name, **more):
    """A head of any model whose mask probabilities are spread over the whole range."""
    torch.manual_seed(0)
    head = nano_roi_head(name, **more).eval()
    for mask_head in stages_of(head.mask_head):
        torch.nn.init.normal_(mask_head.conv_logits.weight, std=2.0 if name == NAMES[0] else 8.0)
    return head


def _found(counts):
    """Detections of images, in pixels of the network's input."""
    generator = torch.Generator().manual_seed(1)
    results = []
    for count in counts:
        corner = torch.rand(count, 2, generator=generator) * 70
        side = 20 + torch.rand(count, 2, generator=generator) * 40
        results.append(
            InstanceData(
                bboxes=torch.cat([corner, corner + side], 1),
                labels=torch.randint(0, NUM_CLASSES, (count,), generator=generator),
                scores=torch.rand(count, generator=generator),
            )
        )
    return results


def _meta(height=128, width=128, scale=(1.0, 1.0), **more):
    shape = round(height * scale[1]), round(width * scale[0])
    return dict(ori_shape=(height, width), img_shape=shape, scale_factor=scale, **more)


def _mask_args(head):
    return (None,) if isinstance(head, HybridTaskCascadeRoIHead) else ()


def _predict(owner, head, features, metas, results, rescale):
    with torch.no_grad():
        return owner.predict_mask(
            head, features, *_mask_args(head), metas, copy.deepcopy(results), rescale
        )


STOCK = dict(zip(NAMES, (StandardRoIHead, CascadeRoIHead, HybridTaskCascadeRoIHead), strict=True))


def _stock_maps(head, features, results):
    """All classes' probabilities of all stages, averaged, then the label's."""
    rois = bbox2roi([found.bboxes for found in results])
    labels = torch.cat([found.labels for found in results])
    if isinstance(head, HybridTaskCascadeRoIHead):
        stages = [
            HybridTaskCascadeRoIHead._mask_forward(head, stage, features, rois)
            for stage in range(3)
        ]
    elif isinstance(head, CascadeRoIHead):
        stages = [CascadeRoIHead._mask_forward(head, stage, features, rois) for stage in range(3)]
    else:
        stages = [StandardRoIHead._mask_forward(head, features, rois)]
    logits = torch.stack([stage['mask_preds'].sigmoid() for stage in stages])
    return logits.mean(0)[torch.arange(len(labels)), labels]


@each_model
@pytest.mark.parametrize('chunk', [1, 4, 256])
def test_maps_are_stocks_in_chunks_of_any_size(name, chunk):
    head = _roi_head(name, test_cfg=dict(rcnn=dict(mask_chunk=chunk)))
    features, results = pyramid(3), _found((5, 0, 2))
    boxes, labels = ([found[key] for found in results] for key in ('bboxes', 'labels'))
    with torch.no_grad():
        seen = head.mask_maps(features, boxes, labels)
        expected = _stock_maps(head, features, results)
    maps = [own.maps for own in seen]
    assert [own.shape for own in maps] == [(5, 28, 28), (0, 28, 28), (2, 28, 28)]
    assert expected.std() > 0.1
    torch.testing.assert_close(torch.cat(maps), expected, rtol=0, atol=1e-6)


def test_class_agnostic_maps_are_stocks_bit_by_bit():
    agnostic = dict(mask_head=dict(class_agnostic=True))
    head = _roi_head('cascade-mask-rcnn', roi_head=agnostic)
    features, (found,) = pyramid(), _found((6,))
    with torch.no_grad():
        ((maps, _),) = head.mask_maps(features, [found.bboxes], [found.labels])
        rois = bbox2roi([found.bboxes])
        stages = [head._mask_forward(stage, features, rois)['mask_preds'] for stage in range(3)]
    assert torch.equal(maps, torch.stack([s.sigmoid() for s in stages]).mean(0)[:, 0])


def test_last_stage_of_htc_alone_passes_through_the_others():
    head = _roi_head('htc', roi_head=dict(mask_merge='last'))
    features, (found,) = pyramid(), _found((4,))
    calls = []
    for mask_head in head.mask_head:
        mask_head.upsample.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        ((maps, _),) = head.mask_maps(features, [found.bboxes], [found.labels])
        assert len(calls) == 1
        rois = bbox2roi([found.bboxes])
        logits = HybridTaskCascadeRoIHead._mask_forward(head, 2, features, rois)['mask_preds']
    expected = logits.sigmoid()[torch.arange(4), found.labels]
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-6)


def _assert_same_masks(found, expected):
    """Equal, but for pixels on the threshold, where the last bit of a map decides."""
    assert isinstance(found, EncodedMasks)
    dense = found.cpu()
    assert dense.shape == expected.shape and expected.any()
    assert (dense != expected).float().mean() < 1e-4


@each_model
@pytest.mark.parametrize('rescale', [True, False])
def test_masks_and_boxes_are_stocks_for_images_of_different_sizes(name, rescale):
    head = _roi_head(name)
    features = pyramid(3)
    metas = [
        _meta(256, 250, (0.512, 0.5)),
        _meta(60, 90, (1.4, 128 / 60)),
        _meta(100, 128, (1.0, 1.0)),
    ]
    results = _found((4, 3, 2))
    mine = _predict(type(head), head, features, metas, results, rescale)
    stocks = _predict(STOCK[name], head, features, metas, results, rescale)
    for found, expected in zip(mine, stocks, strict=True):
        assert torch.equal(found.bboxes, expected.bboxes)
        assert torch.equal(found.scores, expected.scores)
        _assert_same_masks(found.masks, expected.masks)


@each_model
@pytest.mark.parametrize('counts', [(0, 3), (0, 0)], ids=str)
def test_image_without_detection_has_no_mask_of_its_own_size(name, counts):
    head = _roi_head(name)
    metas = [_meta(50, 70, (1.8, 2.0)), _meta(64, 64, (2.0, 2.0))]
    for rescale, sizes in ((True, [(50, 70), (64, 64)]), (False, [(100, 126), (128, 128)])):
        mine = _predict(type(head), head, pyramid(2), metas, _found(counts), rescale)
        assert [len(found.masks) for found in mine] == list(counts)
        assert [found.masks.cpu().shape[1:] for found in mine] == sizes


@each_model
def test_box_beyond_the_image_has_an_empty_mask(name):
    head = _roi_head(name)
    (found,) = _found((8,))
    found.bboxes[0] = torch.tensor([200.0, 10, 240, 50])
    found.bboxes[1] = torch.tensor([10.0, -90, 40, -20])
    (mine,) = _predict(type(head), head, pyramid(), [_meta()], [found], True)
    assert mine.masks.areas[:2].tolist() == [0, 0] and mine.masks.areas[2:].any()


@each_model
def test_soft_masks_are_stocks(name):
    head = _roi_head(name, test_cfg=dict(rcnn=dict(mask_thr_binary=-1)))
    metas = [_meta(64, 50, (2.0, 2.0)), _meta()]
    results = _found((3, 0))
    mine = _predict(type(head), head, pyramid(2), metas, results, True)
    stocks = _predict(STOCK[name], head, pyramid(2), metas, results, True)
    for found, expected in zip(mine, stocks, strict=True):
        assert found.masks.dtype == torch.uint8 and found.masks.shape == expected.masks.shape
        assert (found.masks.int() - expected.masks.int()).abs().sum() <= 3
        assert torch.equal(found.bboxes, expected.bboxes)
        assert torch.equal(found.labels, expected.labels)
    assert mine[0].masks.float().std() > 20


def _htc_with_semantic(kind, **more):
    model = nano_model('htc', roi_head=SEMANTIC)
    config = model.roi_head
    config.update(train_cfg=None, test_cfg=model.test_cfg.rcnn, **more)
    if kind == 'HybridTaskCascadeRoIHead':
        stds = config.bbox_head.bbox_coder.pop('stage_target_stds')
        boxes = [copy.deepcopy(config.bbox_head) for _ in range(3)]
        for box_head, std in zip(boxes, stds, strict=True):
            box_head.bbox_coder.target_stds = std
        flags = config.mask_head.pop('stage_with_conv_res')
        masks = [{**config.mask_head, 'with_conv_res': flag} for flag in flags]
        config.update(type=kind, bbox_head=boxes, mask_head=masks)
    return MODELS.build(config).eval()


def test_semantic_branch_reaches_the_masks_of_htc_as_in_stock():
    torch.manual_seed(0)
    head = _htc_with_semantic('UniformHTCRoIHead', mask_merge='last')
    head.init_weights()
    stock = _htc_with_semantic('HybridTaskCascadeRoIHead')
    stock.load_state_dict(head.state_dict())
    features, results = pyramid(), _found((4,))
    with torch.no_grad():
        _, semantic = head.semantic_head(features)
        ((maps, _),) = head.mask_maps(features, [results[0].bboxes], [results[0].labels])
        rois = bbox2roi([results[0].bboxes])
        logits = stock._mask_forward(2, features, rois, semantic, True)['mask_preds']
        deaf = stock._mask_forward(2, features, rois, semantic * 0, True)['mask_preds']
        given = head.mask_maps(
            features, [results[0].bboxes], [results[0].labels], semantic_feat=semantic
        )
    expected = logits.sigmoid()[torch.arange(4), results[0].labels]
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-6)
    assert torch.equal(maps, given[0].maps) and not torch.allclose(logits, deaf)


@pytest.mark.parametrize('name', ['mask-rcnn', 'htc'])
def test_masks_take_the_same_memory_with_2_and_with_1203_classes(name):
    peaks = []
    for classes in (2, 1203):
        head = _roi_head(name, roi_head=dict(mask_head=dict(num_classes=classes)))
        (found,) = _found((24,))
        found.labels = torch.arange(24) * 50 % classes
        with TensorMemory() as memory:
            _predict(type(head), head, pyramid(), [_meta()], [found], True)
        peaks.append(memory.peak)
    assert peaks[1] <= 1.1 * peaks[0]


def test_memory_is_bounded_by_the_chunk():
    peaks = []
    for count in (8, 64):
        head = _roi_head('mask-rcnn', test_cfg=dict(rcnn=dict(mask_chunk=8)))
        (found,) = _found((count,))
        with TensorMemory() as memory, torch.no_grad():
            head.mask_maps(pyramid(), [found.bboxes], [found.labels])
        peaks.append(memory.peak - count * 28 * 28 * 4 * 2)  # the maps, in parts and as a whole
    assert peaks[1] <= 1.1 * peaks[0]


@pytest.mark.parametrize('value', [0, -3, 2.5, 'all'])
def test_chunk_that_is_no_number_of_rois_names_the_key(value):
    with pytest.raises(UserError, match=r'test_cfg\.rcnn\.mask_chunk is'):
        _roi_head('mask-rcnn', test_cfg=dict(rcnn=dict(mask_chunk=value)))
