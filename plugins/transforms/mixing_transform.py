"""What transforms that mix several images have in common."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from mmcv.transforms import BaseTransform, LoadAnnotations

from mmdet.structures.mask import BitmapMasks
from plugins.errors import UserError
from plugins.structures import CropMasks
from plugins.transforms.argument_checks import check_at_least, check_probability
from plugins.transforms.partner_draws import PartnerDraws, partner_draws

MAX_DRAWS = 20
UNMIXABLE_KEYS = ('gt_seg_map', 'gt_keypoints', 'gt_instances_ids', 'proposals')


class MixingTransform(BaseTransform):
    """A transform that, with some probability, mixes other images of the data set into a sample.

    It is an ordinary entry of ``train_pipeline``. The data set binds it once, before workers start;
    all random numbers come from the global ``numpy.random``.

    Args:
        prob: Probability of mixing, decided before anything is loaded.
        repeat_threshold: Threshold t of the repeat factors by which partners are drawn,
            ``r_c = max(1, sqrt(t / f_c))``; 0 makes all factors 1.

    Raises:
        UserError: An option is out of range.
    """

    def __init__(self, prob: float, repeat_threshold: float) -> None:
        check_probability(self, prob=prob)
        check_at_least(self, 0, repeat_threshold=repeat_threshold)
        self.prob = prob
        self.repeat_threshold = repeat_threshold
        self.dataset = None
        self.earlier: tuple[Callable, ...] = ()
        self.loading: tuple[Callable, ...] = ()
        self.draws: PartnerDraws | None = None

    def bind(self, dataset: object, earlier: Sequence[Callable]) -> None:
        """Get to know the data set and the place in its pipeline.

        Args:
            dataset: Has ``load_partner(index, transforms)``, ``image_categories()`` and a
                ``metainfo`` with ``classes``.
            earlier: The transforms before this one; those up to the last loading of annotations
                are kept as ``loading``, too.

        Raises:
            UserError: None of them loads annotations.
        """
        loaders = [i for i, one in enumerate(earlier) if isinstance(one, LoadAnnotations)]
        if not loaders:
            raise UserError(
                f'train_pipeline: {type(self).__name__} must come after the loading of annotations '
                '(LoadCropAnnotations or LoadAnnotations)'
            )
        self.dataset = dataset
        self.earlier = tuple(earlier)
        self.loading = self.earlier[: loaders[-1] + 1]
        num_categories = len(dataset.metainfo['classes'])
        self.draws = partner_draws(
            dataset.image_categories(), num_categories, self.repeat_threshold
        )

    def is_due(self) -> bool:
        """Decide whether this sample is mixed: one random number.

        Raises:
            UserError: No data set has bound the transform.
        """
        if self.draws is None:
            raise UserError(
                f'train_pipeline: {type(self).__name__} needs a data set that gives it other '
                'images, such as LVISFormatDataset in train_dataloader.dataset'
            )
        return np.random.random() < self.prob

    @abstractmethod
    def draw_partner(self) -> tuple[int, int | None]:
        """Draw another image: its position and the label for the sake of which it is drawn."""

    def load_partner(self, transforms: Sequence[Callable]) -> tuple[dict, int | None]:
        """Draw and load another image; one that cannot be had is drawn again.

        Args:
            transforms: What the image goes through, beginning with the loading.

        Returns:
            Its results and the label for the sake of which it was drawn.

        Raises:
            UserError: None of `MAX_DRAWS` images could be had.
        """
        for _ in range(MAX_DRAWS):
            index, label = self.draw_partner()
            results = self.dataset.load_partner(index, transforms)
            if results is not None:
                return results, label
        raise UserError(
            f'train_pipeline: {type(self).__name__} drew {MAX_DRAWS} images to mix in, and all '
            'were rejected by the transforms before it or skipped as unreadable; check the '
            'filters before it and the image files (tools/data/check.py)'
        )

    def check_mixable(self, results: dict) -> None:
        """Refuse a sample that carries something that would not fit the mixed image.

        Raises:
            UserError: Names what and how to leave it out.
        """
        unmixable = next((key for key in UNMIXABLE_KEYS if key in results), None)
        if unmixable is not None:
            raise UserError(
                f'train_pipeline: {type(self).__name__} cannot mix `{unmixable}`; leave it out of '
                'the loading (LoadAnnotations) or remove the transform'
            )

    def crop_masks(self, results: dict) -> CropMasks:
        """The masks of a sample as crops.

        Raises:
            UserError: They are no bitmaps.
        """
        masks = results.get('gt_masks')
        if not isinstance(masks, BitmapMasks):
            raise UserError(
                f'train_pipeline: {type(self).__name__} needs masks of pixels; load them by '
                'LoadCropAnnotations (or LoadAnnotations with with_mask=True, poly2mask=True)'
            )
        return masks if isinstance(masks, CropMasks) else CropMasks.from_bitmaps(masks.masks)
