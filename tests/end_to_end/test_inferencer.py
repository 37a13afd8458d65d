"""mmdet's own inference entry points, in a process that did nothing but `import plugins`."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import plugins
from mmdet.apis import DetInferencer, inference_detector, init_detector

config, weights, image, other_image = sys.argv[1:]
inferencer = DetInferencer(config, weights, device='cpu', show_progress=False)
drawn = inferencer([image, other_image], out_dir='inferred', no_save_pred=False)
model = init_detector(config, weights, device='cpu')
found = inference_detector(model, image).pred_instances
print('RESULT', json.dumps(dict(
    drawn=[{key: p[key] for key in ('labels', 'scores', 'bboxes')} for p in drawn['predictions']],
    codes=drawn['predictions'][0]['masks'],
    scores=found.scores.tolist(),
    labels=found.labels.tolist(),
    masks=list(found.masks.shape),
    areas=found.masks.flatten(1).sum(1).tolist(),
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
