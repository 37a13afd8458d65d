"""Make COCO-LT: a long-tailed sample of COCO's training annotations, in LVIS format.

The 20 most frequent categories stay whole and the others shrink exponentially to 11 instances;
with --counts the target of every category comes from a table instead.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.light import import_light


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='COCO-format training file; it is not changed')
    parser.add_argument('dst', help='LVIS-format file to write')
    parser.add_argument(
        '--counts',
        metavar='FILE',
        help='JSON with {"categories": [{"name": ..., "instance_count": ...}, ...]}',
    )
    parser.add_argument('--seed', type=int, default=0, help='decides which annotations are dropped')
    parser.add_argument('--head', type=int, default=20, help='categories that stay whole')
    parser.add_argument('--tail-count', type=int, default=11, help='instances of the rarest one')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Sample and report; returns the exit code."""
    args = parse_args(argv)
    annotations = import_light('annotations')
    try:
        if args.seed < 0:
            raise ValueError(f'--seed {args.seed}: must be at least 0')
        counts = args.counts and annotations.read_json(args.counts)
        source = annotations.read_annotations(args.src)
        with annotations.naming(', '.join(filter(None, (args.src, args.counts)))):
            sampled, changes = annotations.make_coco_lt(
                source, args.seed, counts, args.head, args.tail_count
            )
        annotations.write_annotations(args.dst, sampled)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for change in changes:
        print(f'fixed: {change}')
    print(f'{args.dst}: {annotations.summary(sampled)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
