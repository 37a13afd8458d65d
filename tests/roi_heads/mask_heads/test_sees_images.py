import gc
import weakref

import pytest
import torch

from plugins.errors import UserError
from plugins.roi_heads.mask_heads import SeesImages


class _Eye(SeesImages):
    looks = 0

    def look(self, x):
        self.looks += 1
        return x[0] + 1


ROIS, LABELS = torch.zeros(2, 5), torch.tensor([1, 0])


def test_head_looks_once_and_only_when_it_has_to():
    eye = _Eye()
    with eye.seeing_images((torch.zeros(1),)):
        assert eye.looks == 0
        for _ in range(3):
            assert eye.seen == 1
    assert eye.looks == 1


def test_what_was_seen_is_let_go():
    eye = _Eye()
    with eye.seeing_images((torch.zeros(1),)):
        seen = weakref.ref(eye.seen)
    gc.collect()
    assert seen() is None


def test_chunks_of_rois_follow_each_other():
    eye = _Eye()
    with eye.seeing_images((torch.zeros(1),)):
        for count in (2, 1):
            with eye.seeing_rois(ROIS[:count], LABELS[:count]):
                assert [len(part) for part in eye.seen_rois] == [count, count]
    assert eye.looks == 0


def test_inner_context_hides_the_outer_one():
    eye = _Eye()
    with eye.seeing_images((torch.zeros(1),)):
        with eye.seeing_images((torch.ones(1),)):
            assert eye.seen == 2
        assert eye.seen == 1


def test_contexts_end_after_an_error():
    eye = _Eye()
    with pytest.raises(RuntimeError), eye.seeing_images(()), eye.seeing_rois(ROIS, LABELS):
        raise RuntimeError
    for unknown in ('seen', 'seen_rois'):
        with pytest.raises(UserError, match='_Eye was not shown the images.*UniformHTCRoIHead'):
            getattr(eye, unknown)
