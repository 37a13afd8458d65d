import pytest
from mmengine.config import Config
from mmengine.evaluator import Evaluator

from mmdet.evaluation import DumpDetResults
from plugins.errors import UserError
from plugins.runtime import dump_predictions, limit_detections
from plugins.test_time import use_test_time_augmentation


def _config(**changes):
    test_cfg = dict(rpn=dict(max_per_img=1000), rcnn=dict(max_per_img=100))
    cfg = dict(
        model=dict(type='MaskRCNN', test_cfg=test_cfg),
        test_evaluator=dict(type='LVISProtocolMetric', max_dets=300),
    )
    return Config({**cfg, **changes})


def test_max_per_img_reaches_model_and_evaluator():
    cfg = _config()
    limit_detections(cfg, max_per_img=1000)
    assert cfg.model.test_cfg.rcnn.max_per_img == 1000
    # The first stage proposes as before.
    assert cfg.model.test_cfg.rpn == dict(max_per_img=1000)
    assert cfg.test_evaluator.max_dets == [300, 1000]
    assert 'dets_per_class' not in cfg.test_evaluator


def test_max_per_img_reaches_every_view_and_what_they_are_merged_to(root):
    name = 'configs/quickstart/mask-rcnn_nano_fpn_rfs5e-2-6e_synthetic.py'
    cfg = Config.fromfile(root / name)
    use_test_time_augmentation(cfg)
    limit_detections(cfg, max_per_img=777)
    assert cfg.model.tta_cfg.max_per_img == 777
    assert cfg.model.module.test_cfg.rcnn.max_per_img == 777


def test_max_per_img_reaches_test_time_augmentation_that_the_config_says_nothing_of():
    cfg = _config(test_dataloader=dict(dataset=dict(pipeline=[dict(type='PackDetInputs')])))
    use_test_time_augmentation(cfg)
    limit_detections(cfg, max_per_img=777)
    assert cfg.model.tta_cfg == dict(max_per_img=777)
    assert cfg.model.module.test_cfg.rcnn.max_per_img == 777


def test_dets_per_class_lifts_the_cap_per_image_of_the_model_alone():
    cfg = _config()
    limit_detections(cfg, max_per_img=10_000, dets_per_class=5000)
    assert cfg.model.test_cfg.rcnn.max_per_img == 10_000
    assert cfg.test_evaluator == dict(type='LVISProtocolMetric', max_dets=300, dets_per_class=5000)


def test_nothing_given_changes_nothing():
    cfg = _config()
    limit_detections(cfg)
    assert cfg.to_dict() == _config().to_dict()


def test_number_that_is_reported_already_is_not_added():
    cfg = _config(test_evaluator=dict(type='mmdet.LVISProtocolMetric', max_dets=[100, 300]))
    limit_detections(cfg, max_per_img=100)
    assert cfg.test_evaluator.max_dets == [100, 300]


def test_cap_of_the_coco_protocol_is_something_else():
    cfg = _config(test_evaluator=dict(type='LVISProtocolMetric', rules='coco', max_dets=100))
    limit_detections(cfg, max_per_img=1000)
    assert cfg.test_evaluator.max_dets == 100


def test_metrics_of_others_stay_as_they_are():
    metrics = [dict(type='CocoMetric'), dict(type='LVISProtocolMetric')]
    cfg = _config(test_evaluator=metrics)
    limit_detections(cfg, dets_per_class=7)
    assert cfg.test_evaluator == [metrics[0], dict(type='LVISProtocolMetric', dets_per_class=7)]


def test_one_stage_detectors_have_one_limit():
    cfg = _config(model=dict(type='CondInst', test_cfg=dict(max_per_img=100)))
    limit_detections(cfg, max_per_img=50)
    assert cfg.model.test_cfg.max_per_img == 50


@pytest.mark.parametrize(
    ('changes', 'options', 'message'),
    [
        ({}, dict(max_per_img=0), '--max-per-img must be at least 1, not 0'),
        ({}, dict(dets_per_class=-2), '--dets-per-class must be at least 1, not -2'),
        (dict(model=dict(type='X')), dict(max_per_img=5), r'neither model\.test_cfg\.rcnn'),
        (dict(test_evaluator=dict(type='CocoMetric')), dict(dets_per_class=5), 'LVISProtocolM'),
    ],
)
def test_what_cannot_be_set_names_the_flag(changes, options, message):
    with pytest.raises(UserError, match=message):
        limit_detections(_config(**changes), **options)


def test_other_metrics_leave_the_pickle_to_mmdet(tmp_path):
    evaluator = Evaluator(dict(type='mmdet.VOCMetric'))
    dump_predictions(evaluator, str(tmp_path / 'x.pkl'))
    assert type(evaluator.metrics[-1]) is DumpDetResults
