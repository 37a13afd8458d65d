import cv2
import numpy as np
import pytest
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate

from mmdet.registry import MODELS, TRANSFORMS
from plugins.test_time import MaskTTAModel, use_test_time_augmentation
from plugins.test_time.view_geometry import check_view
from tests.roi_heads.nano import nano_model


@pytest.fixture
def record(tmp_path):
    """What a data set hands to its pipeline: an image of 120 x 160 pixels without objects."""
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.zeros((120, 160, 3), np.uint8))
    return dict(img_path=str(path), img_id=3, instances=[])


def _views(pipeline, record):
    """The views of a batch of two images."""
    results = []
    for _ in range(2):
        result = dict(record)
        for transform in pipeline:
            result = TRANSFORMS.build(transform)(result)
        results.append(result)
    return pseudo_collate(results)


@pytest.mark.parametrize(
    ('name', 'heights'), [('lvis-format', [800, 640, 960]), ('synthetic', [192, 144, 240])]
)
def test_base_configs_show_three_scales_and_their_mirror_images(root, record, name, heights):
    cfg = Config.fromfile(root / f'configs/_base_/datasets/{name}_instance.py')
    views = _views(cfg.tta_pipeline, record)
    assert [len(view) for view in views['inputs']] == [2] * 6
    metas = [view[0].metainfo for view in views['data_samples']]
    for meta in metas:
        check_view(meta)
    assert [meta['flip'] for meta in metas] == [False, True] * 3
    assert [meta['img_shape'][0] for meta in metas] == [h for h in heights for _ in range(2)]


@pytest.mark.parametrize('is_wrapped', [False, True])
def test_config_without_settings_merges_image_and_mirror_image(root, record, is_wrapped):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(80, 60), keep_ratio=True),
        dict(type='PackDetInputs'),
    ]
    dataset = dict(type='LVISFormatDataset', pipeline=pipeline)
    if is_wrapped:
        dataset = dict(type='RepeatDataset', times=1, dataset=dataset)
    model = nano_model('mask-rcnn')
    model.backbone.init_cfg = None
    cfg = Config(dict(model=model, test_dataloader=dict(dataset=dataset)))
    use_test_time_augmentation(cfg)
    inner = cfg.test_dataloader.dataset
    inner = inner.dataset if is_wrapped else inner
    views = _views(inner.pipeline, record)
    metas = [view[1].metainfo for view in views['data_samples']]
    assert [meta['flip'] for meta in metas] == [False, True]
    tta = MODELS.build(cfg.model)
    assert isinstance(tta, MaskTTAModel)
    assert tta.options.max_per_img == model.test_cfg.rcnn.max_per_img
    assert tta.options.nms == dict(iou_threshold=0.5, soft=None, class_agnostic=False)


def test_settings_of_the_config_are_taken(record):
    cfg = Config(
        dict(
            model=nano_model('mask-rcnn'),
            test_dataloader=dict(dataset=dict(pipeline=[])),
            tta_model=dict(type='MaskTTAModel', tta_cfg=dict(max_per_img=7)),
            tta_pipeline=[dict(type='LoadImageFromFile')],
        )
    )
    use_test_time_augmentation(cfg)
    assert cfg.model.tta_cfg == ConfigDict(max_per_img=7)
    assert cfg.model.module.type == 'MaskRCNN'
    assert cfg.test_dataloader.dataset.pipeline == [dict(type='LoadImageFromFile')]
