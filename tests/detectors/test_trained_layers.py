import pytest
from torch import nn

from plugins.detectors.trained_layers import freeze_all_but, hold_frozen, is_in, without_stages
from plugins.errors import UserError


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared_fcs = nn.ModuleList([nn.Linear(2, 2), nn.BatchNorm1d(2)])
        self.fc_cls = nn.Linear(2, 3)
        self.fc_reg = nn.Linear(2, 4)
        self.loss_cls = nn.Dropout()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        self.heads = nn.ModuleList([Head(), Head()])


def _trained(layers):
    model = Model()
    freeze_all_but(model, layers)
    return [name for name, p in model.named_parameters() if p.requires_grad]


def test_numbers_of_stages_are_left_out():
    assert without_stages('roi_head.bbox_head.2.shared_fcs.0.weight') == (
        'roi_head.bbox_head.shared_fcs.weight'
    )


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('heads.1.fc_cls.weight', True),
        ('heads.fc_cls', True),
        ('heads.0.fc_cls_other.weight', False),
        ('heads.0.fc_reg.weight', False),
        ('other.heads.fc_cls.weight', False),
    ],
)
def test_a_layer_holds_what_its_name_starts(name, expected):
    assert is_in(name, ['heads.fc_cls']) is expected


def test_a_name_without_stages_trains_all_of_them():
    assert _trained(['heads.fc_cls']) == [
        f'heads.{stage}.fc_cls.{part}' for stage in (0, 1) for part in ('weight', 'bias')
    ]


def test_a_stage_can_be_named():
    assert _trained(['heads.1.fc_cls']) == ['heads.1.fc_cls.weight', 'heads.1.fc_cls.bias']


def test_a_single_parameter_can_be_named():
    assert _trained(['heads.fc_reg.bias']) == ['heads.0.fc_reg.bias', 'heads.1.fc_reg.bias']


@pytest.mark.parametrize(
    ('layers', 'message'),
    [
        ([], 'must be a list of layers'),
        ('heads.fc_cls', 'must be a list of layers'),
        (['heads.fc_clss'], r'no such layer; near names are heads\.fc_cls'),
        (['heads.fc_cls', 'head.fc_reg'], r"'head\.fc_reg'.*near names are heads\.fc_reg"),
        (['heads.loss_cls'], 'no such layer'),
    ],
)
def test_names_that_train_nothing_are_refused(layers, message):
    with pytest.raises(UserError, match=message):
        freeze_all_but(Model(), layers)


def test_what_is_frozen_already_stays_so():
    model = Model()
    model.heads[0].requires_grad_(False)
    freeze_all_but(model, ['heads.fc_cls'])
    assert not model.heads[0].fc_cls.weight.requires_grad
    with pytest.raises(UserError, match='leaves nothing to train'):
        freeze_all_but(model, ['heads.0.fc_cls'])


def test_frozen_modules_rest_and_losses_beside_trained_layers_do_not():
    model = Model()
    freeze_all_but(model, ['heads.1.fc_cls'])
    hold_frozen(model.train())
    resting = {name for name, module in model.named_modules() if not module.training}
    assert resting == {
        *('backbone', 'backbone.0', 'backbone.1'),
        *('heads.0', 'heads.0.shared_fcs', 'heads.0.shared_fcs.0', 'heads.0.shared_fcs.1'),
        *('heads.0.fc_cls', 'heads.0.fc_reg', 'heads.0.loss_cls'),
        *('heads.1.shared_fcs', 'heads.1.shared_fcs.0', 'heads.1.shared_fcs.1', 'heads.1.fc_reg'),
    }
