"""Convert any COCO-format annotation file to LVIS format, or repair a file in LVIS format.

Computes image and instance counts and frequency groups, turns COCO's exhaustive annotation into
verified negatives, moves crowd regions aside, and prints one line per class of repair.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.light import import_light


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='COCO-format file (.json or .json.gz); it is not changed')
    parser.add_argument('dst', help='LVIS-format file to write (.json or .json.gz)')
    parser.add_argument(
        '--frequency-from',
        metavar='TRAIN.json',
        help='training file whose category counts and groups a validation file gets',
    )
    parser.add_argument(
        '--rare-max', type=int, default=10, help='most training images of a rare category'
    )
    parser.add_argument(
        '--common-max', type=int, default=100, help='most training images of a common category'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Convert and report; returns the exit code."""
    args = parse_args(argv)
    annotations = import_light('annotations')
    try:
        if os.path.realpath(args.src) == os.path.realpath(args.dst):
            raise ValueError(f'{args.dst}: the source would be overwritten; name another file')
        training = args.frequency_from and annotations.read_annotations(args.frequency_from)
        source = annotations.read_annotations(args.src)
        with annotations.naming(args.src):
            converted, changes = annotations.convert_to_lvis(
                source,
                frequency_from=training,
                rare_max=args.rare_max,
                common_max=args.common_max,
            )
        annotations.write_annotations(args.dst, converted)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for change in changes:
        print(f'fixed: {change}')
    print(f'{args.dst}: {annotations.summary(converted)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
