import pytest

from plugins.errors import UserError
from plugins.evaluation.stream import FileShard, MemoryShard

PAYLOADS = [b'first', b'', b'the third one' * 20]


@pytest.fixture(params=[FileShard, MemoryShard])
def shard(request, tmp_path):
    return FileShard(tmp_path / 'shard') if request.param is FileShard else MemoryShard()


def _contents(shard):
    return [payload for _, payload in shard.scan()]


def test_payloads_come_back_in_order_and_one_by_one(shard):
    assert _contents(shard) == []
    for payload in PAYLOADS:
        shard.append(payload)
    assert _contents(shard) == PAYLOADS
    assert [shard.read(place) for place, _ in shard.scan()] == PAYLOADS


def test_rewritten_shard_goes_on_growing(shard):
    for payload in PAYLOADS:
        shard.append(payload)
    shard.rewrite(payload for payload in _contents(shard) if payload)
    shard.append(b'more')
    assert _contents(shard) == [PAYLOADS[0], PAYLOADS[2], b'more']


def test_file_that_ends_anywhere_holds_what_was_complete_before(tmp_path):
    whole = FileShard(tmp_path / 'whole')
    ends = [0]
    for payload in PAYLOADS:
        whole.append(payload)
        ends.append(whole.path.stat().st_size)
    content = whole.path.read_bytes()
    for length in range(len(content) + 1):
        part = FileShard(tmp_path / 'part')
        part.path.write_bytes(content[:length])
        complete = sum(end <= length for end in ends[1:])
        assert _contents(part) == PAYLOADS[:complete], length


def test_flipped_bit_ends_the_file_there(tmp_path):
    shard = FileShard(tmp_path / 'shard')
    for payload in PAYLOADS:
        shard.append(payload)
    content = bytearray(shard.path.read_bytes())
    content[-1] ^= 1
    shard.path.write_bytes(content)
    assert _contents(shard) == PAYLOADS[:2]
    shard.path.write_bytes(b'something else entirely')
    assert _contents(shard) == []


def test_other_readers_see_a_payload_as_soon_as_it_is_added(tmp_path):
    shard = FileShard(tmp_path / 'shard')
    shard.append(b'seen')
    assert _contents(FileShard(tmp_path / 'shard')) == [b'seen']


def test_failing_rewrite_leaves_everything_as_it_was(tmp_path):
    shard = FileShard(tmp_path / 'shard')
    shard.append(b'kept')

    def interrupted():
        yield b'lost'
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shard.rewrite(interrupted())
    assert _contents(shard) == [b'kept'] and [p.name for p in tmp_path.iterdir()] == ['shard']


def test_unwritable_place_is_named(tmp_path):
    with pytest.raises(UserError, match=r'cannot write results to .*gone.*--work-dir'):
        FileShard(tmp_path / 'gone/shard').append(b'')
