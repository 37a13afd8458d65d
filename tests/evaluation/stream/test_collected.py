import json

import numpy as np
import pytest

from plugins.evaluation.engine import read_ground_truth
from plugins.evaluation.stream import CollectedDetections, MemoryShard, encode
from tests.evaluation.stream.made_up import assert_equal, make_annotations, make_record


def _shard(records):
    return MemoryShard(map(encode, records))


def test_images_of_all_shards_come_by_id_and_the_first_of_each_counts():
    rng = np.random.default_rng(0)
    records = {i: make_record(rng, img_id=i) for i in (5, 2, 9, 4)}
    again = make_record(rng, img_id=2)
    collected = CollectedDetections(
        [_shard([records[5], records[2]]), _shard([again, records[9], records[4]])]
    )
    assert collected.image_ids == [2, 4, 5, 9] and len(collected) == 4
    for record in collected.records():
        assert_equal(record, records[record.img_id])
    assert [record.img_id for record in collected.records([9, 7, 2])] == [9, 2]


@pytest.mark.parametrize('on_disk', [True, False])
def test_results_are_the_records_end_to_end(tmp_path, on_disk):
    rng = np.random.default_rng(1)
    ids = make_annotations(rng, tmp_path / 'val.json', images=5)
    ground_truth = read_ground_truth(json.loads((tmp_path / 'val.json').read_text()))
    counts = dict(zip(ids, (0, 4, 1, 0, 3), strict=True))
    records = {i: make_record(rng, img_id=i, count=n, scored=True) for i, n in counts.items()}
    collected = CollectedDetections([_shard(records.values())])
    found = collected.results(
        ground_truth, masks=True, codes_file=tmp_path / 'codes' if on_disk else None
    )
    results = found['scores']
    ordered = [records[i] for i in sorted(ids)]
    assert ground_truth.image_ids[results.image].tolist() == [
        record.img_id for record in ordered for _ in range(len(record))
    ]
    assert np.array_equal(results.score, np.concatenate([r.scores for r in ordered]))
    own = np.concatenate([r.mask_scores for r in ordered])
    assert np.array_equal(found['mask_scores'].score, own)
    assert found['mask_scores'].rle is results.rle
    codes = [
        bytes(results.rle[offset : offset + length])
        for offset, length in zip(results.rle_offset, results.rle_length, strict=True)
    ]
    assert codes == [code for record in ordered for code in record.codes]
    assert (results.rle_height == 24).all() and (results.rle_width == 32).all()
    assert np.array_equal(results.box[:, 2:], np.concatenate(
        [r.bboxes[:, 2:] - r.bboxes[:, :2] for r in ordered]
    ))  # fmt: skip


@pytest.mark.parametrize('counts', [(), (0, 0)])
@pytest.mark.parametrize('on_disk', [True, False])
def test_nothing_detected_gives_empty_results(tmp_path, counts, on_disk):
    rng = np.random.default_rng(2)
    ids = make_annotations(rng, tmp_path / 'val.json', images=2)
    ground_truth = read_ground_truth(json.loads((tmp_path / 'val.json').read_text()))
    # A model without detections may leave out its masks.
    records = [
        make_record(rng, img_id=i, count=n, masks=k == 0)
        for k, (i, n) in enumerate(zip(ids, counts, strict=False))
    ]
    file = tmp_path / 'codes' if on_disk else None
    found = CollectedDetections([_shard(records)]).results(
        ground_truth, masks=True, codes_file=file
    )
    assert len(found['scores']) == 0 and found['scores'].rle.shape == (0,)
