"""Finished chunks of a data set on disk, so that an interrupted run loses only the last ones."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .annotate import annotation_records, image_file, image_record
from .options import SyntheticOptions
from .plan import ImagePlan
from .render import render_scene
from .scene import build_scene

JPEG_QUALITY = 92


@dataclass(frozen=True)
class Chunk:
    """A run of consecutive images, the unit of work of a process.

    Args:
        root: output folder of the data set.
        split: 'train' or 'val'.
        number: position among the chunks of the split.
        plans: the images.
        options: options of the whole data set.
    """

    root: Path
    split: str
    number: int
    plans: list[ImagePlan]
    options: SyntheticOptions

    @property
    def part(self) -> Path:
        """File whose presence says that the chunk is complete."""
        return part_file(self.root, self.split, self.number)


def part_file(root: Path, split: str, number: int) -> Path:
    """Where the records of a chunk are kept until all are there."""
    return root / '.parts' / f'{split}_{number:05d}.jsonl'


def make_chunk(chunk: Chunk) -> int:
    """Write the images of a chunk, then its records; returns the number of images."""
    images, annotations = [], []
    for plan in chunk.plans:
        scene = build_scene(plan, chunk.split, chunk.options)
        if not chunk.options.annotations_only:
            pixels = render_scene(scene, chunk.split, plan.index, chunk.options)
            _write_image(chunk.root / image_file(chunk.split, plan.image_id), pixels)
        records = annotation_records(plan, scene)
        present = {record['category_id'] for record in records}
        images.append(image_record(plan, scene, chunk.split, present))
        annotations.extend(records)
    _write_part(chunk.part, images, annotations)
    return len(chunk.plans)


@dataclass(frozen=True)
class PartHeader:
    """What a part holds: its sizes, and images and instances per category id."""

    images: int
    annotations: int
    image_count: Counter[int]
    instance_count: Counter[int]


def read_header(part: Path) -> PartHeader:
    """First line of a part."""
    with part.open(encoding='utf-8') as file:
        head = json.loads(file.readline())
    counts = (
        Counter({int(key): value for key, value in head[name].items()})
        for name in ('image_count', 'instance_count')
    )
    return PartHeader(head['images'], head['annotations'], *counts)


def read_images(part: Path) -> Iterator[str]:
    """JSON text of the image records of a part."""
    with part.open(encoding='utf-8') as file:
        head = json.loads(file.readline())
        for _ in range(head['images']):
            yield file.readline().rstrip('\n')


def read_annotations(part: Path) -> Iterator[str]:
    """JSON text of the annotation records of a part, without ids."""
    with part.open(encoding='utf-8') as file:
        head = json.loads(file.readline())
        for _ in range(head['images']):
            file.readline()
        for line in file:
            yield line.rstrip('\n')


def write_atomically(path: Path, lines: Iterator[str]) -> None:
    """Write a text file that is either complete or absent, also after a power cut."""
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        with temporary.open('w', encoding='utf-8') as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def compact_json(value: object) -> str:
    """JSON without blanks."""
    return json.dumps(value, separators=(',', ':'))


def _write_part(path: Path, images: list[dict], annotations: list[dict]) -> None:
    pairs = {(record['image_id'], record['category_id']) for record in annotations}
    header = {
        'images': len(images),
        'annotations': len(annotations),
        'image_count': Counter(category for _, category in pairs),
        'instance_count': Counter(record['category_id'] for record in annotations),
    }
    records = [header, *images, *annotations]
    write_atomically(path, (compact_json(record) + '\n' for record in records))


def _write_image(path: Path, pixels: np.ndarray) -> None:
    # Not atomic: the part is written after its images, without it all of them are made again.
    _, encoded = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    path.write_bytes(encoded.tobytes())
