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
    """An image that cannot be decoded or resized; the message names it and what to do."""


class ServesPartners:
    """Mixin of data set whose pipeline may hold transforms that load further images of it.

    Such a transform is an ordinary entry of ``train_pipeline``. It has a method
    ``bind(dataset, earlier)``, which is called once with the data set and the transforms before it,
    and gets other samples by ``load_partner``.

    Args:
        unreadable: What happens to an image that cannot be decoded, or is so narrow that a side
            would be resized to 0 pixels, drawn by the sampler or by a transform: ``raise`` an error
            that names it, or ``skip`` it, take another, and log the file and how many there were.
            In tests it is always an error. Decoding concerns ``LoadImageFromFile`` in the pipeline
            itself, not inside a wrapper such as ``RandomApply``.
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
            UnreadableImageError: The image cannot be used and the policy is to raise.
        """
        return self._run(self.get_data_info(index), transforms)

    def _run(self, results: dict, transforms: Sequence[Callable]) -> dict | None:
        for transform in transforms:
            try:
                after = transform(results)
            except (OSError, cv2.error, AssertionError) as error:
                fault = _fault_of_image(error, transform, results)
                if fault is None:
                    raise
                self._skip_or_raise(results['img_path'], *fault, error)
                return None
            if after is None:
                return None
            results = after
        return results

    def _skip_or_raise(self, path: str, reason: str, remedy: str, error: Exception) -> None:
        fault = f'{path}: this image cannot be used ({reason}); {remedy}'
        if self.test_mode:
            raise UnreadableImageError(fault) from error
        if self.unreadable == 'raise':
            raise UnreadableImageError(
                f"{fault}, or set train_dataloader.dataset.unreadable='skip'"
            ) from error
        self.num_skipped += 1
        print_log(
            f'{path}: skipped, this image cannot be used ({reason}); '
            f'{self.num_skipped} skipped so far by this process',
            logger='current',
            level=logging.WARNING,
        )

    def _bind_transforms(self) -> None:
        """Tell the transforms that mix where they stand and whom they serve."""
        _bind(self, self.pipeline.transforms, ())


def _fault_of_image(error: Exception, transform: Callable, results: dict) -> tuple[str, str] | None:
    """What is wrong with the image of a sample and what to do; None if the error is another."""
    # OpenCV raises for an empty file; mmcv asserts that the decoder returned an image.
    if isinstance(transform, LoadImageFromFile):
        reason = (isinstance(error, OSError) and error.strerror) or 'it cannot be decoded'
        return reason, 'restore it (tools/data/check.py finds all such)'
    # What OpenCV says of an image to be resized to nothing; ours that mix do not do it to others.
    if isinstance(error, cv2.error) and 'inv_scale_x > 0' in str(error):
        height, width = results['ori_shape']
        return (
            f'its {width} x {height} pixels cannot be resized: a side would become 0',
            'pad or crop it, or leave it out of the annotations',
        )
    return None


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
