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


@pytest.mark.parametrize(('lowest', 'least'), [(0.3, 0.2999), (0, 0)])
def test_model_gives_scores_equal_to_the_threshold_and_none_far_below(lowest, least):
    two_stages = dict(test_cfg=dict(rcnn=dict(score_thr=0.9), rpn=dict(nms_pre=5)))
    plain = Config(dict(model=two_stages))
    one_stage = Config(dict(model=dict(test_cfg=dict(score_thr=0.9))))
    views = Config(dict(model=dict(module=two_stages, tta_cfg=dict(score_thr=0.9))))
    for cfg in (plain, one_stage, views):
        use_lowest_threshold(cfg, lowest)
    owners = (
        plain.model.test_cfg.rcnn,
        one_stage.model.test_cfg,
        views.model.module.test_cfg.rcnn,
        views.model.tta_cfg,
    )
    for owner in owners:
        assert least <= owner.score_thr <= lowest
        assert np.float32(lowest) > owner.score_thr or lowest == 0
    use_lowest_threshold(Config(dict(model=dict(type='X'))), 0.5)
