import numpy as np
import pytest

from plugins.errors import UserError
from plugins.evaluation.stream import CollectedDetections, DetectionStore, ShardFolder
from tests.evaluation.stream.made_up import make_record


def _attempt(folder, image_ids, rank=0):
    rng = np.random.default_rng(0)
    store = DetectionStore(folder.own_shard(rank))
    for image_id in image_ids:
        store.add(make_record(rng, img_id=image_id))
    store.shard.close()
    return store.image_ids


def test_attempts_add_up(tmp_path):
    _attempt(ShardFolder.reopen(tmp_path), [1, 2], rank=0)
    _attempt(ShardFolder(tmp_path), [3], rank=1)
    second = ShardFolder.reopen(tmp_path)
    assert second.finished == {1, 2, 3} and second.attempt == 1
    stored = _attempt(second, [4])
    third = ShardFolder.reopen(tmp_path)
    assert third.finished == {1, 2, 3, 4} and third.attempt == 2
    collected = CollectedDetections(second.collect(stored))
    second.require_complete(collected.image_ids)
    assert collected.image_ids == [1, 2, 3, 4]


def test_process_without_images_is_no_loss(tmp_path):
    folder = ShardFolder.reopen(tmp_path)
    assert folder.attempt == 0 and CollectedDetections(folder.collect(set())).image_ids == []


def test_damage_after_storing_is_an_error_not_a_lower_score(tmp_path):
    folder = ShardFolder(tmp_path)
    stored = _attempt(folder, [1, 2, 3])
    path = folder.own_shard(0).path
    path.write_bytes(path.read_bytes()[:-1])
    collected = CollectedDetections(folder.collect(stored))
    with pytest.raises(UserError, match=r'1 of the 3 images .* damaged \(image 3.*--resume'):
        folder.require_complete(collected.image_ids)
    assert ShardFolder.reopen(tmp_path).finished == {1, 2}
