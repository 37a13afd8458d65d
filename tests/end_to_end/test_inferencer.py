"""mmdet's own inference entry points, in a process that did nothing but `import plugins`."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import plugins
import numpy as np
from mmdet.apis import DetInferencer, inference_detector, init_detector
from plugins.inference import InstanceInferencer

config, weights, image, other_image = sys.argv[1:]
inferencer = DetInferencer(config, weights, device='cpu', show_progress=False)
drawn = inferencer([image, other_image], out_dir='inferred', no_save_pred=False)
unsaved = inferencer(image, out_dir='pictures only', no_save_pred=True)
samples = inferencer(image, return_datasamples=True)['predictions']
strict = InstanceInferencer(config, weights, 'cpu', palette='coco', show_progress=False)
same = strict([image, other_image], out_dir='inferred strictly', no_save_pred=False)
seen = strict(np.zeros((40, 30, 3), np.uint8), out_dir='inferred array', return_vis=True,
              no_save_pred=False)
model = init_detector(config, weights, device='cpu')
found = inference_detector(model, image).pred_instances
print('RESULT', json.dumps(dict(
    drawn=[{key: p[key] for key in ('labels', 'scores', 'bboxes')} for p in drawn['predictions']],
    codes=drawn['predictions'][0]['masks'],
    unsaved_is_equal=unsaved['predictions'][0] == drawn['predictions'][0],
    sample_masks=type(samples[0].pred_instances.masks).__name__,
    strict_is_equal=same['predictions'] == drawn['predictions'],
    seen=[picture.shape for picture in seen['visualization']],
    palettes=[m.dataset_meta['palette'] for m in (inferencer.model, strict.model)],
    scores=found.scores.tolist(),
    labels=found.labels.tolist(),
    masks=[len(found.masks), found.masks.height, found.masks.width],
    areas=found.masks.areas.tolist(),
    names=[list(m.dataset_meta['classes']) for m in (inferencer.model, model)],
)))
"""


@pytest.fixture(scope='module')
def result(trained):
    data = json.loads((trained.folder / 'tiny data/annotations/synthetic_val.json').read_text())
    images = [
        str(next(trained.folder.glob(f'tiny data/**/{os.path.basename(i["coco_url"])}')))
        for i in data['images'][:2]
    ]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, trained.config, 'one process/epoch_2.pth', *images],
        cwd=trained.folder,
        env={**trained.environment(), 'PYTHONPATH': root},
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith('RESULT ')]
    assert lines, done.stdout[-2000:] + done.stderr[-4000:]
    return dict(json.loads(lines[0].removeprefix('RESULT ')), data=data)


def test_categories_are_named_by_the_checkpoint(result):
    expected = [c['name'] for c in sorted(result['data']['categories'], key=lambda c: c['id'])]
    assert result['names'] == [expected, expected]
    assert result['labels'] and max(result['labels']) < len(expected)


def test_both_entry_points_find_the_same(result):
    drawn = result['drawn'][0]
    assert drawn['labels'] == result['labels']
    assert drawn['scores'] == pytest.approx(result['scores'], abs=1e-6)


def test_masks_have_the_size_of_the_image(result):
    image = result['data']['images'][0]
    assert result['masks'] == [len(result['scores']), image['height'], image['width']]
    assert {tuple(code['size']) for code in result['codes']} == {(image['height'], image['width'])}
    assert max(result['areas']) > 0


def test_pictures_and_predictions_are_written(result, trained):
    assert len(list((trained.folder / 'inferred/vis').glob('*.jpg'))) == 2
    written = [json.loads(p.read_text()) for p in (trained.folder / 'inferred/preds').glob('*')]
    assert sorted(len(w['scores']) for w in written) == sorted(
        len(p['scores']) for p in result['drawn']
    )


def test_dictionaries_need_not_be_saved(result, trained):
    assert result['unsaved_is_equal']
    assert len(list((trained.folder / 'pictures only/vis').glob('*.jpg'))) == 1
    assert not (trained.folder / 'pictures only/preds').exists()


def test_samples_carry_codes(result):
    assert result['sample_masks'] == 'EncodedMasks'


def test_strict_inferencer_gives_and_writes_the_same(result, trained):
    assert result['strict_is_equal'] and result['palettes'] == ['random', 'coco']
    for path in (trained.folder / 'inferred/preds').glob('*.json'):
        other = trained.folder / 'inferred strictly/preds' / path.name
        assert json.loads(other.read_text()) == json.loads(path.read_text())
    assert len(list((trained.folder / 'inferred strictly/vis').glob('*.jpg'))) == 2


def test_arrays_are_images_without_a_name(result, trained):
    assert result['seen'] == [[40, 30, 3]]
    assert [path.name for path in (trained.folder / 'inferred array/preds').glob('*')] == ['0.json']
