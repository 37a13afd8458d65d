from types import SimpleNamespace

import pytest
from torch import nn

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.hooks import ClassCountHook

BBOX_HEAD = dict(
    type='Shared2FCBBoxHead', in_channels=4, fc_out_channels=8, roi_feat_size=2, num_classes=7
)
MASK_HEAD = dict(type='FCNMaskHead', num_convs=1, in_channels=4, conv_out_channels=4)


class _Detector(nn.Module):
    def __init__(self, **heads):
        super().__init__()
        if 'rpn' in heads:
            self.rpn_head = MODELS.build(heads.pop('rpn'))
        self.roi_head = nn.ModuleDict({k: MODELS.build(v) for k, v in heads.items()})
        self.backbone = nn.Module()
        self.backbone.num_classes = 1000


def _runner(model, num_classes, phase='train'):
    dataset = SimpleNamespace(metainfo=dict(classes=('x',) * num_classes), ann_file='a/train.json')
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    return SimpleNamespace(model=model, **{f'_{phase}_loop': loop})


def test_agreeing_heads_pass_and_a_backbones_own_classes_do_not_matter():
    model = _Detector(bbox=BBOX_HEAD, mask=dict(num_classes=7, **MASK_HEAD))
    ClassCountHook().before_run(_runner(model, 7))


@pytest.mark.parametrize('phase', ['train', 'val', 'test'])
def test_disagreement_names_head_data_set_and_remedy(phase):
    model = _Detector(bbox=BBOX_HEAD, mask=dict(num_classes=80, **MASK_HEAD))
    message = rf'num_classes is 80 in roi_head\.mask, but the {phase} data set a/train\.json has 7'
    with pytest.raises(UserError, match=message):
        ClassCountHook().before_run(_runner(model, 7, phase))


@pytest.mark.parametrize('head', ['RPNHead', 'GARPNHead', 'RetinaHead'])
def test_class_agnostic_mask_head_and_any_rpn_are_exempt(head):
    classes = dict(num_classes=1) if head == 'RetinaHead' else {}
    rpn = dict(type=head, in_channels=4, feat_channels=4, **classes)
    mask = dict(num_classes=80, class_agnostic=True, **MASK_HEAD)
    ClassCountHook().before_run(_runner(_Detector(bbox=BBOX_HEAD, mask=mask, rpn=rpn), 7))


def test_data_sets_without_classes_are_left_alone():
    runner = _runner(_Detector(bbox=BBOX_HEAD), 3)
    runner._train_loop.dataloader.dataset.metainfo = {}
    ClassCountHook().before_run(runner)
