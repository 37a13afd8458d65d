import numpy as np
import pytest
import torch

from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from plugins.structures import CropMasks
from plugins.transforms import PackFederatedInputs

IMAGE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
VIEWS = {
    'as loaded': IMAGE,
    'mirrored': IMAGE[:, ::-1],
    'upside down': IMAGE[::-1],
    'both': IMAGE[::-1, ::-1],
    'cropped': IMAGE[5:40, 7:61],
    'cropped and mirrored': IMAGE[5:40, 7:61][:, ::-1],
    'channels swapped': IMAGE[:, :, ::-1],
    'turned': IMAGE.transpose(1, 0, 2),
    'every other pixel': IMAGE[::2, ::2],
    'float': IMAGE.astype(np.float32),
    'float mirrored': IMAGE.astype(np.float32)[:, ::-1],
    'double': IMAGE.astype(np.float64),
    'one channel': IMAGE[:, :, :1],
    'grey': IMAGE[:, :, 0],
    'one pixel': IMAGE[:1, :1],
}


@pytest.mark.parametrize('name', VIEWS)
def test_the_image_is_that_of_stock(name):
    image = VIEWS[name]
    ours = PackFederatedInputs()(dict(img=image))['inputs']
    stock = PackDetInputs()(dict(img=image.copy()))['inputs']
    assert ours.dtype == stock.dtype
    assert torch.equal(ours, stock)
    assert ours.is_contiguous()


def test_the_image_of_the_sample_is_not_written_to():
    image = IMAGE.copy()
    packed = PackFederatedInputs()(dict(img=image[:, ::-1]))['inputs']
    packed.zero_()
    np.testing.assert_array_equal(image, IMAGE)


def sample():
    return dict(
        img=IMAGE,
        img_id=4,
        ori_shape=(50, 70),
        gt_bboxes=HorizontalBoxes(torch.tensor([[0, 0, 9, 9], [1, 1, 5, 5], [2, 2, 4, 4.0]])),
        gt_bboxes_labels=np.array([3, 1, 2]),
        gt_ignore_flags=np.array([False, True, False]),
        gt_masks=CropMasks.from_bitmaps(np.ones((3, 50, 70), np.uint8)),
    )


def test_federated_lists_travel_as_metainfo():
    lists = dict(neg_labels=[1, 5], not_exhaustive_labels=[])
    metainfo = PackFederatedInputs()({**sample(), **lists})['data_samples'].metainfo
    assert metainfo == dict(img_id=4, ori_shape=(50, 70), **lists)
    assert PackFederatedInputs()(sample())['data_samples'].metainfo.keys() == {
        'img_id',
        'ori_shape',
    }


def test_chosen_keys_replace_the_default():
    pack = TRANSFORMS.build(dict(type='PackFederatedInputs', meta_keys=['img_id']))
    packed = pack(dict(sample(), neg_labels=[1]))
    assert packed['data_samples'].metainfo == dict(img_id=4)


def test_objects_to_ignore_are_kept_apart_with_their_masks():
    packed = PackFederatedInputs()(sample())['data_samples']
    assert packed.gt_instances.labels.tolist() == [3, 2]
    assert packed.ignored_instances.labels.tolist() == [1]
    assert isinstance(packed.gt_instances.masks, CropMasks)
    assert (len(packed.gt_instances.masks), len(packed.ignored_instances.masks)) == (2, 1)
