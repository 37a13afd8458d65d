"""How a loss learns how often each category occurs in the training data."""

import torch
from torch import Tensor

from plugins.annotations.counts_file import TrainingCounts, read_counts_file
from plugins.annotations.reading import AnnotationError
from plugins.errors import UserError

_UNKNOWN = -1
_BUFFERS = ('instance_count', 'image_count', 'num_images')


class NeedsCategoryCounts:
    """Put before ``ClassificationLoss`` among the bases of a loss that needs category counts.

    The counts come from the training data set (``TrainingCountsHook``) or from the file that
    ``counts`` names, and are saved with the weights, so that testing needs neither.

    Args:
        counts: Annotation file of the training set, or the file that ``tools/data/stats.py ANN
            --json FILE`` writes; the training data set if None.
        **kwargs: Of the loss.
    """

    def __init__(self, *, counts: str | None = None, **kwargs) -> None:
        self._counts_file = counts
        self._counts_known = False
        super().__init__(**kwargs)

    def bind(self, num_classes: int) -> None:
        """Settle the number of classes and make room for the counts."""
        is_bound = self.num_classes is not None
        super().bind(num_classes)
        if is_bound:
            return
        unknown = torch.full((num_classes,), _UNKNOWN, dtype=torch.int64)
        self.register_buffer('instance_count', unknown)
        self.register_buffer('image_count', unknown.clone())
        self.register_buffer('num_images', torch.tensor(_UNKNOWN))
        if self._counts_file is not None:
            self._store(*self._read_file(), f'counts={self._counts_file}')

    @property
    def takes_counts_of_training(self) -> bool:
        """Whether the counts of the training set are wanted.

        Those of a file outrank them, and a loss in eval mode is that of a frozen classifier: its
        logits mean what they meant with the counts it was trained with.
        """
        return self._counts_file is None and (self.training or not self._counts_known)

    def set_category_counts(
        self, instance_count: Tensor, image_count: Tensor, num_images: int
    ) -> None:
        """Take the counts of the training set, unless the config names a file.

        Args:
            instance_count: (K,), training instances of each class, >= 0.
            image_count: (K,), training images with the class, >= 0.
            num_images: Training images with at least one instance.

        Raises:
            UserError: The counts have another length, are negative, or NaN.
        """
        if self._counts_file is None:
            self._store(instance_count, image_count, num_images, 'the training data set')

    def counts_changed(self) -> None:
        """Recompute what derives from the counts; called whenever they are set or loaded."""

    def require_counts(self) -> None:
        """Raise ``UserError`` if there are no counts."""
        if not self._counts_known:
            raise UserError(
                f'{self.address}: {type(self).__name__} needs the counts of the training '
                'categories and found none; tools/train.py counts the training data set, '
                "otherwise set counts='FILE', made by tools/data/stats.py ANNOTATIONS --json FILE"
            )

    def _read_file(self) -> TrainingCounts:
        try:
            return read_counts_file(self._counts_file)
        except AnnotationError as error:
            raise UserError(f'{self.address}.counts: {error}') from error

    def _store(self, instance_count, image_count, num_images: int, source: str) -> None:
        for name, values in dict(instance_count=instance_count, image_count=image_count).items():
            values = torch.as_tensor(values)
            buffer = getattr(self, name)
            if values.shape != buffer.shape:
                raise UserError(
                    f'{self.address}: {source} counts {len(values)} categories, but the head has '
                    f'num_classes={self.num_classes}'
                )
            if bool(torch.isnan(values.double()).any()) or bool((values < 0).any()):
                raise UserError(f'{self.address}: {source} has a count that is negative or NaN')
            buffer.copy_(values)
        self.num_images.fill_(num_images)
        self._counts_known = True
        self.counts_changed()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        if self._counts_file is not None:
            # What the config names outranks what an old run had counted.
            for name in _BUFFERS:
                state_dict[prefix + name] = getattr(self, name).clone()
        super()._load_from_state_dict(state_dict, prefix, *args)
        # Not missed: what starts from weights without counts gets them from its training set.
        missing_keys = args[2]
        missing_keys[:] = [key for key in missing_keys if key not in {prefix + b for b in _BUFFERS}]
        if self.num_classes is not None and bool((self.instance_count != _UNKNOWN).all()):
            self._counts_known = True
            self.counts_changed()
