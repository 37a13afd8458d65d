"""Generate the built-in long-tailed data set in LVIS v1 format."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options that were given; the others are left to the defaults of `SyntheticOptions`."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='An interrupted run is continued by the same command; a finished set with the same '
        'options is left as it is. The files depend on the options alone, not on the workers.',
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add('out', type=Path, metavar='OUT', help='output folder')
    add('--categories', type=int, metavar='N', help='number of categories (default: 24)')
    add('--train-images', type=int, metavar='N', help='images to train on (default: 400)')
    add('--val-images', type=int, metavar='N', help='images to validate on (default: 80)')
    add(
        '--size',
        type=int,
        nargs='+',
        metavar='PX',
        help='width and height in pixels, or smallest width and height followed by the largest '
        '(default: 192 160)',
    )
    add('--seed', type=int, metavar='N', help='seed of all choices (default: 0)')
    add(
        '--classes-per-image',
        type=float,
        metavar='X',
        help='mean number of categories per image (default: by size, 2.8 at 192 x 160 to 3.6 at '
        '640 x 480 as in LVIS)',
    )
    add(
        '--instances-per-image',
        type=float,
        metavar='X',
        help='mean number of objects per image (default: by size, 6 to 12.7)',
    )
    add(
        '--object-size',
        type=float,
        metavar='X',
        help='median box side over the square root of the image area (default: by size)',
    )
    add(
        '--frequency-limits',
        type=int,
        nargs=2,
        metavar=('RARE', 'COMMON'),
        help='most train images of a rare and of a common category (default: N ** 0.2 and '
        'N ** 0.4 of N train images, which is 10 and 100 for as many as LVIS has)',
    )
    add('--annotations-only', action='store_true', help='the same annotations without the images')
    add('--workers', type=int, metavar='N', default=None, help='processes (default: one per core)')
    add(
        '--overwrite',
        action='store_true',
        default=False,
        help='delete an earlier output in OUT and start anew',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    given = vars(parse_args(argv))
    from tools.data.synthetic import SyntheticDataError, SyntheticOptions, generate_dataset

    out, workers, overwrite = given.pop('out'), given.pop('workers'), given.pop('overwrite')
    try:
        if 'size' in given:
            given |= _size_range(given.pop('size'))
        if 'frequency_limits' in given:
            given['frequency_limits'] = tuple(given['frequency_limits'])
        dataset = generate_dataset(
            out, SyntheticOptions(**given), workers=workers, overwrite=overwrite
        )
    except (SyntheticDataError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('interrupted; the same command continues where it stopped', file=sys.stderr)
        return 130
    print(f'{dataset.root}: {"exists, nothing to do" if dataset.was_there else "finished"}')
    return 0


def _size_range(values: list[int]) -> dict[str, tuple[int, int]]:
    from tools.data.synthetic import SyntheticDataError

    if len(values) not in (2, 4):
        raise SyntheticDataError(f'--size takes 2 or 4 numbers, not {len(values)}')
    return {'min_size': tuple(values[:2]), 'max_size': tuple(values[-2:])}


if __name__ == '__main__':
    sys.exit(main())
