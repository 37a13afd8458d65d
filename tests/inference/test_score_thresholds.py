"""Score thresholds of a command line, by category."""

import numpy as np
import pytest
from mmengine.config import Config

from plugins.errors import UserError
from plugins.inference import read_thresholds, thresholds_by_label, use_lowest_threshold

NAMES = ('cup', 'a=b', 'spoon')


@pytest.mark.parametrize(
    ('settings', 'expected'),
    [
        ([], [0.3, 0.3, 0.3]),
        (['0.5'], [0.5, 0.5, 0.5]),
        (['cup=0.5'], [0.5, 0.3, 0.3]),
        (['spoon=1', 'default=0', 'a=b=0.25'], [0, 0.25, 1]),
        (['0.1', 'spoon=0.2'], [0.1, 0.1, 0.2]),
    ],
)
def test_threshold_of_a_name_goes_before_that_of_all(settings, expected):
    thresholds = thresholds_by_label(read_thresholds(settings), NAMES)
    assert thresholds.dtype == np.float32
    assert thresholds.tolist() == np.array(expected, np.float32).tolist()


@pytest.mark.parametrize(
    'settings',
    [['x'], ['cup='], ['-0.1'], ['nan'], ['1.1'], ['cup=0.1', 'cup=0.2'], ['0.1', '0.2']],
)
def test_settings_that_mean_nothing_are_errors(settings):
    with pytest.raises(UserError, match='--score-thr'):
        read_thresholds(settings)


def test_unknown_category_is_an_error_that_names_the_nearest():
    with pytest.raises(UserError, match="'spon'; did you mean 'spoon'"):
        thresholds_by_label(read_thresholds(['spon=0.1']), NAMES)


def test_model_gives_scores_equal_to_the_threshold_and_none_far_below():
    model = dict(test_cfg=dict(rcnn=dict(score_thr=0.9), rpn=dict(nms_pre=5)))
    cfg = Config(dict(model=dict(type='X', module=model, tta_cfg=dict(score_thr=0.9))))
    use_lowest_threshold(cfg, 0.3)
    for owner in (cfg.model.module.test_cfg.rcnn, cfg.model.tta_cfg):
        assert np.float32(0.3) > owner.score_thr > 0.2999
    two_stage = Config(dict(model=model))
    use_lowest_threshold(two_stage, 0)
    assert two_stage.model.test_cfg.rcnn.score_thr == 0
    one_stage = Config(dict(model=dict(test_cfg=dict(score_thr=0.05))))
    use_lowest_threshold(one_stage, 0.5)
    assert one_stage.model.test_cfg.score_thr > 0.49
    use_lowest_threshold(Config(dict(model=dict(type='X'))), 0.5)
