"""What a data set offers to transforms that mix several of its images."""

import logging
from collections.abc import Callable, Iterable, Sequence

import cv2
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import print_log

from plugins.datasets.class_draw import ClassDraw
from plugins.datasets.seeded_index import seeded
from plugins.errors import UserError

UNREADABLE_POLICIES = ('raise', 'skip')


class UnreadableImageError(UserError):
    """An image file that cannot be decoded; the message names it and what to do."""


class ServesPartners:
    """Mixin of data set whose pipeline may hold transforms that load further images of it.

    Such a transform is an ordinary entry of ``train_pipeline``. It has a method
    ``bind(dataset, earlier)``, which is called once with the data set and the transforms before it,
    and gets other samples by ``load_partner``.

    Args:
        unreadable: What happens to an image that cannot be decoded, drawn by the sampler or by a
            transform: ``raise`` an error that names it, or ``skip`` it, take another, and log the
            file and how many there were. In tests it is always an error. It concerns
            ``LoadImageFromFile`` in the pipeline itself, not inside a wrapper such as
            ``RandomApply``.
        **kwargs: As in mmengine's ``BaseDataset``.

    Raises:
        UserError: ``unreadable`` is neither.
    """

    def __init__(self, *args, unreadable: str = 'raise', **kwargs) -> None:
        if unreadable not in UNREADABLE_POLICIES:
            raise UserError(
                f'train_dataloader.dataset.unreadable is {unreadable!r}; it can be '
                f'{UNREADABLE_POLICIES}'
            )
        self.unreadable = unreadable
        self.num_skipped = 0
        super().__init__(*args, **kwargs)

    def __getitem__(self, idx: int | ClassDraw) -> dict:
        """Load one sample; its random numbers are those of a ``SeededIndex``, if it is one."""
        with seeded(idx):
            return super().__getitem__(idx)

    def prepare_data(self, idx: int | ClassDraw) -> dict | None:
        """Load image ``idx`` and run the pipeline; None if a transform rejects it."""
        return self._run(self.get_data_info(idx), self.pipeline.transforms)

    def load_partner(self, index: int, transforms: Sequence[Callable]) -> dict | None:
        """Load another image for a transform that mixes.

        Args:
            index: Position in the data set.
            transforms: What to do with its record, beginning with the loading.

        Returns:
            The results after ``transforms``; None if one of them rejects it or if it was skipped as
            unreadable.

        Raises:
            UnreadableImageError: The image cannot be decoded and the policy is to raise.
        """
        return self._run(self.get_data_info(index), transforms)

    def _run(self, results: dict, transforms: Sequence[Callable]) -> dict | None:
        for transform in transforms:
            if isinstance(transform, LoadImageFromFile):
                results = self._load_image(transform, results)
            else:
                results = transform(results)
            if results is None:
                return None
        return results

    def _load_image(self, transform: Callable, results: dict) -> dict | None:
        try:
            return transform(results)
        # OpenCV raises for an empty file; mmcv asserts that the decoder returned an image.
        except (OSError, cv2.error, AssertionError) as error:
            path = results['img_path']
            reason = (isinstance(error, OSError) and error.strerror) or 'it cannot be decoded'
            if self.unreadable == 'raise' or self.test_mode:
                raise UnreadableImageError(
                    f'{path}: this image cannot be used ({reason}); restore it, find all such with '
                    "tools/data/check.py, or set train_dataloader.dataset.unreadable='skip'"
                ) from error
            self.num_skipped += 1
            print_log(
                f'{path}: skipped, this image cannot be used ({reason}); '
                f'{self.num_skipped} skipped so far by this process',
                logger='current',
                level=logging.WARNING,
            )
            return None

    def _bind_transforms(self) -> None:
        """Tell the transforms that mix where they stand and whom they serve."""
        _bind(self, self.pipeline.transforms, ())


def _bind(dataset: ServesPartners, transforms: Iterable, earlier: Sequence[Callable]) -> None:
    earlier = list(earlier)
    for transform in transforms:
        if hasattr(transform, 'bind'):
            transform.bind(dataset, tuple(earlier))
        for branch in _branches(transform):
            _bind(dataset, branch, earlier)
        earlier.append(transform)


def _branches(transform: Callable) -> list[Iterable]:
    """The sequences inside a wrapper: one of ``RandomApply``, several of ``RandomChoice``."""
    inner = getattr(transform, 'transforms', None)
    if inner is None:
        return []
    # mmcv keeps a list of Compose for alternatives, and a Compose for a sequence.
    if isinstance(inner, list) and inner and all(hasattr(one, 'transforms') for one in inner):
        return [one.transforms for one in inner]
    return [getattr(inner, 'transforms', inner)]
