"""Annotation files in LVIS format with the statistics of LVIS v1 train, at any size.

The objects are invented; their number per image, their size, the points of their polygons and the
frequency of their categories follow a formula. The same arguments give the same bytes.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

# Goes into the names of the files: raise it whenever they would be different.
FORMAT = 1
LVIS_TRAIN_IMAGES = 100_170
NUM_CATEGORIES = 1203
BLOCK = 500  # images
URL = 'http://images.cocodataset.org/train2017/{:012d}.jpg'
SIZES = ((640, 480), (640, 427), (480, 640), (500, 375), (612, 612))

# Objects per image are log-normal: mean 12.7 with a long tail, at most 294.
_MEAN_OBJECTS, _OBJECTS_SIGMA, _MOST_OBJECTS = 12.7, 0.95, 294
# Boxes, as a share of the image: median 0.5 %, mean 3.6 %, 90th percentile 8.6 %.
_MEDIAN_BOX, _BOX_SIGMA, _LARGEST_BOX = 0.0066, 2.2, 0.75
_MEAN_POINTS, _POINTS_SIGMA = 29.3, 0.8  # of a polygon: 1.16 of them make 34 points per object
_SECOND_RING, _THIRD_RING = 0.13, 0.03
_MORE_CATEGORIES = 2.9  # per image, besides one
# Category of rank k is drawn in proportion to exp(-k / 160): as many rare, common and frequent
# ones as in LVIS, or nearly.
_TAIL = 160


def category_names() -> tuple[str, ...]:
    """Names of the categories, by increasing id, which counts from 1."""
    return tuple(f'category_{k + 1:04d}' for k in range(NUM_CATEGORIES))


def annotation_file(folder: Path, images: int, seed: int = 0) -> Path:
    """Path of the file with so many images, which need not exist."""
    return folder / f'lvis-like_v{FORMAT}_{images}_seed{seed}.json'


def write_annotation_file(folder: Path, images: int, seed: int = 0) -> Path:
    """Write the file unless it is there already; block by block, so that any size fits in memory.

    Args:
        folder: Where the files are kept; is made.
        images: How many images, 1 or more.
        seed: Of all that is random.

    Returns:
        Path of the file.
    """
    from tqdm import tqdm

    path = annotation_file(folder, images, seed)
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        with unfinished.open('wb') as file, tqdm(total=images, unit='image', desc=path.name) as bar:
            for part, done in _parts(images, seed):
                file.write(part)
                bar.update(done)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _parts(images: int, seed: int) -> Iterator[tuple[bytes, int]]:
    """Pieces of the text, each with the number of images it completes."""
    encode = msgspec.json.Encoder().encode
    categories = [
        dict(id=k + 1, name=name, synset=f'{name}.n.01') for k, name in enumerate(category_names())
    ]
    yield b'{"info":{},"categories":%s,"annotations":[' % encode(categories), 0
    image_records: list[bytes] = []
    number = 0
    for first in range(0, images, BLOCK):
        generator = np.random.RandomState([seed, first])
        annotations: list[dict] = []
        block = range(first, min(first + BLOCK, images))
        for place in block:
            image, objects = _draw_image(place, generator)
            image_records.append(encode(image))
            annotations.extend(objects)
        # LVIS does not keep the objects of an image together.
        order = generator.permutation(len(annotations)).tolist()
        for k in order:
            number += 1
            annotations[k]['id'] = number
        text = encode([annotations[k] for k in order])[1:-1]
        yield (b',' if number > len(order) > 0 else b'') + text, len(block)
    yield b'],"images":[' + b','.join(image_records) + b']}', 0


def _draw_image(place: int, generator: np.random.RandomState) -> tuple[dict, list[dict]]:
    width, height = SIZES[generator.randint(len(SIZES))]
    mean = np.log(_MEAN_OBJECTS) - _OBJECTS_SIGMA**2 / 2
    count = min(int(generator.lognormal(mean, _OBJECTS_SIGMA) + 0.5), _MOST_OBJECTS)
    present = np.unique(_draw_categories(generator, 1 + generator.poisson(_MORE_CATEGORIES)))
    # Every category that the image has at least once, then more of them.
    chosen = np.concatenate([present, generator.choice(present, count)])[:count]
    others = np.setdiff1d(_draw_categories(generator, 8), present)
    split = len(others) - len(others) // 4
    image_id = 3 * place + 1
    image = dict(
        id=image_id,
        width=width,
        height=height,
        coco_url=URL.format(image_id),
        date_captured='2013-11-14 17:02:52',
        neg_category_ids=(others[:split] + 1).tolist(),
        not_exhaustive_category_ids=(present[: len(others) // 4] + 1).tolist(),
    )
    objects = [
        dict(
            id=0, image_id=image_id, category_id=int(k) + 1, **_draw_shape(width, height, generator)
        )
        for k in chosen
    ]
    return image, objects


def _draw_categories(generator: np.random.RandomState, count: int) -> np.ndarray:
    """Categories by their frequency, independent of each other; not in the order of their ids."""
    rank = np.minimum(generator.exponential(_TAIL, count).astype(int), NUM_CATEGORIES - 1)
    # 7 and the number of categories have no common divisor.
    return rank * 7 % NUM_CATEGORIES


def _draw_shape(width: int, height: int, generator: np.random.RandomState) -> dict:
    """Polygons around a point, their box and area; pixels in hundredths, as LVIS writes them."""
    share = min(_MEDIAN_BOX * generator.lognormal(0, _BOX_SIGMA), _LARGEST_BOX)
    aspect = generator.lognormal(0, 0.4)
    w = min(max((share * width * height * aspect) ** 0.5, 2.0), width - 1.0)
    h = min(max((share * width * height / aspect) ** 0.5, 2.0), height - 1.0)
    x, y = generator.random_sample(2) * (width - w, height - h)
    draw = generator.random_sample()
    num_rings = 1 + (draw < _SECOND_RING) + (draw < _THIRD_RING)
    mean = np.log(_MEAN_POINTS) - _POINTS_SIGMA**2 / 2
    rings = []
    for ring in range(num_rings):
        points = max(int(generator.lognormal(mean, _POINTS_SIGMA) + 0.5), 3)
        angle = np.sort(generator.random_sample(points)) * (2 * np.pi)
        radius = 0.35 + 0.15 * generator.random_sample(points)
        around = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None] + 0.5
        # Rings of an object stand side by side.
        around[:, 0] = (around[:, 0] + ring) / num_rings
        rings.append(np.round(around * (w, h) + (x, y), 2))
    every = np.concatenate(rings)
    (left, top), (right, bottom) = every.min(0), every.max(0)
    box = np.round([left, top, max(right - left, 1.0), max(bottom - top, 1.0)], 2)
    return dict(
        bbox=box.tolist(),
        area=round(float(box[2] * box[3]) * 0.6, 2),
        segmentation=[ring.ravel().tolist() for ring in rings],
    )


def parse_args() -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(
        description='Write an annotation file with the statistics of LVIS v1 train.'
    )
    parser.add_argument('folder', type=Path, help='where to put it')
    parser.add_argument(
        '--scale', type=float, default=0.25, help='share of the images of LVIS v1 train'
    )
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    if args.scale * LVIS_TRAIN_IMAGES < 1 or args.seed < 0:
        parser.error('--scale must give at least one image, and --seed be 0 or more')
    return args


def main() -> int:
    """Entry point; prints the path."""
    args = parse_args()
    images = round(args.scale * LVIS_TRAIN_IMAGES)
    print(write_annotation_file(args.folder, images, args.seed))
    return 0


if __name__ == '__main__':
    sys.exit(main())
