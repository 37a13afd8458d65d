"""Candidates of matching: results and annotations of one group whose IoU is high enough."""

from typing import NamedTuple

import numpy as np

from plugins.evaluation.engine.groups import Groups


class GroupArrays(NamedTuple):
    """The arrays of `Groups` that kernels need."""

    image: np.ndarray
    ann_offset: np.ndarray
    annotation: np.ndarray
    offset: np.ndarray
    detection: np.ndarray

    @classmethod
    def of(cls, groups: Groups) -> 'GroupArrays':
        """Select them."""
        return cls(*(getattr(groups, name) for name in cls._fields))


class Pairs(NamedTuple):
    """Candidates of a range of groups, by result.

    Attributes:
        count: int32 (s,), candidates of each result of the range.
        annotation: int32, index into ``Groups.annotation``; those of one result ascend.
        iou: float64.
        common: int32, pixels in both masks; empty where boxes are compared.
    """

    count: np.ndarray
    annotation: np.ndarray
    iou: np.ndarray
    common: np.ndarray

    @classmethod
    def room_for(cls, groups: Groups, low: int, high: int, *, masks: bool) -> 'Pairs':
        """Memory for all pairs of the groups from ``low`` to ``high``."""
        results = np.diff(groups.offset[low : high + 1])
        # Memory that nothing is written to is never taken from the system, so the most there can
        # be costs no more than what there will be.
        most = int(results @ np.diff(groups.ann_offset[low : high + 1]))
        return cls(
            np.empty(int(results.sum()), np.int32),
            np.empty(most, np.int32),
            np.empty(most),
            np.empty(most if masks else 0, np.int32),
        )
