import dataclasses
import tracemalloc

import numpy as np
import pytest

from plugins.evaluation.engine import Request
from plugins.evaluation.stream import (
    CollectedDetections,
    DetectionStore,
    FileShard,
    MemoryShard,
    Selection,
    decode,
    needs_of,
)
from tests.evaluation.stream.made_up import assert_equal, make_record

NEEDS = needs_of(Request(max_dets=(2,), dets_per_class=(10,)))


def _stored(shard):
    return [decode(payload) for _, payload in shard.scan()]


def test_image_that_a_sampler_repeats_is_stored_once():
    rng = np.random.default_rng(0)
    store = DetectionStore(MemoryShard())
    first = make_record(rng, img_id=3)
    for record in (first, make_record(rng, img_id=3), make_record(rng, img_id=1)):
        store.add(record)
    found = _stored(store.shard)
    assert [record.img_id for record in found] == [3, 1] and store.image_ids == {1, 3}
    assert_equal(found[0], first)


@pytest.mark.parametrize('on_disk', [True, False])
def test_shard_never_holds_more_than_about_twice_what_matters(tmp_path, on_disk):
    rng = np.random.default_rng(1)
    shard = FileShard(tmp_path / 'shard') if on_disk else MemoryShard()
    selection, slack, count = Selection(NEEDS, 4), 50, 40
    store = DetectionStore(shard, selection, slack=slack)
    everything = DetectionStore(MemoryShard())
    for img_id in range(60):
        record = make_record(rng, img_id=img_id, count=count, levels=30)
        store.add(record)
        everything.add(record)
        stored = sum(map(len, _stored(shard)))
        assert stored <= 2 * len(selection) + slack
    assert stored < 60 * count / 4
    kept = CollectedDetections([shard], NEEDS).records()
    expected = CollectedDetections([everything.shard], NEEDS).records()
    for one, other in zip(kept, expected, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize('with_budget', [True, False])
def test_memory_is_flat_over_images(tmp_path, with_budget):
    rng = np.random.default_rng(2)
    records = [make_record(rng, count=300) for _ in range(5)]
    selection = Selection(NEEDS, 4) if with_budget else None
    store = DetectionStore(FileShard(tmp_path / 'shard'), selection, slack=2000)

    def add(first, last):
        for img_id in range(first, last):
            store.add(dataclasses.replace(records[img_id % 5], img_id=img_id))

    add(0, 50)
    tracemalloc.start()
    add(50, 100)
    before = tracemalloc.get_traced_memory()[0]
    add(100, 400)
    growth = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    # 300 images of 300 detections are 9 MB of arrays and codes; ids of images are what stays.
    assert growth < 100_000
