import dataclasses
import json

import numpy as np
import pytest

from plugins.evaluation.engine import COCO, Request, evaluate, read_ground_truth
from plugins.evaluation.stream import (
    CollectedDetections,
    DetectionStore,
    MemoryShard,
    Needs,
    Selection,
    needs_of,
)
from tests.evaluation.stream.made_up import make_annotations, make_record

REQUESTS = dict(
    plain=Request(max_dets=(3, 5), dets_per_class=(4, 7)),
    coco=Request(max_dets=(2,), dets_per_class=(7,), rules=COCO, pool=False),
    subsets=Request(max_dets=(3,), dets_per_class=(5,), subsets=('r', 'cf'), pool=False),
    bins=Request(max_dets=(3,), dets_per_class=(5,), bins='lvis', per_category=True),
)


def _test(records, needs, processes, slack=20):
    """A test on several processes, each of which drops what it can."""
    stores = [
        DetectionStore(MemoryShard(), needs and Selection(needs, 4), slack=slack)
        for _ in range(processes)
    ]
    for number, record in enumerate(records):
        stores[number % processes].add(record)
    return [store.shard for store in stores]


def _numbers(collected, ground_truth, request):
    results = collected.results(ground_truth, masks=True)
    boxes = dataclasses.replace(request, iou_types=('bbox',))
    masks = dataclasses.replace(request, iou_types=('segm',))
    ranked = results.get('mask_scores', results['scores'])
    return dict(
        bbox=evaluate(ground_truth, results['scores'], boxes, threads=1),
        segm=evaluate(ground_truth, ranked, masks, threads=1),
    )


@pytest.mark.parametrize('name', REQUESTS)
@pytest.mark.parametrize('scored', [False, True])
def test_no_number_changes_when_only_what_is_needed_is_kept(tmp_path, name, scored):
    rng = np.random.default_rng(len(name))
    request = dataclasses.replace(REQUESTS[name], iou_types=('bbox', 'segm'))
    ids = make_annotations(rng, tmp_path / 'val.json', images=24)
    data = json.loads((tmp_path / 'val.json').read_text())
    counts = {k + 1: 5**k for k in range(4)}
    (tmp_path / 'counts.json').write_text(json.dumps(counts))
    ground_truth = read_ground_truth(
        data, counts=str(tmp_path / 'counts.json') if request.bins else None,
        federated=request.rules.federated,
    )  # fmt: skip
    records = [make_record(rng, img_id=i, count=16, scored=scored, levels=8) for i in ids]
    needs = needs_of(request)
    everything = CollectedDetections(_test(records, None, 1))
    expected = _numbers(everything, ground_truth, request)
    for processes in (1, 3):
        kept = CollectedDetections(_test(records, needs, processes), needs, 4)
        assert sum(map(len, kept.records())) < 24 * 16
        assert _numbers(kept, ground_truth, request) == expected
    protocols = [protocol for found in expected.values() for protocol in found.values()]
    assert all(p['AP'] > 0 for p in protocols if 'AP' in p)


def test_what_is_kept_is_the_union_of_both_caps():
    rng = np.random.default_rng(5)
    needs = Needs(2, 1, each_category=False, ranks_boxes=True, ranks_masks=True)
    records = [make_record(rng, img_id=i, count=8, levels=4) for i in range(6)]
    collected = CollectedDetections(_test(records, needs, 2), needs)
    rows = [(-r.scores[i], r.img_id, i, r.labels[i]) for r in records for i in range(8)]
    wanted = {min(row for row in rows if row[1] == image)[1:3] for image in range(6)}
    for label in range(4):
        wanted |= {row[1:3] for row in sorted(row for row in rows if row[3] == label)[:2]}
    total = sum(map(len, collected.records()))
    assert total == len(wanted) < len(rows)


@pytest.mark.parametrize(
    'request_', [Request(dets_per_class=()), Request(dets_per_class=(-1,)), Request(max_dets=(-1,))]
)
def test_without_a_limit_everything_is_needed(request_):
    assert needs_of(request_) is None


def test_images_without_detections_take_part():
    rng = np.random.default_rng(6)
    needs = needs_of(Request(max_dets=(2,), dets_per_class=(3,)))
    records = [make_record(rng, img_id=i, count=count) for i, count in enumerate((0, 9, 0))]
    collected = CollectedDetections(_test(records, needs, 1), needs)
    assert [len(record) > 0 for record in collected.records()] == [False, True, False]
