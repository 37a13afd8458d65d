"""Copy-paste that brings objects of rare categories into more images."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.logging import print_log

from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type
from plugins.errors import UserError
from plugins.transforms.argument_checks import (
    check_at_least,
    check_count,
    check_probability,
    check_range,
)
from plugins.transforms.composition import Occlusion, Window, count_pixels, cover_of, paste
from plugins.transforms.mixing_transform import MixingTransform
from plugins.transforms.source_jitter import (
    SourceJitter,
    draw_source_jitter,
    jitter_image,
    jitter_masks,
)

SOURCES = ('class', 'rfs', 'uniform')


@dataclass(frozen=True)
class Source:
    """An image whose objects can be pasted.

    Attributes:
        image: (h, w, C), before the jitter.
        jitter: Where it lies on the canvas; None if it has the canvas' size already.
        windows: x, y on the canvas and crop, uint8, of each object.
        labels: int64 (N,).
        can_be_pasted: bool (N,), false for ignored regions and for what the canvas does not show.
    """

    image: np.ndarray
    jitter: SourceJitter | None
    windows: list[Window]
    labels: np.ndarray
    can_be_pasted: np.ndarray

    def pixels(self) -> np.ndarray:
        """The image on the canvas, (h, w, C); resized only now, for often nothing is pasted."""
        return self.image if self.jitter is None else jitter_image(self.image, self.jitter)


@TRANSFORMS.register_module()
class BalancedCopyPaste(MixingTransform):
    """Paste objects of rare categories from other images.

    Repeat-factor sampling repeats whole images, and with them the objects of frequent categories
    that share an image with a rare one. This repeats objects: a category is drawn with probability
    proportional to r_c - 1, an image of it uniformly, and only its objects of categories with
    r_c > 1 are pasted (the winner of the LVIS 2021 challenge; the sampling is not published there).
    Pasted objects cover what lies under them without blending; the masks, boxes and federated lists
    of the image follow. Overlaps among the objects of one source image stay as annotated.

    It stands anywhere after the loading of the annotations and works on the canvas it finds there.
    Colour jitter belongs after it, so that pasted pixels match.

    ``source='uniform'``, ``head_keep=1`` and ``source_ratio_range=(0.1, 2.0)`` is Simple Copy-Paste
    (Ghiasi et al. 2021).

    Required and modified keys: img, gt_bboxes, gt_bboxes_labels, gt_ignore_flags, gt_masks;
    neg_labels and not_exhaustive_labels where present.

    Args:
        prob: Probability of pasting into a sample, decided before anything is loaded.
        source: How a source image is drawn: ``class`` as above; ``rfs`` by the repeat factor r_I
            of the image; ``uniform``.
        max_sources: From 1 to so many source images, all numbers with the same probability; later
            ones cover earlier ones.
        repeat_threshold: Threshold t of the repeat factors.
        head_keep: Probability that an object of a category with r_c = 1 can be pasted, too.
        paste_prob: Probability with which each object that can be pasted is; of the drawn category
            at least one is, if it has one on the canvas.
        max_pasted: Most objects pasted into one sample.
        source_ratio_range: Limits of the size of the source image, relative to the size at which it
            just fits the canvas; a random cut is taken where it is larger. Narrower than the usual
            (0.1, 2.0), for the sake of small objects.
        source_flip_prob: Probability of mirroring the source image.
        random_place: Move the pasted objects, together, to a random place of the canvas; otherwise
            they keep theirs in the source image.
        source_transforms: Configs of transforms that take the place of resizing, cutting and
            mirroring; they start from the loaded sample and must yield the size of the canvas.
        box_shift: Pixels; a covered object stays if no coordinate of its box moves by more.
        visible_area: Pixels; it stays, too, if more of its mask remain visible. An object of which
            nothing remains visible never stays.

    Raises:
        UserError: An option is out of range.
    """

    def __init__(
        self,
        *,
        prob: float = 0.5,
        source: str = 'class',
        max_sources: int = 1,
        repeat_threshold: float = 1e-3,
        head_keep: float = 0.0,
        paste_prob: float = 0.5,
        max_pasted: int = 100,
        source_ratio_range: tuple[float, float] = (0.5, 1.5),
        source_flip_prob: float = 0.5,
        random_place: bool = False,
        source_transforms: Sequence[dict] | None = None,
        box_shift: float = 10,
        visible_area: float = 300,
    ) -> None:
        super().__init__(prob, repeat_threshold)
        if source not in SOURCES:
            raise UserError(
                f'train_pipeline: BalancedCopyPaste.source={source!r} must be one of {SOURCES}'
            )
        check_count(self, max_sources=max_sources, max_pasted=max_pasted)
        check_probability(
            self, head_keep=head_keep, paste_prob=paste_prob, source_flip_prob=source_flip_prob
        )
        check_range(self, source_ratio_range=source_ratio_range)
        check_at_least(self, 0, box_shift=box_shift, visible_area=visible_area)
        self.source = source
        self.max_sources = max_sources
        self.head_keep = head_keep
        self.paste_prob = paste_prob
        self.max_pasted = max_pasted
        self.source_ratio_range = tuple(source_ratio_range)
        self.source_flip_prob = source_flip_prob
        self.random_place = random_place
        self.source_transforms = (
            None
            if source_transforms is None
            else [TRANSFORMS.build(transform) for transform in source_transforms]
        )
        mixing = [one for one in self.source_transforms or () if isinstance(one, MixingTransform)]
        if mixing:
            raise UserError(
                'train_pipeline: BalancedCopyPaste.source_transforms has '
                f'{type(mixing[0]).__name__}; a source image cannot be mixed itself, put it into '
                'train_pipeline'
            )
        self.occlusion = Occlusion(box_shift, visible_area)
        self.can_paste = True

    def bind(self, dataset: object, earlier: Sequence[Callable]) -> None:
        """See `MixingTransform.bind`; warns if there is nothing that would ever be pasted."""
        super().bind(dataset, earlier)
        self.can_paste = self.draws.has_tail or (self.source != 'class' and self.head_keep > 0)
        if not self.can_paste:
            print_log(
                'train_pipeline: BalancedCopyPaste leaves all samples as they are, because no '
                f'category occurs in less than repeat_threshold={self.repeat_threshold} of the '
                f'{len(self.draws.image_sums)} images; raise the threshold or remove the transform',
                logger='current',
                level=logging.WARNING,
            )

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Paste objects, or leave the sample as it is.

        Raises:
            UserError: The sample has no masks of pixels or carries something that cannot be mixed,
                or no source image could be had.
        """
        if not self.is_due() or not self.can_paste:
            return results
        self.check_mixable(results)
        num_left = self.max_pasted
        for _ in range(np.random.randint(1, self.max_sources + 1)):
            source, label = self.load_source(results['img'].shape[:2])
            chosen = self.choose_objects(source, label, num_left)
            if len(chosen):
                self._paste(results, source, chosen)
                num_left -= len(chosen)
        return results

    def draw_partner(self) -> tuple[int, int | None]:
        """Draw a source image, see ``source``."""
        if self.source == 'uniform':
            return self.draws.draw_uniform_image(), None
        if self.source == 'rfs':
            return self.draws.draw_image(), None
        label = self.draws.draw_category()
        return self.draws.draw_image_of(label), label

    def load_source(self, canvas: tuple[int, int]) -> tuple[Source, int | None]:
        """Draw and load a source image and lay it on the canvas.

        Args:
            canvas: Height, width.

        Returns:
            The source and the label for the sake of which it was drawn.

        Raises:
            UserError: ``source_transforms`` yield another size.
        """
        results, label = self.load_partner((*self.loading, *(self.source_transforms or ())))
        image, masks, jitter = results['img'], self.crop_masks(results), None
        if self.source_transforms is None:
            jitter = draw_source_jitter(
                image.shape[:2], canvas, self.source_ratio_range, self.source_flip_prob
            )
            masks = jitter_masks(masks, jitter)
        elif image.shape[:2] != canvas:
            raise UserError(
                'train_pipeline: BalancedCopyPaste.source_transforms yield an image of '
                f'{image.shape[1]} x {image.shape[0]} pixels (w x h), the sample has {canvas[1]} x '
                f'{canvas[0]}; let both pipelines end at the same fixed size'
            )
        windows = masks.windows()
        visible = count_pixels(windows) > 0
        ignored = np.asarray(results['gt_ignore_flags'], bool)
        labels = results['gt_bboxes_labels']
        return Source(image, jitter, windows, labels, visible & ~ignored), label

    def choose_objects(self, source: Source, label: int | None, most: int) -> np.ndarray:
        """Draw the objects to paste.

        Args:
            source: The image they are in.
            label: At least one object of this label is chosen, if there is one; None for no such.
            most: Upper limit of the number, which may be 0.

        Returns:
            Positions in the source, int64, ascending.
        """
        is_tail = self.draws.category_factors[source.labels] > 1
        draws = np.random.random((2, len(source.labels)))
        is_selectable = source.can_be_pasted & (is_tail | (draws[0] < self.head_keep))
        is_chosen = is_selectable & (draws[1] < self.paste_prob)
        of_label = source.labels == (-1 if label is None else label)
        wanted = np.flatnonzero(source.can_be_pasted & of_label)
        if len(wanted) and not is_chosen[wanted].any():
            is_chosen[np.random.choice(wanted)] = True
        chosen = np.flatnonzero(is_chosen)
        if len(chosen) > most:
            chosen = np.random.permutation(chosen)
            # What the image was drawn for goes first.
            chosen = np.sort(chosen[np.argsort(~of_label[chosen], kind='stable')][:most])
        return chosen

    def _paste(self, results: dict, source: Source, chosen: np.ndarray) -> None:
        windows = [source.windows[i] for i in chosen]
        cover = cover_of(windows)
        pixels = source.pixels()[cover.where]
        if self.random_place:
            windows = _moved(windows, results['img'].shape[:2])
        labels = source.labels[chosen]
        paste(results, self.crop_masks(results), pixels, windows, labels, self.occlusion)

    def __repr__(self) -> str:
        return (
            f'BalancedCopyPaste(prob={self.prob}, source={self.source!r}, '
            f'max_sources={self.max_sources}, repeat_threshold={self.repeat_threshold}, '
            f'head_keep={self.head_keep}, paste_prob={self.paste_prob}, '
            f'max_pasted={self.max_pasted}, source_ratio_range={self.source_ratio_range}, '
            f'source_flip_prob={self.source_flip_prob}, random_place={self.random_place}, '
            f'source_transforms={self.source_transforms}, box_shift={self.occlusion.box_shift}, '
            f'visible_area={self.occlusion.visible_area})'
        )


def _moved(windows: list[Window], canvas: tuple[int, int]) -> list[Window]:
    """The objects at a random place where all of what they cover stays on the canvas."""
    cover = cover_of(windows)
    height, width = cover.pixels.shape
    right = int(np.random.randint(canvas[1] - width + 1)) - cover.x
    down = int(np.random.randint(canvas[0] - height + 1)) - cover.y
    return [(x + right, y + down, crop) for x, y, crop in windows]
