"""What can be asked of the generator, and which scene density follows from the image size."""

import math
from dataclasses import asdict, dataclass

# Raised by one whenever the same options would give other files than before.
FORMAT_VERSION = 1

# LVIS v1: 640 x 480 images, 12.7 instances of 3.6 categories (train), 9.4 verified-absent
# categories (the 100 published sample images), boxes of 0.5 % of the image area in the median.
LVIS_AREA = 640 * 480
LVIS_INSTANCES_PER_IMAGE = 12.7
LVIS_CLASSES_PER_IMAGE = 3.6
LVIS_NEGATIVES_PER_IMAGE = 9.4
LVIS_OBJECT_SIZE = 0.12
# The same below for 192 x 160 images, where LVIS's density would leave only specks.
SMALL_AREA = 192 * 160
SMALL_INSTANCES_PER_IMAGE = 6.0
SMALL_CLASSES_PER_IMAGE = 2.8
SMALL_OBJECT_SIZE = 0.24


class SyntheticDataError(ValueError):
    """An option or an output folder that the generator cannot work with."""


@dataclass(frozen=True)
class SyntheticOptions:
    """Everything that determines the generated files; equal options give equal bytes.

    Args:
        categories: number of categories, 2 to 5000; ids are 1 to ``categories``.
        train_images, val_images: images per split; val must be able to show every category.
        min_size, max_size: (width, height) in pixels; each image draws its size in between.
        seed: seed of the plan and of every scene. Category appearance does not depend on it.
        classes_per_image, instances_per_image: mean density; None derives it from the image size.
        object_size: median box side over the square root of the image area; None as above.
        frequency_limits: most train images of a rare and of a common category; None derives them
            from the number of train images (`statistics.frequency_limits`).
        annotations_only: leave out the pixels; the annotations are the same.
    """

    categories: int = 24
    train_images: int = 400
    val_images: int = 80
    min_size: tuple[int, int] = (192, 160)
    max_size: tuple[int, int] = (192, 160)
    seed: int = 0
    classes_per_image: float | None = None
    instances_per_image: float | None = None
    object_size: float | None = None
    frequency_limits: tuple[int, int] | None = None
    annotations_only: bool = False

    def __post_init__(self) -> None:
        _require(2 <= self.categories <= 5000, 'categories', self.categories, '2 to 5000')
        _require(self.train_images >= 2, 'train images', self.train_images, 'at least 2')
        _require(self.val_images >= 2, 'val images', self.val_images, 'at least 2')
        _require(self.seed >= 0, 'the seed', self.seed, 'at least 0')
        for side in (*self.min_size, *self.max_size):
            _require(64 <= side <= 4096, 'the image side', side, '64 to 4096 pixels')
        if self.min_size[0] > self.max_size[0] or self.min_size[1] > self.max_size[1]:
            raise SyntheticDataError(
                f'the smallest image size {self.min_size} exceeds the largest {self.max_size}'
            )
        self._check_density()
        self._check_room()

    def _check_density(self) -> None:
        for name in ('classes_per_image', 'instances_per_image'):
            value = getattr(self, name)
            _require(value is None or 0.1 <= value <= 60, name, value, '0.1 to 60')
        _require(
            self.object_size is None or 0.02 <= self.object_size <= 0.5,
            'object_size',
            self.object_size,
            '0.02 to 0.5',
        )
        if self.density[1] < self.density[0]:
            raise SyntheticDataError(
                f'{self.density[1]:g} instances cannot show {self.density[0]:g} categories per '
                'image; raise instances_per_image or lower classes_per_image'
            )
        limits = self.frequency_limits
        if limits is not None and not 0 < limits[0] < limits[1]:
            raise SyntheticDataError(f'frequency limits {limits} must be positive and increasing')

    def _check_room(self) -> None:
        for split, images in (('train', self.train_images), ('val', self.val_images)):
            room = images * self.class_cap
            if self.categories > room:
                raise SyntheticDataError(
                    f'{self.categories} categories do not fit into {images} {split} images of at '
                    f'most {self.class_cap} categories each; take at least '
                    f'{math.ceil(self.categories / self.class_cap)} {split} images'
                )

    @property
    def mean_area(self) -> float:
        """Area of an average image in square pixels."""
        width = (self.min_size[0] + self.max_size[0]) / 2
        return width * (self.min_size[1] + self.max_size[1]) / 2

    @property
    def density(self) -> tuple[float, float]:
        """Mean (categories, instances) per image."""
        classes = self.classes_per_image or self._by_area(
            SMALL_CLASSES_PER_IMAGE, LVIS_CLASSES_PER_IMAGE
        )
        instances = self.instances_per_image or self._by_area(
            SMALL_INSTANCES_PER_IMAGE, LVIS_INSTANCES_PER_IMAGE
        )
        return min(classes, self.categories / 2), instances

    @property
    def median_object_size(self) -> float:
        """Median box side over the square root of the image area."""
        return self.object_size or self._by_area(SMALL_OBJECT_SIZE, LVIS_OBJECT_SIZE)

    @property
    def object_spread(self) -> float:
        """Standard deviation of the logarithm of the box side (1.0 in LVIS)."""
        return self._by_area(0.85, 1.0)

    @property
    def class_cap(self) -> int:
        """Most categories in one image."""
        return max(8, math.ceil(4 * self.density[0]))

    @property
    def crowd_cap(self) -> int:
        """Most instances of one category in one image."""
        return round(self._by_area(36, 60))

    def parameters(self) -> dict:
        """The options as JSON values, with the version of the generator."""
        return {'version': FORMAT_VERSION} | {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    def _by_area(self, small: float, large: float) -> float:
        """Log-interpolate a default between 192 x 160 and 640 x 480 images, constant outside."""
        position = math.log(self.mean_area / SMALL_AREA) / math.log(LVIS_AREA / SMALL_AREA)
        return small * (large / small) ** min(max(position, 0.0), 1.0)


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise SyntheticDataError(f'{name} must be {allowed}, not {value}')
