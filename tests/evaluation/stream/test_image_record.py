import dataclasses

import numpy as np
import pytest
import torch

from plugins.errors import UserError
from plugins.evaluation.stream import decode, encode, record_of
from tests.evaluation.stream.made_up import assert_equal, make_record, sample_of


@pytest.mark.parametrize('count', [0, 1, 50])
@pytest.mark.parametrize('scored', [False, True])
@pytest.mark.parametrize('masks', [False, True])
def test_bytes_give_back_every_bit(count, scored, masks):
    rng = np.random.default_rng(count)
    record = make_record(rng, count=count, masks=masks, scored=scored)
    assert_equal(decode(encode(record)), record)


def test_types_and_sizes_of_masks_are_kept_as_they_are():
    record = make_record(np.random.default_rng(0), count=3)
    sizes = np.int32([[24, 32], [10, 12], [24, 32]])
    record = dataclasses.replace(record, scores=np.float64([0.1, 0.2, 1 / 3]), sizes=sizes)
    assert_equal(decode(encode(record)), record)


def test_sample_of_the_runner_becomes_a_record_without_its_annotations():
    record = make_record(np.random.default_rng(1), scored=True)
    sample = sample_of(record)
    sample['gt_instances'] = dict(bboxes=torch.zeros(2, 4))
    sample['scale_factor'] = (np.float64(1.5), np.float64(1.25))
    found = record_of(sample)
    assert found.meta == dict(record.meta, scale_factor=(1.5, 1.25))
    assert_equal(decode(encode(found)), dataclasses.replace(record, meta=found.meta))


def test_selecting_keeps_columns_together():
    record = make_record(np.random.default_rng(2), count=5, scored=True)
    chosen = np.array([True, False, False, True, False])
    part = record.select(chosen)
    assert part.codes == [record.codes[0], record.codes[3]]
    assert np.array_equal(part.mask_scores, record.mask_scores[chosen])
    assert np.array_equal(part.bboxes, record.bboxes[chosen]) and len(part.sizes) == 2


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('scores', np.nan, 'detection 1 of image 8 the score nan'),
        ('bboxes', np.inf, r'detection 1 of image 8 the box \[inf'),
        ('mask_scores', -np.inf, 'detection 1 of image 8 the mask_score -inf'),
    ],
)
def test_numbers_that_are_none_are_named(key, value, message):
    sample = sample_of(make_record(np.random.default_rng(3), img_id=8, scored=True))
    sample['pred_instances'][key][1] = value
    with pytest.raises(UserError, match=message):
        record_of(sample)


def test_uncompressed_masks_are_refused():
    sample = sample_of(make_record(np.random.default_rng(4), count=1))
    sample['pred_instances']['masks'] = [dict(size=[24, 32], counts=[0, 768])]
    with pytest.raises(UserError, match='not compressed'):
        record_of(sample)
