import torch
from mmengine.structures import InstanceData

from mmdet.registry import TASK_UTILS
from plugins.task_modules import ClassDrawRoISampler

SIZES = dict(num=8, pos_fraction=0.25, add_gt_as_proposals=True)


def _sample(sampler, **metainfo):
    torch.manual_seed(0)
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40], [21, 21, 40, 40], [50, 50, 60, 60]])
    objects = InstanceData(
        bboxes=boxes[1:2], labels=torch.tensor([3]), metainfo=metainfo or dict(unrelated=1)
    )
    proposals = InstanceData(priors=boxes)
    assigner = TASK_UTILS.build(
        dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5)
    )
    return sampler.sample(assigner.assign(proposals, objects), proposals, objects)


def test_result_knows_the_class_the_image_was_drawn_for():
    assert _sample(ClassDrawRoISampler(**SIZES), sampled_label=3).sampled_label == 3


def test_image_drawn_for_no_class_says_so():
    assert _sample(ClassDrawRoISampler(**SIZES)).sampled_label == -1


def test_sample_is_that_of_the_random_sampler():
    ours = _sample(ClassDrawRoISampler(**SIZES), sampled_label=3)
    stock = _sample(TASK_UTILS.build(dict(type='RandomSampler', **SIZES)))
    for key in ('pos_inds', 'neg_inds', 'pos_priors', 'pos_gt_labels'):
        assert torch.equal(getattr(ours, key), getattr(stock, key)), key
    assert len(ours.pos_inds) > 0
