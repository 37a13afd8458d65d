"""Pictures of what a pipeline feeds the model, on images whose object is the only bright part."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from plugins.datasets.seeded_index import SeededIndex
from tools import browse_dataset
from tools.sample_pictures import (
    GRID_CELL,
    Originals,
    annotations_follow_resize,
    contact_sheet,
    inner_datasets,
    prepare,
    side_by_side,
    thumbnail,
)

WIDTH, HEIGHT = 96, 64

CONFIG = """
load = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
]
flip = [dict(type='RandomFlip', prob=1.0), dict(type='PackDetInputs')]
resize = dict(type='Resize', scale=(288, 192), keep_ratio=True)
common = dict(
    type='CocoDataset', data_root={root!r}, ann_file='annotations.json',
    data_prefix=dict(img='images'), metainfo=dict(classes=('bright', 'brighter')),
)
train_dataloader = dict(
    sampler=dict(type='InfiniteSampler', shuffle=False),
    dataset=dict(
        type='MultiImageMixDataset', dataset=dict(pipeline=load, **common), pipeline=flip
    ),
)
val_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        test_mode=True,
        pipeline=[load[0], resize, load[1], dict(type='PackDetInputs')],
        **common,
    ),
)
"""


@pytest.fixture(scope='module')
def config_file(tmp_path_factory):
    """Three images, each dark with a bright rectangle in the left half, and a config on them."""
    root = tmp_path_factory.mktemp('bright objects')
    (root / 'images').mkdir()
    images, annotations = [], []
    for index in range(3):
        x, y, w, h = 8 + 4 * index, 12, 24, 30
        pixels = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
        pixels[y : y + h, x : x + w] = 250
        cv2.imwrite(str(root / 'images' / f'{index}.png'), pixels)
        images.append({'id': index, 'file_name': f'{index}.png', 'width': WIDTH, 'height': HEIGHT})
        polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
        annotations.append(
            {'id': index + 1, 'image_id': index, 'category_id': 1 + index % 2, 'iscrowd': 0,
             'bbox': [x, y, w, h], 'area': w * h, 'segmentation': [polygon]}
        )  # fmt: skip
    categories = [{'id': 1, 'name': 'bright'}, {'id': 2, 'name': 'brighter'}]
    (root / 'annotations.json').write_text(
        json.dumps({'images': images, 'annotations': annotations, 'categories': categories})
    )
    path = root / 'config.py'
    base = Path(__file__).resolve().parents[2] / 'configs/_base_/default_runtime.py'
    path.write_text(f'_base_ = {str(base)!r}\n' + CONFIG.format(root=str(root)))
    return path


def dataset(config_file, phase):
    return browse_dataset.build_dataset(Config.fromfile(config_file), phase)


def assert_on_the_bright_part(image, data_sample):
    bright = image.min(axis=2) > 128
    (mask,) = data_sample.gt_instances.masks
    (box,) = data_sample.gt_instances.bboxes.tolist()
    assert (mask & bright).sum() / (mask | bright).sum() > 0.9
    rows, columns = np.nonzero(bright)
    tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(np.subtract(box, tight)).max() < 0.02 * max(image.shape)


def test_annotations_lie_on_the_object_after_the_training_pipeline(config_file):
    for sample in dataset(config_file, 'train'):
        image, data_sample = prepare(sample)
        assert_on_the_bright_part(image, data_sample)
        columns = np.nonzero(image.min(axis=2) > 128)[1]
        assert columns.min() > image.shape[1] / 2, 'the pipeline flips the object to the right'


def test_small_images_are_magnified_by_a_whole_number(config_file):
    image, _ = prepare(dataset(config_file, 'train')[0])
    assert image.shape == (HEIGHT * 5, WIDTH * 5, 3)


def test_annotations_of_a_test_pipeline_are_brought_to_the_resized_image(config_file):
    data = dataset(config_file, 'val')
    assert annotations_follow_resize(data)
    assert not annotations_follow_resize(dataset(config_file, 'train'))
    for sample in data:
        assert sample['data_samples'].img_shape == (192, 288)
        assert_on_the_bright_part(*prepare(sample, in_file_pixels=True))


def test_originals_are_found_below_wrappers_and_are_not_augmented(config_file):
    data = dataset(config_file, 'train')
    assert [type(inner).__name__ for inner in inner_datasets(data)] == ['CocoDataset']
    originals = Originals(data)
    for sample in data:
        original = originals.load(sample['data_samples'].img_path)
        assert_on_the_bright_part(*prepare(original))
        assert np.array_equal(original['inputs'], sample['inputs'].flip(2))


def test_preparing_leaves_the_sample_as_it_is(config_file):
    sample = dataset(config_file, 'train')[0]
    before = sample['data_samples'].gt_instances.bboxes.tensor.clone()
    prepare(sample)
    assert before.equal(sample['data_samples'].gt_instances.bboxes.tensor)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['browse_dataset.py', *map(str, arguments)])
    return browse_dataset.main()


def test_command_writes_one_picture_per_sample_and_a_contact_sheet(
    config_file, monkeypatch, tmp_path, capsys
):
    folder = tmp_path / 'out put'
    assert run(monkeypatch, config_file, '--output-dir', folder, '--not-show', '--grid') == 0
    names = [f'00000{index}_{index}.jpg' for index in range(3)]
    assert sorted(path.name for path in folder.iterdir()) == [*names, 'grid.jpg']
    assert f'3 pictures in {folder}' in capsys.readouterr().out
    picture = cv2.imread(str(folder / names[0]))
    plain = cv2.resize(cv2.imread(str(config_file.parent / 'images/0.png')), picture.shape[1::-1])
    colourful = np.ptp(picture[:, ::-1].astype(int), axis=2) > 40
    object_area = plain.min(axis=2) > 128
    assert colourful[object_area].mean() > 0.5, 'the mask is drawn on the object in colour'
    assert colourful[~object_area].mean() < 0.1


def test_order_of_the_sampler_goes_on_beyond_one_epoch(config_file, monkeypatch, tmp_path):
    arguments = ('--output-dir', tmp_path, '--not-show', '--sampled', '--number', 5)
    assert run(monkeypatch, config_file, *arguments) == 0
    stems = [path.stem.split('_')[1] for path in sorted(tmp_path.iterdir())]
    assert stems == ['0', '1', '2', '0', '1']


MIXED = """
_base_ = {base!r}
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadCropAnnotations', with_bbox=True, with_mask=True),
    dict(type='BalancedMosaic', prob=0.8, img_scale=(96, 64), repeat_threshold=1.0),
    dict(type='RandomFlip', prob=0.5),
    dict(type='BalancedCopyPaste', prob=0.8, source='uniform', head_keep=1.0),
    dict(type='PackFederatedInputs'),
]
train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=0.5),
    dataset=dict(
        _delete_=True, type='LVISFormatDataset', data_root={root!r}, ann_file='annotations.json',
        data_prefix=dict(img='images'), pipeline=train_pipeline,
    ),
)
"""


@pytest.fixture(scope='module')
def mixed_config(config_file):
    """The same images, mixed with each other."""
    path = config_file.parent / 'mixed.py'
    path.write_text(MIXED.format(base=str(config_file), root=str(config_file.parent)))
    return path


def test_annotations_lie_on_the_objects_of_mixed_samples(mixed_config):
    data, mixed = dataset(mixed_config, 'train'), 0
    for index in range(3):
        for seed in range(4):
            image, data_sample = prepare(data[SeededIndex(index, (seed, 0, index))])
            bright = image.min(axis=2) > 128
            drawn = np.zeros_like(bright)
            for mask in data_sample.gt_instances.masks:
                drawn |= mask
            assert (drawn & bright).sum() > 0.85 * (drawn | bright).sum()
            mixed += len(data_sample.gt_instances) > 1
    assert mixed > 6


def test_a_picture_does_not_depend_on_how_many_are_drawn(mixed_config, monkeypatch, tmp_path):
    def draw(name, *arguments):
        folder = tmp_path / name
        assert run(monkeypatch, mixed_config, '--output-dir', folder, '--not-show', *arguments) == 0
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    some = draw('some', '--number', 2)
    assert len(some) == 2 and some.items() <= draw('all').items()
    assert some != draw('other', '--number', 2, '--seed', 1)
    # A sampler's picture is the one of training: the place in the epoch decides, too.
    sampled = draw('sampled', '--sampled', '--number', 4)
    assert sampled.items() >= draw('sampled some', '--sampled', '--number', 3).items()


def test_the_original_of_a_mixed_sample_is_the_image_it_started_from(mixed_config):
    data = dataset(mixed_config, 'train')
    originals = Originals(data)
    for index in range(3):
        sample = data[SeededIndex(index, (0, 0, index))]
        original = originals.load(sample['data_samples'].img_path)
        assert original['data_samples'].img_id == index
        assert_on_the_bright_part(*prepare(original))


@pytest.mark.parametrize(('mode', 'ratio'), [('original', 1.0), ('concat', 2.0)])
def test_modes_show_the_original_alone_or_beside(config_file, monkeypatch, tmp_path, mode, ratio):
    arguments = ('--output-dir', tmp_path, '--not-show', '--mode', mode, '--number', 1)
    assert run(monkeypatch, config_file, *arguments) == 0
    (path,) = tmp_path.iterdir()
    height, width = cv2.imread(str(path)).shape[:2]
    assert width / height == pytest.approx(ratio * WIDTH / HEIGHT, rel=0.03)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['missing.py', '--output-dir', 'x'], 'config missing.py does not exist'),
        (['CONFIG', '--not-show'], 'name a folder with --output-dir'),
        (['CONFIG', '--phase', 'test', '--output-dir', 'x'], 'has no test_dataloader'),
    ],
)
def test_what_the_user_can_mend_is_one_line(config_file, monkeypatch, capfd, arguments, message):
    arguments = [config_file if argument == 'CONFIG' else argument for argument in arguments]
    with pytest.raises(SystemExit, match='1'):
        run(monkeypatch, *arguments)
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith('error: ')
    assert message in last


def test_contact_sheet_places_all_pictures_without_distorting_them():
    pictures = [np.full((100, 200, 3), value, np.uint8) for value in (10, 20, 30)]
    thumbnails = [thumbnail(picture) for picture in pictures]
    assert thumbnails[0].shape == (GRID_CELL // 2, GRID_CELL, 3)
    sheet = contact_sheet(thumbnails)
    assert sheet.shape[1] == 2 * (GRID_CELL + 4)
    for value in (10, 20, 30):
        assert (sheet == value).all(axis=2).sum() == GRID_CELL * GRID_CELL // 2


def test_pictures_beside_each_other_have_the_height_of_the_right_one():
    left, right = np.zeros((50, 100, 3), np.uint8), np.zeros((200, 300, 3), np.uint8)
    assert side_by_side(left, right).shape == (200, 400 + 8 + 300, 3)
