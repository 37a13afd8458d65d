import pytest

from plugins.errors import UserError
from plugins.roi_heads.stages import expand_stages, place_last


def test_stage_keys_are_taken_apart_at_any_depth():
    config = dict(
        type='Head',
        loss=[dict(stage_weight=[1, 2, 3], name='ce')],
        coder=dict(stage_target_stds=[[0.1] * 4, [0.2] * 4, [0.3] * 4]),
    )
    first, second, third = expand_stages(config, 3, 'roi_head.bbox_head')
    assert first == dict(
        type='Head', loss=[dict(weight=1, name='ce')], coder=dict(target_stds=[0.1] * 4)
    )
    assert second.coder.target_stds == [0.2] * 4
    assert third.loss[0].weight == 3


def test_stages_do_not_share_mutable_values():
    stages = expand_stages(dict(coder=dict(means=[0, 0])), 2, 'x')
    stages[0].coder.means.append(1)
    assert stages[1].coder.means == [0, 0]


def test_list_of_dicts_is_taken_as_it_is():
    assert expand_stages([dict(a=1), dict(a=2)], 2, 'x') == [dict(a=1), dict(a=2)]


def test_none_stays_none():
    assert expand_stages(None, 2, 'x') == [None, None]


def test_last_replaces_only_the_last():
    first, last = place_last([dict(a=1), dict(a=1)], dict(b=2), num_classes=7)
    assert (first, last) == (dict(a=1), dict(b=2, num_classes=7))
    assert place_last([dict(a=1)], None, num_classes=7) == [dict(a=1)]


def test_number_of_classes_cannot_be_another():
    (last,) = place_last([None], dict(num_classes=7), num_classes=7)
    assert last.num_classes == 7
    with pytest.raises(UserError, match='last_mask_head.num_classes is 3, but the box head has 7'):
        place_last([None], dict(num_classes=3), num_classes=7)


@pytest.mark.parametrize(
    ('config', 'address'),
    [
        ([dict(), dict()], 'roi_head.bbox_head'),
        (dict(coder=dict(stage_stds=[1, 2])), 'roi_head.bbox_head.coder.stage_stds'),
        (dict(stage_x=1), 'roi_head.bbox_head.stage_x'),
    ],
)
def test_wrong_number_of_stages_names_the_address(config, address):
    with pytest.raises(UserError, match=address):
        expand_stages(config, 3, 'roi_head.bbox_head')
