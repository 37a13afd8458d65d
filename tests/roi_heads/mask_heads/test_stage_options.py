import pytest

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.roi_heads.mask_heads import RefineMaskHead, SimpleRefineMaskHead
from plugins.roi_heads.mask_heads.stage_options import stage_widths

HEADS = [RefineMaskHead, SimpleRefineMaskHead]


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(stage_sizes=(14, 28, 42, 84)), r'stage_sizes is \[14, 28, 42, 84\]'),
        (dict(stage_sizes=(14,)), 'two sizes or more'),
        (dict(stage_sizes=(14, 28)), 'class_wise_stages has 4 entries'),
        (dict(class_wise_stages=(True,)), 'class_wise_stages has 1 entries'),
        (dict(stage_loss_weights=(1, 1)), 'stage_loss_weights has 2 entries'),
        (dict(start_stage=4), 'start_stage is 4'),
        (dict(conv_out_channels=100), 'conv_out_channels is 100; .* a multiple of 8'),
        (dict(conv_out_channels=8), 'conv_out_channels is 8; '),
        (dict(num_convs=0), 'num_convs'),
        (dict(num_semantic_convs=0), 'num_semantic_convs'),
    ],
    ids=str,
)
def test_options_that_do_not_fit_are_named(head, options, message):
    with pytest.raises(UserError, match=f'mask_head.*{message}'):
        head(num_classes=3, **{'conv_out_channels': 24, **options})


@pytest.mark.parametrize(('scores', 'narrowest'), [(2, 24), (1, 16)])
def test_narrowest_head_learns_one_channel_at_its_end(scores, narrowest):
    assert stage_widths(narrowest, 4, scores)[-1] == scores + 1
    with pytest.raises(UserError, match=f'{narrowest} or more'):
        stage_widths(narrowest - 8, 4, scores)


@pytest.mark.parametrize('head', HEADS)
def test_config_builds_a_head(head):
    built = MODELS.build(dict(type=head.__name__, num_classes=3, conv_out_channels=24))
    assert type(built) is head and built.class_agnostic
