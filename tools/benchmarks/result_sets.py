"""Grow an LVIS sample into a set of any size with detections, to evaluate evaluators on.

The images of the sample, with their annotations, are repeated under new ids. Detections are moved
and scaled annotations with scores in single precision, as a detector writes them. The same
arguments give the same bytes.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# Goes into the names of the files: raise it whenever they would be different.
FORMAT = 1
# Above every id of LVIS, so that copies of an image do not collide.
ID_STEP = 10_000_000
# Detections of an image in stock, as a multiple of what a copy of it draws from them.
STOCK = 4


@dataclass(frozen=True)
class ResultSet:
    """Where the two files of a set are."""

    ground_truth: Path
    results: Path


def result_set(folder: Path, images: int, detections: int, seed: int = 0) -> ResultSet:
    """The files of a set, which need not exist.

    Args:
        folder: Where sets are kept.
        images: How many images.
        detections: How many detections per image.
        seed: Of all that is random.
    """
    name = f'v{FORMAT}_{images}x{detections}_seed{seed}'
    return ResultSet(folder / f'{name}.gt.json', folder / f'{name}.dt.json')


def write_result_set(
    sample: Path, folder: Path, *, images: int, detections: int, seed: int = 0
) -> ResultSet:
    """Write a set unless it is there already.

    Args:
        sample: LVIS annotation file with polygons.
        folder: Where sets are kept; is made.
        images: How many images, 1 or more.
        detections: How many detections per image.
        seed: Of all that is random.

    Raises:
        ValueError: The sample has no images or no annotations.
    """
    from tqdm import tqdm

    files = result_set(folder, images, detections, seed)
    if files.ground_truth.is_file() and files.results.is_file():
        return files
    data = json.loads(sample.read_text())
    if not data['images'] or not data['annotations']:
        raise ValueError(f'{sample}: has no images or no annotations; nothing can be grown from it')
    folder.mkdir(parents=True, exist_ok=True)
    _write_atomically(files.ground_truth, _ground_truth_parts(data, images))
    with tqdm(total=images, unit='image', desc=files.results.name) as bar:
        _write_atomically(files.results, _result_parts(data, images, detections, seed, bar.update))
    return files


def _write_atomically(path: Path, parts: Iterator[str]) -> None:
    """Write a JSON list or object piece by piece; an interrupted file is not taken for a whole."""
    unfinished = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        with unfinished.open('w') as file:
            _write_parts(file, parts)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_parts(file: IO[str], parts: Iterator[str]) -> None:
    for part in parts:
        file.write(part)


def copied_id(original: int, copy: int) -> int:
    """Id of the ``copy``-th repetition of an image; the 0-th keeps its id."""
    return original + copy * ID_STEP


def _ground_truth_parts(data: dict, images: int) -> Iterator[str]:
    """The annotation file of ``images`` images; what is equal in all copies is encoded once."""
    others = {key: data[key] for key in data if key not in ('images', 'annotations')}
    yield json.dumps(others)[:-1]
    fields = [json.dumps({k: v for k, v in i.items() if k != 'id'})[1:] for i in data['images']]
    separator = ', "images": ['
    for copy, place in _repeated(len(fields), images):
        yield f'{separator}{{"id": {copied_id(data["images"][place]["id"], copy)}, {fields[place]}'
        separator = ', '
    owned = {image['id']: [] for image in data['images']}
    for annotation in data['annotations']:
        rest = {k: v for k, v in annotation.items() if k not in ('id', 'image_id')}
        owned[annotation['image_id']].append(json.dumps(rest)[1:])
    yield '], "annotations": ['
    separator, number = '', 0
    for copy, place in _repeated(len(fields), images):
        image_id = data['images'][place]['id']
        for rest in owned[image_id]:
            number += 1
            yield f'{separator}{{"id": {number}, "image_id": {copied_id(image_id, copy)}, {rest}'
            separator = ', '
    yield ']}'


def _repeated(length: int, count: int) -> Iterator[tuple[int, int]]:
    """``count`` pairs of copy and place, places in order from 0 to ``length - 1``, repeatedly."""
    return (divmod(number, length) for number in range(count))


def _result_parts(data, images, detections, seed, advance) -> Iterator[str]:
    """The result file, one piece per image; ``advance`` is called after each."""
    import numpy as np

    from tools.benchmarks.jittered_masks import MaskStock

    stocks: dict[int, MaskStock] = {}
    categories = np.array([category['id'] for category in data['categories']])
    separator = '['
    for copy, place in _repeated(len(data['images']), images):
        image = data['images'][place]
        if place not in stocks:
            rng = np.random.default_rng([seed, place, 0])
            stocks[place] = MaskStock.of_image(data, image, STOCK * detections, rng)
        rng = np.random.default_rng([seed, place, copy + 1])
        image_id = copied_id(image['id'], copy)
        lines = stocks[place].draw(detections, image_id, categories, rng)
        if lines:
            yield separator + ', '.join(lines)
            separator = ', '
        advance()
    yield '[]' if separator == '[' else ']'


def parse_args() -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('sample', type=Path, help='LVIS annotations (lvis_val_100.json)')
    parser.add_argument('out', type=Path, help='folder for the files')
    parser.add_argument('--images', type=int, default=1000, help='images (default: 1000)')
    parser.add_argument('--detections', type=int, default=300, help='per image (default: 300)')
    parser.add_argument('--seed', type=int, default=0, help='of all that is random (default: 0)')
    args = parser.parse_args()
    if args.images < 1 or args.detections < 0 or args.seed < 0:
        parser.error('--images must be 1 or more, --detections and --seed 0 or more')
    return args


def main() -> int:
    """Entry point; returns the exit code."""
    args = parse_args()
    try:
        files = write_result_set(
            args.sample,
            args.out,
            images=args.images,
            detections=args.detections,
            seed=args.seed,
        )
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'{files.ground_truth}\n{files.results}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
