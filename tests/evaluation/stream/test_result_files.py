import json
import pickle

import mmengine
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet.evaluation import DumpDetResults
from plugins.evaluation.stream import write_json, write_pickle
from tests.evaluation.stream.made_up import make_annotations, make_record, sample_of


@pytest.fixture
def records():
    rng = np.random.default_rng(0)
    return [make_record(rng, img_id=i, count=n, scored=True) for i, n in ((4, 3), (1, 0), (7, 5))]


def _same(one, other):
    """Equality of nested samples with tensors."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if hasattr(one, 'dtype'):
        return one.dtype == other.dtype and one.equal(other)
    return one == other


def test_pickle_is_what_mmdet_writes(tmp_path, records):
    assert write_pickle(tmp_path / 'ours.pkl', records) == 3
    stock = DumpDetResults(str(tmp_path / 'stock.pkl'))
    for record in records:
        sample = sample_of(record)
        masks = sample['pred_instances'].pop('masks')
        stock.process({}, [sample])
        # It takes tensors of pixels only, and would give the codes of pycocotools.
        stock.results[-1]['pred_instances']['masks'] = masks
    stock.evaluate(3)
    ours, theirs = (mmengine.load(tmp_path / name) for name in ('ours.pkl', 'stock.pkl'))
    assert type(ours) is list and _same(ours, theirs)


def test_pickle_without_images_is_an_empty_list(tmp_path):
    assert write_pickle(tmp_path / 'none.pkl', []) == 0
    assert pickle.loads((tmp_path / 'none.pkl').read_bytes()) == []


def test_pickle_of_many_images_is_written_from_a_stream(tmp_path, records):
    seen = []

    def stream():
        for number in range(300):
            seen.append((tmp_path / '.many.pkl.part').stat().st_size)
            yield records[number % 3]

    write_pickle(tmp_path / 'many.pkl', stream())
    assert len(mmengine.load(tmp_path / 'many.pkl')) == 300
    assert 0 < seen[150] < seen[-1]


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_json_is_accepted_by_the_coco_api(tmp_path, iou_type):
    rng = np.random.default_rng(1)
    ids = make_annotations(rng, tmp_path / 'val.json', images=6)
    records = [make_record(rng, img_id=i) for i in ids]
    path = tmp_path / 'found.json'
    assert write_json(path, records, iou_type, np.arange(1, 5)) == 36
    annotations = json.loads((tmp_path / 'val.json').read_text())
    for annotation in annotations['annotations']:
        annotation['iscrowd'] = 0
    (tmp_path / 'val.json').write_text(json.dumps(annotations))
    coco = COCO(str(tmp_path / 'val.json'))
    score = COCOeval(coco, coco.loadRes(str(path)), iou_type)
    score.evaluate()
    score.accumulate()
    assert (score.eval['recall'] > 0).any()
    entry = json.loads(path.read_text())[0]
    assert set(entry) == {
        'image_id', 'category_id', 'score', 'bbox' if iou_type == 'bbox' else 'segmentation'
    }  # fmt: skip


def test_json_without_detections_is_an_empty_list(tmp_path, records):
    assert write_json(tmp_path / 'none.json', records[1:2], 'segm', np.arange(4)) == 0
    assert json.loads((tmp_path / 'none.json').read_text()) == []
