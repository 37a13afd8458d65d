"""Check an annotation file and its images: one line per class of problem, exit code 1 if any.

Errors would stop a training run; warnings would not, but something is lost or doubtful.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.light import import_light

_COCO_FOLDERS = {'train2017', 'val2017'}
_IMAGE_FAULTS = {
    'missing': ('image', 'missing', 'copy the files or correct the names'),
    'empty': ('image', 'of 0 bytes', 'copy the files again'),
    'truncated': ('image', 'truncated', 'copy the files again'),
    'undecodable': ('image', 'that cannot be decoded', 'replace the files'),
    'size': (
        'image',
        'of another size than annotated',
        'wrong files, or width and height are swapped or ignore the EXIF orientation',
    ),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('ann', help='annotation file in LVIS or COCO format')
    parser.add_argument(
        '--images', metavar='DIR', help='image folder; for LVIS v1 the one above train2017, val2017'
    )
    parser.add_argument('--deep', action='store_true', help='decode every image')
    parser.add_argument('--threads', type=int, default=8, help='images looked at in parallel')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Check and print; returns the exit code."""
    args = parse_args(argv)
    annotations = import_light('annotations')
    try:
        if args.images is not None and not os.path.isdir(args.images):
            raise ValueError(f'{args.images}: no such image folder; correct --images')
        data = annotations.read_annotations(args.ann)
        problems = annotations.find_problems(data, thorough=True)
        if args.images is not None:
            problems += _image_problems(annotations, data, args)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for found in problems:
        print(f'{"error" if found.fatal else "warning"} [{found.code}]: {found}')
    for note in _notes(data):
        print(f'note: {note}')
    verdict = f'FAILED ({len(problems)} above)' if problems else 'OK'
    print(f'{verdict}: {annotations.summary(data)}')
    return 1 if problems else 0


def _image_problems(annotations, data: dict, args: argparse.Namespace) -> list:
    paths, sizes = [], []
    for record in data['images']:
        try:
            paths.append(annotations.image_path(record, args.images))
        except annotations.AnnotationError:
            continue  # the structure check has named it
        sizes.append((record['width'], record['height']))
    faults = annotations.find_unreadable(paths, sizes, deep=args.deep, threads=args.threads)
    problems = [_missing_folders(annotations, paths, faults, args.images)]
    for code, (noun, what, remedy) in _IMAGE_FAULTS.items():
        places = [
            f'{fault.path} ({fault.detail})' if fault.detail else fault.path
            for fault in faults
            if fault.code == code
        ]
        problems.append(annotations.problem(f'image-{code}', places, noun, what, remedy=remedy))
    return [found for found in problems if found is not None]


def _missing_folders(annotations, paths: Iterable[str], faults: list, folder: str):
    lost = Counter(fault.detail for fault in faults if fault.code == 'missing-folder')
    needed = Counter(os.path.dirname(path) for path in paths)
    names = {os.path.basename(path) for path in lost}
    remedy = f'put the files below {folder}'
    if names & _COCO_FOLDERS:
        counts = ((os.path.basename(path), count) for path, count in sorted(needed.items()))
        wanted = ' and '.join(f'{name} (images: {count:,})' for name, count in counts)
        remedy = (
            f'this file needs {wanted} below {folder}; LVIS draws on both COCO folders, and LVIS '
            'val needs train2017 and val2017'
        )
        if os.path.basename(os.path.abspath(folder)) in _COCO_FOLDERS:
            remedy += (
                f'; give the folder above, --images {os.path.dirname(os.path.abspath(folder))}'
            )
    return annotations.problem(
        'missing-folder',
        [f'{path} (images: {count:,})' for path, count in sorted(lost.items())],
        'image folder',
        'missing',
        remedy=remedy,
    )


def _notes(data: dict) -> list[str]:
    notes = []
    has_lists = all('neg_category_ids' in record for record in data['images'])
    has_groups = all('frequency' in record for record in data['categories'])
    if not (has_lists and has_groups):
        notes.append(
            'not in LVIS format (frequency groups or federated lists are missing); the LVIS '
            'protocol needs them, convert it with tools/data/coco_to_lvis.py'
        )
    crowds = sum(bool(record.get('iscrowd')) for record in data['annotations'])
    if crowds:
        notes.append(f'{crowds:,} crowd regions; tools/data/coco_to_lvis.py moves them aside')
    return notes


if __name__ == '__main__':
    sys.exit(main())
