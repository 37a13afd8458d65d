"""Draw what a config's data pipeline feeds the model: images, boxes, masks and category names."""

import argparse
import itertools
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from mmengine.config import Config, DictAction

from tools.sample_pictures import (
    Originals,
    annotations_follow_resize,
    contact_sheet,
    draw,
    side_by_side,
    thumbnail,
)

if TYPE_CHECKING:
    from torch.utils.data import Dataset

GRID_LIMIT = 36  # pictures on the contact sheet


def build_dataset(config: Config, phase: str) -> 'Dataset':
    """The data set of ``{phase}_dataloader``, wrappers and pipeline included."""
    from mmengine.registry import init_default_scope

    from mmdet.registry import DATASETS
    from plugins.errors import UserError

    loader = config.get(f'{phase}_dataloader')
    if not loader:
        raise UserError(f'{config.filename} has no {phase}_dataloader; choose another --phase')
    init_default_scope(config.get('default_scope', 'mmdet'))
    dataset = DATASETS.build(loader.dataset)
    if len(dataset) == 0:
        raise UserError(f'{config.filename}: the data set of {phase}_dataloader has no image')
    return dataset


def sample_order(config: Config, dataset: 'Dataset', args: argparse.Namespace) -> list[int]:
    """Indices to draw: in order of the data set, or as the data loader's sampler draws them.

    Each has the seed of its random numbers: with ``--sampled`` that of training, which depends on
    the place in the epoch, otherwise one of its own, whatever else is drawn.
    """
    from plugins.datasets.seeded_index import SeededDraws, SeededIndex

    indices = (SeededIndex(index, (args.seed, 0, index)) for index in range(len(dataset)))
    if args.sampled:
        from mmdet.registry import DATA_SAMPLERS

        sampler = config[f'{args.phase}_dataloader'].sampler
        options = {'dataset': dataset, 'seed': args.seed}
        indices = SeededDraws(DATA_SAMPLERS.build(sampler, default_args=options))
    # Infinite samplers exist: never more than the data set has unless asked for.
    return list(itertools.islice(indices, args.number or len(dataset)))


def pictures(config: Config, args: argparse.Namespace) -> Iterator[tuple[str, np.ndarray]]:
    """File name and RGB picture of one sample after the other."""
    from mmengine.runner import set_random_seed
    from tqdm import tqdm

    from plugins.datasets.seeded_index import seeded
    from plugins.errors import UserError
    from plugins.visualization import bare_visualizer

    # Objects that touch the border are the rule: the visualizer need not report each.
    warnings.filterwarnings('ignore', message='Warning: The (bbox|polygon) is out of bounds')
    set_random_seed(args.seed)
    dataset = build_dataset(config, args.phase)
    visualizer = bare_visualizer(config, dataset.metainfo)
    in_file_pixels = annotations_follow_resize(dataset)
    originals = Originals(dataset) if args.mode != 'transformed' else None
    order = sample_order(config, dataset, args)
    for position, index in enumerate(tqdm(order, desc='drawing', unit='image')):
        with seeded(index):  # stock data sets take the seeded index for a plain one
            sample = dataset[index]
        path = sample['data_samples'].get('img_path')
        if path is None:
            raise UserError("PackDetInputs must pack 'img_path': name it in its meta_keys")
        picture = draw(visualizer, sample, in_file_pixels=in_file_pixels)
        if originals is not None:
            original = draw(visualizer, originals.load(path))
            picture = side_by_side(original, picture) if args.mode == 'concat' else original
        # The position keeps apart what has the same file name: repeats, and other folders.
        yield f'{position:06d}_{Path(path).stem}.jpg', picture


def has_display() -> bool:
    """Whether a window can be opened."""
    if sys.platform in ('win32', 'darwin'):
        return True
    return bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))


def browse(config: Config, args: argparse.Namespace) -> int:
    """Show and write the pictures that ``args`` ask for; returns how many."""
    import mmcv
    from mmengine.visualization import Visualizer

    from plugins.errors import UserError

    shows = not args.not_show and has_display()
    if not shows and not args.output_dir:
        raise UserError('there is no display, or --not-show: name a folder with --output-dir')
    window = Visualizer() if shows else None
    thumbnails, count = [], 0
    for name, picture in pictures(config, args):
        count += 1
        if args.output_dir:
            mmcv.imwrite(picture[..., ::-1], str(Path(args.output_dir, name)))
        if window is not None:
            window.show(picture, win_name=name, wait_time=args.show_interval)
        if args.grid and len(thumbnails) < GRID_LIMIT:
            thumbnails.append(thumbnail(picture))
    if thumbnails and args.output_dir:
        sheet = contact_sheet(thumbnails)[..., ::-1]
        mmcv.imwrite(sheet, str(Path(args.output_dir, 'grid.jpg')))
    return count


def parse_args() -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(
        description='Draw what the data pipeline of a config feeds the model.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--output-dir', help='folder to write one JPEG per sample to')
    parser.add_argument('--not-show', action='store_true', help='open no window')
    parser.add_argument(
        '--show-interval', type=float, default=2, help='seconds per window (default: 2)'
    )
    parser.add_argument(
        '--phase', choices=('train', 'val', 'test'), default='train', help='default: train'
    )
    parser.add_argument(
        '--mode',
        choices=('transformed', 'original', 'concat'),
        default='transformed',
        help='after the pipeline, before any augmentation, or both side by side '
        '(default: transformed)',
    )
    parser.add_argument(
        '--number', type=int, help='samples to draw (default: as many as there are)'
    )
    parser.add_argument(
        '--sampled',
        action='store_true',
        help="draw samples in the order of the data loader's sampler, repeats included",
    )
    parser.add_argument('--seed', type=int, default=0, help='of the augmentations (default: 0)')
    parser.add_argument(
        '--grid',
        action='store_true',
        help=f'also write grid.jpg, a contact sheet of the first {GRID_LIMIT}, to --output-dir',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings that replace those of the config; lists as key="[a,b]" or key=a,b',
    )
    return parser.parse_args()


def main() -> int:
    """Entry point; returns the exit code."""
    args = parse_args()
    import plugins  # noqa: F401  before mmdet: it stands in for mmcv's compiled module
    from plugins.errors import UserError
    from plugins.runtime import report_user_errors

    with report_user_errors():
        if not Path(args.config).is_file():
            raise UserError(f'config {args.config} does not exist')
        config = Config.fromfile(args.config)
        if args.cfg_options:
            config.merge_from_dict(args.cfg_options)
        count = browse(config, args)
    if args.output_dir:
        print(f'{count} pictures in {args.output_dir}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
