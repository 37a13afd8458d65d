"""Which categories each image shows, how often, and what is said about the absent ones."""

from dataclasses import dataclass

import numpy as np

from .options import LVIS_NEGATIVES_PER_IMAGE, SyntheticOptions
from .statistics import MAX_IMAGE_SHARE, image_counts, instance_ratios

SPLITS = ('train', 'val')
# 782 of the 100,170 images of LVIS v1 train have no annotation.
EMPTY_SHARE = 0.008
# From this many instances on an annotator may stop before all are outlined.
CROWD = 8


@dataclass(frozen=True)
class ImagePlan:
    """The content of one image; index counts from 0 within its split."""

    index: int
    image_id: int
    categories: tuple[int, ...]
    instances: tuple[int, ...]
    hidden: tuple[int, ...]
    negatives: tuple[int, ...]

    @property
    def not_exhaustive(self) -> list[int]:
        """Category ids of which some instances are left without annotation."""
        return [c for c, left in zip(self.categories, self.hidden, strict=True) if left]


@dataclass(frozen=True)
class SplitPlan:
    """All images of a split, compressed by rows (image i owns ``offsets[i]:offsets[i + 1]``).

    Args:
        name: 'train' or 'val'.
        first_image_id: id of image 0; ids are consecutive and unique over both splits.
        offsets: int64 (N + 1,) into the three arrays of (image, category) pairs.
        categories, instances, hidden: int32 (P,): category id, instances shown (>= 1), and how
            many of them stay without annotation (less than the instances).
        negative_offsets, negatives: the same for the verified absent category ids.
    """

    name: str
    first_image_id: int
    offsets: np.ndarray
    categories: np.ndarray
    instances: np.ndarray
    hidden: np.ndarray
    negative_offsets: np.ndarray
    negatives: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def images(self, start: int, stop: int) -> list[ImagePlan]:
        """Plans of the images start to stop - 1, light enough to be sent to a process."""
        return [self._image(index) for index in range(start, min(stop, len(self)))]

    def _image(self, index: int) -> ImagePlan:
        pairs = slice(self.offsets[index], self.offsets[index + 1])
        absent = slice(self.negative_offsets[index], self.negative_offsets[index + 1])
        return ImagePlan(
            index=index,
            image_id=self.first_image_id + index,
            categories=tuple(self.categories[pairs].tolist()),
            instances=tuple(self.instances[pairs].tolist()),
            hidden=tuple(self.hidden[pairs].tolist()),
            negatives=tuple(self.negatives[absent].tolist()),
        )


def draw_plans(options: SyntheticOptions) -> list[SplitPlan]:
    """Plan both splits; a few seconds for 1,203 categories and 100,000 images."""
    classes, instances = options.density
    # Which category is how frequent is a matter of the seed, not of its id.
    order = np.random.default_rng([options.seed, 0]).permutation(options.categories)
    ranked = image_counts(options.categories, options.train_images, classes)
    ratios = np.empty(options.categories)
    ratios[order] = instance_ratios(ranked, instances * options.train_images, options.crowd_cap)
    train = np.empty(options.categories, dtype=np.int64)
    train[order] = ranked
    val = _val_counts(train, options)
    return [
        _draw_split('train', train, options.train_images, ratios, options, first_image_id=1),
        _draw_split(
            'val', val, options.val_images, ratios, options, first_image_id=options.train_images + 1
        ),
    ]


def _val_counts(train: np.ndarray, options: SyntheticOptions) -> np.ndarray:
    """Val image counts in proportion, with two images for every category where they fit."""
    images = options.val_images
    least = 2 if 2 * len(train) <= images * options.class_cap and images >= 4 else 1
    scaled = np.rint(train * (images / options.train_images)).astype(np.int64)
    counts = np.clip(scaled, least, max(least, int(MAX_IMAGE_SHARE * images)))
    while counts.sum() > images * options.class_cap:
        counts[counts.argmax()] -= 1
    return counts


def _draw_split(
    name: str,
    counts: np.ndarray,
    n_images: int,
    ratios: np.ndarray,
    options: SyntheticOptions,
    *,
    first_image_id: int,
) -> SplitPlan:
    rng = np.random.default_rng([options.seed, 1 + SPLITS.index(name)])
    images, categories = _assign(counts, n_images, options.class_cap, rng)
    order = np.lexsort((categories, images))
    images, categories = images[order], categories[order]
    offsets = np.searchsorted(images, np.arange(n_images + 1))
    instances = _draw_instances(ratios[categories], options.crowd_cap, rng)
    _limit_image_totals(instances, offsets, 2 * options.crowd_cap)
    negative_offsets, negatives = _draw_negatives(images, categories, counts, n_images, rng)
    return SplitPlan(
        name=name,
        first_image_id=first_image_id,
        offsets=offsets,
        categories=(categories + 1).astype(np.int32),
        instances=instances,
        hidden=_draw_hidden(instances, rng),
        negative_offsets=negative_offsets,
        negatives=(negatives + 1).astype(np.int32),
    )


def _assign(
    counts: np.ndarray, n_images: int, cap: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct images for each category; busy images attract more categories than calm ones."""
    activity = np.exp(rng.normal(0, 0.5, n_images))
    images = np.concatenate(
        [_draw_distinct(activity, count, rng) for count in counts], dtype=np.int64
    )
    categories = np.repeat(np.arange(len(counts)), counts)
    _fill_empty_images(images, n_images, rng)
    _relieve_full_images(images, categories, n_images, cap, rng)
    return images, categories


def _draw_distinct(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Weighted choice without replacement: the first of exponential arrival times."""
    arrival = rng.exponential(size=len(weights)) / weights
    # A copy, since a slice would keep the whole array alive, once for each category.
    return np.argpartition(arrival, count - 1)[:count].copy()


def _fill_empty_images(images: np.ndarray, n_images: int, rng: np.random.Generator) -> None:
    """Move pairs from images with several categories to empty ones; keep LVIS's share empty."""
    loads = np.bincount(images, minlength=n_images)
    empty = rng.permutation(np.flatnonzero(loads == 0))[round(EMPTY_SHARE * n_images) :]
    donors = iter(rng.permutation(len(images)))
    for image in empty:
        pair = next((p for p in donors if loads[images[p]] > 1), None)
        if pair is None:
            return
        loads[images[pair]] -= 1
        loads[image] += 1
        images[pair] = image


def _relieve_full_images(
    images: np.ndarray,
    categories: np.ndarray,
    n_images: int,
    cap: int,
    rng: np.random.Generator,
) -> None:
    """Move categories out of images that hold more than ``cap`` of them."""
    loads = np.bincount(images, minlength=n_images)
    if loads.max() <= cap:
        return
    n_categories = int(categories.max()) + 1
    taken = set((images * n_categories + categories).tolist())
    for pair in rng.permutation(len(images)):
        if loads[images[pair]] <= cap:
            continue
        category = int(categories[pair])
        free = np.flatnonzero(loads < cap)
        free = [i for i in rng.permutation(free)[:200] if i * n_categories + category not in taken]
        if not free:
            continue
        target = min(free, key=lambda image: loads[image])
        loads[images[pair]] -= 1
        loads[target] += 1
        taken.add(int(target) * n_categories + category)
        images[pair] = target


def _draw_instances(means: np.ndarray, cap: int, rng: np.random.Generator) -> np.ndarray:
    """Instances per pair, P(n >= k) = k ** -a up to the cap: mostly one, at times a crowd."""
    exponents = np.linspace(0.01, 8, 1600)
    table = (np.arange(1, cap + 1)[:, None] ** -exponents).sum(axis=0)
    exponent = np.interp(means, table[::-1], exponents[::-1])
    # Capped in the logarithm: the power itself overflows for the smallest exponents.
    log_draw = np.minimum(-np.log1p(-rng.random(len(means))) / exponent, np.log(cap + 0.5))
    return np.floor(np.exp(log_draw)).astype(np.int32)


def _limit_image_totals(instances: np.ndarray, offsets: np.ndarray, limit: int) -> None:
    totals = np.diff(np.concatenate([[0], np.cumsum(instances)])[offsets])
    for image in np.flatnonzero(totals > limit):
        pairs = instances[offsets[image] : offsets[image + 1]]
        pairs[:] = np.maximum(1, pairs * limit // totals[image])


def _draw_hidden(instances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """In half of the crowds a tenth to a third of the instances stay without annotation."""
    share = rng.uniform(0.1, 0.35, len(instances))
    given_up = (instances >= CROWD) & (rng.random(len(instances)) < 0.5)
    return np.where(given_up, np.ceil(instances * share), 0).astype(np.int32)


def _draw_negatives(
    images: np.ndarray,
    categories: np.ndarray,
    counts: np.ndarray,
    n_images: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Verified absent categories: about 9.4 per image as in LVIS, fewer in small vocabularies."""
    n_categories = len(counts)
    per_image = min(LVIS_NEGATIVES_PER_IMAGE, n_categories / 4)
    wanted = max(2, round(n_images * per_image / n_categories))
    present = np.split(images[np.argsort(categories, kind='stable')], np.cumsum(counts)[:-1])
    drawn = []
    for shown in present:
        candidates = rng.choice(n_images, min(n_images, wanted + len(shown)), replace=False)
        drawn.append(candidates[~np.isin(candidates, shown)][:wanted])
    absent_images = np.concatenate(drawn)
    absent = np.repeat(np.arange(n_categories), [len(part) for part in drawn])
    order = np.lexsort((absent, absent_images))
    offsets = np.searchsorted(absent_images[order], np.arange(n_images + 1))
    return offsets, absent[order]
