"""`tools/predict.py` on files as people have them; the model is untrained and sure of nothing."""

import json
import shutil

import cv2
import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmdet.registry import MODELS
from plugins.inference import InstanceInferencer
from tests.shrink import shrink
from tools import predict

NAMES = ('cup', 'spoon', 'sugar_bowl')
CONFIG = """
_base_ = {base!r}
image_scale = (96, 64)
model = {model!r}
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_scale
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, ann_file='nowhere.json'))
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0][0].scale = image_scale
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory, root):
    """A config, a checkpoint and photographs of noise: `a/1.jpg`, `a/2.jpg`, `b/1.jpg`."""
    folder = tmp_path_factory.mktemp('predict')
    base = str(root / 'configs/quickstart/mask-rcnn_nano_fpn_rfs5e-2-6e_synthetic.py')
    model = shrink(Config.fromfile(base).model)
    for head in (model.roi_head.bbox_head, model.roi_head.mask_head):
        head.num_classes = len(NAMES)
    model['_delete_'] = True
    (folder / 'config.py').write_text(CONFIG.format(base=base, model=model.to_dict()))
    torch.manual_seed(0)
    detector = MODELS.build(Config.fromfile(folder / 'config.py').model)
    detector.init_weights()
    meta = dict(dataset_meta=dict(classes=NAMES))
    torch.save(dict(state_dict=detector.state_dict(), meta=meta), folder / 'weights.pth')
    random = np.random.default_rng(0)
    for name, shape in (('a/1.jpg', (60, 90)), ('a/2.jpg', (48, 40)), ('b/1.jpg', (40, 48))):
        (folder / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), random.integers(0, 256, (*shape, 3), np.uint8))
    return folder


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    """Run the tool in the folder; returns its exit code and what it wrote on stderr."""
    monkeypatch.chdir(folder)

    def run(*arguments, config='config.py', weights='weights.pth', thr=('0',)):
        argv = [*map(str, arguments), config, weights, '--device', 'cpu']
        try:
            code = predict.main(
                [*argv, '--out-dir', str(tmp_path / 'out'), '--score-thr', *map(str, thr)]
            )
        except SystemExit as error:
            code = error.code
        return code, capsys.readouterr().err

    return run


def written(tmp_path, kind='predictions'):
    """Content of the JSON files, or sizes of the pictures, by name."""
    found = {}
    for path in (tmp_path / 'out' / kind).rglob('*.*'):
        name = path.relative_to(tmp_path / 'out' / kind).as_posix()
        found[name] = (
            json.loads(path.read_text()) if kind == 'predictions' else cv2.imread(str(path)).shape
        )
    return found


def test_files_are_those_of_the_inferencer(run, folder, tmp_path):
    assert run('a')[0] == 0
    records = written(tmp_path)
    assert written(tmp_path, 'pictures') == {'1.jpg': (60, 90, 3), '2.jpg': (48, 40, 3)}
    assert sorted(records) == ['1.jpg.json', '2.jpg.json']
    inferencer = InstanceInferencer('config.py', 'weights.pth', 'cpu', show_progress=False)
    for name, record in records.items():
        expected = inferencer(f'a/{name.removesuffix(".json")}')['predictions'][0]
        found = record['detections']
        assert len(found) == len(expected['labels']) > 0
        assert [d['category_id'] for d in found] == [label + 1 for label in expected['labels']]
        assert [d['category_name'] for d in found] == [NAMES[i] for i in expected['labels']]
        assert [d['score'] for d in found] == expected['scores']
        assert [d['segmentation'] for d in found] == expected['masks']
        boxes = np.array([d['bbox'] for d in found])
        boxes[:, 2:] += boxes[:, :2]
        np.testing.assert_allclose(boxes, expected['bboxes'], rtol=1e-6, atol=1e-5)
        assert mask_util.decode(found[0]['segmentation']).shape == (
            record['height'],
            record['width'],
        )
        assert record['file_name'] == f'a/{name.removesuffix(".json")}'


def test_files_folders_and_patterns_give_every_image_once(run, tmp_path):
    assert run('b/1.jpg', 'a', '**/*.jpg', '--no-pictures')[0] == 0
    assert sorted(written(tmp_path)) == ['a/1.jpg.json', 'a/2.jpg.json', 'b/1.jpg.json']
    assert not (tmp_path / 'out/pictures').exists()


def test_any_kind_of_image_is_taken(run, tmp_path):
    images = tmp_path / 'images'
    images.mkdir()
    random = np.random.default_rng(1)
    colour = Image.fromarray(random.integers(0, 256, (20, 30, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    colour.save(images / 'turned.jpg', exif=exif)
    colour.convert('L').save(images / 'grey.png')
    colour.convert('RGBA').save(images / 'transparent.png')
    colour.crop((0, 0, 1, 1)).save(images / 'pixel.PNG')
    colour.resize((1500, 1000)).save(images / 'large.webp')
    assert run(images, '--batch-size', 2)[0] == 0
    sizes = {name: (r['height'], r['width']) for name, r in written(tmp_path).items()}
    assert sizes == {
        'turned.jpg.json': (30, 20),
        'grey.png.json': (20, 30),
        'transparent.png.json': (20, 30),
        'pixel.PNG.json': (1, 1),
        'large.webp.json': (1000, 1500),
    }
    assert written(tmp_path, 'pictures')['large.webp.jpg'] == (1000, 1500, 3)
    assert written(tmp_path, 'pictures')['turned.jpg'] == (30, 20, 3)


def test_images_that_cannot_be_used_are_named_and_the_others_done(run, folder, tmp_path):
    images = tmp_path / 'images'
    images.mkdir()
    (images / '1 text.jpg').write_text('no image')
    (images / '2 empty.jpg').write_bytes(b'')
    cv2.imwrite(str(images / '3 line.png'), np.zeros((1, 5000, 3), np.uint8))
    shutil.copy(folder / 'a/1.jpg', images / '4 good.jpg')
    code, message = run(images)
    assert code == 1
    lines = [line for line in message.splitlines() if 'error: ' in line]
    assert len(lines) == 3
    for line, name in zip(lines, ('1 text.jpg', '2 empty.jpg', '3 line.png'), strict=True):
        assert name in line
    assert sorted(written(tmp_path)) == ['4 good.jpg.json']


@pytest.mark.parametrize(
    ('arguments', 'options', 'expected'),
    [
        (['missing.jpg'], {}, 'missing.jpg does not exist'),
        (['*.gif'], {}, '*.gif has no images'),
        (['empty'], {}, 'empty has no images'),
        (['a', '--no-json', '--no-pictures'], {}, 'leave nothing to be written'),
        (['a'], dict(thr=['1.5']), '--score-thr 1.5: give a number from 0 to 1'),
        (['a'], dict(thr=['cupp=0.5']), "no category 'cupp'; did you mean 'cup'?"),
        (['a'], dict(config='other.py'), 'config other.py does not exist'),
        (['a'], dict(weights='other.pth'), 'checkpoint other.pth does not exist'),
        (['a', '--max-per-img', '0'], {}, '--max-per-img must be at least 1'),
    ],
)
def test_wrong_arguments_are_explained_in_a_line(
    run, folder, tmp_path, arguments, options, expected
):
    (folder / 'empty').mkdir(exist_ok=True)
    code, message = run(*arguments, **options)
    assert code == 1
    assert expected in message and 'Traceback' not in message
    assert not (tmp_path / 'out').exists()


def test_checkpoint_of_another_model_is_refused(run, folder):
    weights = torch.load(folder / 'weights.pth')
    grown = weights['state_dict']['roi_head.bbox_head.fc_cls.weight']
    weights['state_dict']['roi_head.bbox_head.fc_cls.weight'] = grown.repeat(2, 1)
    torch.save(weights, folder / 'other model.pth')
    code, message = run('a', weights='other model.pth')
    assert code == 1
    assert 'was made for another architecture' in message


def test_names_come_from_the_config_if_the_checkpoint_has_none(run, folder, tmp_path):
    torch.save(torch.load(folder / 'weights.pth')['state_dict'], folder / 'bare.pth')
    code, message = run('b', weights='bare.pth')
    assert code == 1 and 'neither the checkpoint nor the config names the categories' in message
    key = 'test_dataloader.dataset.metainfo.classes='
    options = ('--no-pictures', '--cfg-options', f'{key}(x,y)')
    code, message = run('--device', 'cpu', 'b', weights='bare.pth', thr=('0', *options))
    assert code == 1 and 'predicts 3 categories, but' in message
    options = ('--no-pictures', '--cfg-options', f'{key}(x,y,z)')
    assert run('b', weights='bare.pth', thr=('0', *options))[0] == 0
    (record,) = written(tmp_path).values()
    assert {d['category_name'] for d in record['detections']} <= set('xyz')


def test_thresholds_are_those_of_the_categories(run, tmp_path):
    assert run('a/1.jpg', '--no-pictures')[0] == 0
    (everything,) = written(tmp_path).values()
    scores = [d['score'] for d in everything['detections']]
    middle = sorted(scores)[len(scores) // 2]
    first = everything['detections'][0]['category_name']
    assert run('a/1.jpg', '--no-pictures', thr=(middle, f'{first}=1'))[0] == 0
    (chosen,) = written(tmp_path).values()
    assert chosen['detections'] == [
        d
        for d in everything['detections']
        if d['category_name'] != first and d['score'] >= np.float32(middle)
    ]
    assert len(chosen['detections']) < len(scores)


def test_limit_and_batches_give_the_best_of_each_image(run, tmp_path):
    images = ('a/1.jpg', 'b/1.jpg')  # that are padded to the same size
    assert run(*images, '--no-pictures')[0] == 0
    everything = written(tmp_path)
    assert run(*images, '--no-pictures', '--max-per-img', 2, '--batch-size', 2)[0] == 0
    for name, record in written(tmp_path).items():
        assert len(record['detections']) == 2
        for found, expected in zip(
            record['detections'], everything[name]['detections'][:2], strict=True
        ):
            assert found['category_id'] == expected['category_id']
            np.testing.assert_allclose(found['bbox'], expected['bbox'], atol=0.01)


def test_interrupted_run_keeps_what_is_done_and_resumes(run, tmp_path, monkeypatch):
    forward, calls = InstanceInferencer.forward, []

    def interrupted(self, inputs, **kwargs):
        calls.append(inputs)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return forward(self, inputs, **kwargs)

    monkeypatch.setattr(InstanceInferencer, 'forward', interrupted)
    code, message = run('a', 'b')
    assert code == 130 and '--resume goes on' in message
    before = written(tmp_path)
    assert sorted(before) == ['a/1.jpg.json', 'a/2.jpg.json']
    assert run('a', 'b', '--resume')[0] == 0
    assert len(calls) == 4
    assert sorted(written(tmp_path)) == ['a/1.jpg.json', 'a/2.jpg.json', 'b/1.jpg.json']
    code, message = run('a', 'b', '--resume', thr=('0.5',))
    assert code == 1 and 'made with another --score-thr' in message
    assert not list((tmp_path / 'out').rglob('*.part'))


def test_views_are_merged_with_tta(run, tmp_path):
    assert run('a/1.jpg', '--tta')[0] == 0
    (record,) = written(tmp_path).values()
    assert record['detections'] and 'segmentation' in record['detections'][0]
