"""Images with instances whose sizes, outlines and numbers follow those of LVIS.

Of the boxes of LVIS the median covers 0.5 % of the image, the mean 3.6 % and the 90th percentile
8.6 %; an object has 34 corners in 1.16 rings, an image 12.7 objects.
"""

from pathlib import Path

import cv2
import numpy as np

IMAGE_SIZES = ((480, 640), (640, 427))
"""Height, width of the usual images of COCO."""

NUM_CATEGORIES = 1203
MEAN_OBJECTS = 12.7
MEDIAN_AREA = 0.005
AREA_SPREAD = 2.15
"""Standard deviation of the logarithm of a box's share of the image."""
SECOND_RING = 0.16
GRAIN = 0.4
"""How fast the noise of a photograph fades with its fineness."""
FEWEST_CORNERS = 6
MEAN_CORNERS = 29


def draw_samples(folder: Path, count: int, seed: int = 0) -> list[dict]:
    """Records as `LVISFormatDataset` gives them, of photographs that are made up.

    Args:
        folder: where the JPEG files are written.
        count: of images.
        seed: of all that is random.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for i, num_objects in enumerate(draw_counts(rng, count)):
        height, width = IMAGE_SIZES[i % len(IMAGE_SIZES)]
        path = Path(folder, f'{i:06d}.jpg')
        cv2.imwrite(str(path), draw_photo(rng, height, width))
        samples.append(
            dict(
                img_id=i,
                img_path=str(path),
                height=height,
                width=width,
                instances=draw_instances(rng, height, width, num_objects),
                neg_labels=[],
                not_exhaustive_labels=[],
            )
        )
    return samples


def draw_counts(rng: np.random.Generator, count: int) -> list[int]:
    """Objects per image, from each part of the distribution as often, so that few images do."""
    quantiles = (rng.permutation(count) + 0.5) / count
    counts = np.ceil(np.log1p(-quantiles) / np.log1p(-1 / MEAN_OBJECTS))
    return counts.astype(int).tolist()


def draw_photo(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise of all scales, coarse ones strongest, as in photographs: uint8 (height, width, 3).

    Its JPEG files have the size of those of photographs, about 0.45 bytes per pixel.
    """
    image = np.zeros((height, width, 3), np.float32)
    for octave in range(9):
        cells = 2 ** (octave + 1)
        noise = rng.normal(0, 60 / cells**GRAIN, (cells, cells, 3)).astype(np.float32)
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image + 120, 0, 255).astype(np.uint8)


def draw_instances(rng: np.random.Generator, height: int, width: int, count: int) -> list[dict]:
    """Instances of one image, with boxes (x1, y1, x2, y2) and polygons in pixels."""
    instances = []
    for _ in range(count):
        outline = draw_outline(rng, height, width)
        corners = np.concatenate([np.reshape(ring, (-1, 2)) for ring in outline])
        instances.append(
            dict(
                bbox=[*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()],
                bbox_label=int(rng.integers(NUM_CATEGORIES)),
                ignore_flag=0,
                mask=outline,
            )
        )
    return instances


def draw_outline(rng: np.random.Generator, height: int, width: int) -> list[list[float]]:
    """Rings (x, y, x, y, ...) of one object, in hundredths of a pixel as LVIS rounds them."""
    share = min(MEDIAN_AREA * np.exp(rng.normal(0, AREA_SPREAD)), 0.95)
    aspect = np.exp(rng.normal(0, 0.5))
    frame = np.array([width, height])
    sides = np.clip(np.sqrt(share * height * width) * np.array([aspect, 1 / aspect]), 3, frame)
    corner = rng.uniform(0, frame - sides)
    num_rings = 1 + (rng.random() < SECOND_RING)
    return [_draw_ring(rng, corner, sides, part, num_rings) for part in range(num_rings)]


def _draw_ring(
    rng: np.random.Generator, corner: np.ndarray, sides: np.ndarray, part: int, num_parts: int
) -> list[float]:
    """A ring that fills its part of the object's box, the parts side by side."""
    num_corners = FEWEST_CORNERS + int(rng.geometric(1 / (MEAN_CORNERS - FEWEST_CORNERS)))
    angles = np.linspace(0, 2 * np.pi, num_corners, endpoint=False)
    waves = sum(
        rng.normal(0, 0.25 / k) * np.cos(k * angles + rng.uniform(0, 2 * np.pi))
        for k in range(2, 6)
    )
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.exp(waves)[:, None]
    points = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    points[:, 0] = (points[:, 0] + part) / num_parts
    return (corner + points * sides).round(2).ravel().tolist()


def draw_proposals(
    rng: np.random.Generator, instances: list[dict], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes that an RPN could have found: those of the instances, moved and scaled a little.

    Returns:
        float32 (count, 4), x1, y1, x2, y2, and int64 (count,), index of the instance of each.
    """
    objects = rng.integers(len(instances), size=count)
    boxes = np.array([instance['bbox'] for instance in instances])[objects]
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return (boxes + rng.normal(0, 0.08, boxes.shape) * sides).astype(np.float32), objects
