import pytest
from mmengine.config import Config

from plugins.errors import UserError
from tools.data.pipeline_variants import VARIANTS, variant_loader
from tools.data.stats import VARIANTS as OFFERED

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadCropAnnotations')]
MIDDLE = [dict(type='Resize', scale=(64, 48)), dict(type='mmdet.RandomFlip', prob=0.5)]
END = [dict(type='PackFederatedInputs')]
SAMPLER = dict(type='RepeatFactorSampler', repeat_threshold=0.05)


def config_of(*pipeline, sampler=SAMPLER, **more):
    dataset = dict(type='LVISFormatDataset', pipeline=list(pipeline))
    return Config(dict(train_dataloader=dict(sampler=dict(sampler), dataset=dataset), **more))


def steps(config, variant, **options):
    loader = variant_loader(config, variant, **options)
    return [step['type'] for step in loader.dataset.pipeline]


def test_the_variants_of_the_command_line_are_those_there_are():
    assert tuple(VARIANTS) == OFFERED


def test_mixing_is_removed_kept_or_put_in_at_its_place():
    plain = ['LoadImageFromFile', 'LoadCropAnnotations', 'Resize', 'mmdet.RandomFlip']
    config = config_of(*LOAD, *MIDDLE, *END)
    for variant in ('uniform', 'rfs', 'config'):
        assert steps(config, variant) == [*plain, 'PackFederatedInputs']
    assert steps(config, 'rfs-copy-paste') == [*plain, 'BalancedCopyPaste', 'PackFederatedInputs']
    assert steps(config, 'rfs-mosaic') == [
        *(*plain[:2], 'BalancedMosaic', *plain[2:]),
        'PackFederatedInputs',
    ]


@pytest.mark.parametrize(
    'name', ['PhotoMetricDistortion', 'RoundedPhotoMetricDistortion', 'FilterAnnotations']
)
def test_copy_paste_is_put_before_colours_and_filters(name):
    config = config_of(*LOAD, *MIDDLE, dict(type=name), *END)
    assert steps(config, 'rfs-copy-paste')[-3:] == [
        'BalancedCopyPaste',
        name,
        'PackFederatedInputs',
    ]


def test_what_the_config_mixes_keeps_its_options_and_place():
    paste = dict(type='mmdet.BalancedCopyPaste', prob=0.9)
    mosaic = dict(type='BalancedMosaic', img_scale=(1, 2))
    config = config_of(*LOAD, mosaic, paste, *MIDDLE, *END)
    assert variant_loader(config, 'rfs-copy-paste').dataset.pipeline[2] == paste
    assert variant_loader(config, 'rfs-mosaic').dataset.pipeline[2] == mosaic
    assert not {'BalancedMosaic', 'mmdet.BalancedCopyPaste'} & set(steps(config, 'rfs'))
    assert steps(config, 'config') == [
        step['type'] for step in config.train_dataloader.dataset.pipeline
    ]


def test_mixing_inside_a_wrapper_is_found():
    mosaic = dict(type='RandomApply', transforms=[dict(type='BalancedMosaic')], prob=0.3)
    config = config_of(*LOAD, mosaic, *MIDDLE, *END)
    assert 'RandomApply' not in steps(config, 'rfs')
    assert steps(config, 'rfs-mosaic').count('RandomApply') == 1
    assert 'BalancedMosaic' not in steps(config, 'rfs-mosaic')


@pytest.mark.parametrize(
    ('sampler', 'given', 'expected'),
    [
        (SAMPLER, None, 0.05),
        (SAMPLER, 0.2, 0.2),
        (dict(type='DefaultSampler', shuffle=True), None, 1e-3),
    ],
)
def test_the_threshold_is_given_or_the_samplers_or_the_usual(sampler, given, expected):
    config = config_of(*LOAD, *END, sampler=sampler, image_scale=(256, 208))
    loader = variant_loader(config, 'rfs-mosaic', given)
    assert loader.sampler == dict(type='RepeatFactorSampler', repeat_threshold=expected)
    mosaic = loader.dataset.pipeline[2]
    assert mosaic == dict(type='BalancedMosaic', repeat_threshold=expected, img_scale=(256, 208))
    assert variant_loader(config, 'config', given).sampler == sampler


def test_the_uniform_variant_leaves_out_wrappers_that_repeat():
    config = config_of(*LOAD, *END)
    inner = config.train_dataloader.dataset
    config.train_dataloader.dataset = dict(
        type='ClassBalancedDataset', oversample_thr=1e-3, dataset=inner
    )
    loader = variant_loader(config, 'uniform')
    assert loader.dataset.type == 'LVISFormatDataset'
    assert loader.sampler.type == 'DefaultSampler'
    assert variant_loader(config, 'config').dataset.type == 'ClassBalancedDataset'


def test_the_config_is_not_changed():
    config = config_of(*LOAD, *MIDDLE, *END)
    before = config.to_dict()
    for variant in VARIANTS:
        variant_loader(config, variant).dataset.pipeline.clear()
    assert config.to_dict() == before


def test_a_config_without_a_pipeline_to_change_is_an_error():
    with pytest.raises(UserError, match='no train_dataloader'):
        variant_loader(Config(dict()), 'rfs')
    config = config_of(*LOAD)
    del config.train_dataloader.dataset['pipeline']
    with pytest.raises(UserError, match='--variants config'):
        variant_loader(config, 'rfs')
