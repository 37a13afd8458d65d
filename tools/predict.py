"""Find the objects in images: pictures with their outlines and names, and JSON files.

Writes OUT_DIR/pictures/NAME and OUT_DIR/predictions/NAME.json, one of each per image: file_name,
height, width and detections, each with category_id (label + 1), category_name, score, bbox
(x, y, width, height) and segmentation (run-length code), as in COCO and LVIS results.
"""

import argparse
import hashlib
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import DictAction

if TYPE_CHECKING:
    import numpy as np

    from mmdet.structures import DetDataSample
    from plugins.inference import ImageFile, InstanceInferencer, OutputFiles


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'images',
        nargs='+',
        metavar='IMAGES',
        help='image files, folders (with all below them) or quoted patterns such as "a/**/*.jpg"',
    )
    parser.add_argument('config', metavar='CONFIG', help='config file of the model')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='its weights')
    parser.add_argument('--out-dir', default='outputs', help='default: outputs')
    parser.add_argument(
        '--score-thr',
        nargs='+',
        default=['0.3'],
        metavar='X',
        help='lowest score of what is shown and written: a number for all categories, or NAME=0.5 '
        'for some and default=0.3 for the others (default: 0.3)',
    )
    parser.add_argument('--max-per-img', type=int, help='detections per image (default: config)')
    parser.add_argument('--batch-size', type=int, default=1, help='images at a time (default: 1)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    parser.add_argument('--no-pictures', action='store_true', help='write JSON files alone')
    parser.add_argument('--no-json', action='store_true', help='write pictures alone')
    parser.add_argument(
        '--resume', action='store_true', help='leave out images whose files are in OUT_DIR'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, as in tools/test.py',
    )
    args = parser.parse_intermixed_args(argv)  # options may stand between the others
    if args.batch_size < 1:
        parser.error('--batch-size must be 1 or more')
    args.launcher, args.work_dir = 'none', None  # as load_experiment wants them
    return args


def build(args: argparse.Namespace) -> 'tuple[InstanceInferencer, np.ndarray, dict]':
    """The model with its pipeline, the score threshold of every category, and the settings.

    The settings are what the files of a run depend on; those of others may not be among them.
    """
    from plugins.inference import (
        InstanceInferencer,
        read_thresholds,
        thresholds_by_label,
        use_lowest_threshold,
    )
    from plugins.runtime import limit_detections, load_experiment
    from plugins.test_time import use_test_time_augmentation

    given = read_thresholds(args.score_thr)
    cfg = load_experiment(args)
    if args.tta:
        use_test_time_augmentation(cfg)
    limit_detections(cfg, max_per_img=args.max_per_img)
    model = repr([cfg.model, cfg.test_dataloader.dataset.pipeline])
    use_lowest_threshold(cfg, min(given.values()))
    inferencer = InstanceInferencer(cfg, args.checkpoint, device=args.device)
    settings = {
        'model config': hashlib.sha256(model.encode()).hexdigest(),
        'checkpoint': describe_file(args.checkpoint),
        '--score-thr': given,
    }
    thresholds = thresholds_by_label(given, inferencer.model.dataset_meta['classes'])
    return inferencer, thresholds, settings


def describe_file(path: str) -> list:
    """What changes when a file does; of an address on the web, the address."""
    if not os.path.isfile(path):
        return [path]
    stat = os.stat(path)
    return [os.path.abspath(path), stat.st_size, stat.st_mtime_ns]


def load(
    inferencer: 'InstanceInferencer', images: 'list[ImageFile]'
) -> 'list[tuple[ImageFile, np.ndarray, dict]]':
    """Images that can be read, with their pixels and what the model takes; names the others."""
    import cv2
    from tqdm import tqdm

    from plugins.errors import UserError
    from plugins.inference import read_image

    loaded = []
    for image in images:
        try:
            pixels = read_image(image.path)
            loaded.append((image, pixels, inferencer.pipeline(pixels)))
        except UserError as error:
            tqdm.write(f'error: {error}', file=sys.stderr)
        except cv2.error as error:
            shape = 'x'.join(map(str, pixels.shape[1::-1]))
            reason = f'its {shape} pixels cannot be resized ({error.err})'
            tqdm.write(f'error: {image.path}: {reason}', file=sys.stderr)
    return loaded


def write(
    inferencer: 'InstanceInferencer',
    outputs: 'OutputFiles',
    image: 'ImageFile',
    pixels: 'np.ndarray',
    sample: 'DetDataSample',
    thresholds: 'np.ndarray',
) -> None:
    """Write the picture and the JSON file of an image."""
    from plugins.inference import choose, prediction_record

    found = sample.pred_instances = choose(sample.pred_instances, thresholds)
    if outputs.pictures:
        drawing = inferencer.visualizer
        drawing.add_datasample(
            image.name, pixels[..., ::-1], sample, draw_gt=False, pred_score_thr=-1
        )
        outputs.write_picture(image, drawing.get_image()[..., ::-1])
    if outputs.predictions:
        names = inferencer.model.dataset_meta['classes']
        record = prediction_record(image.path, pixels.shape[:2], found, names)
        outputs.write_record(image, record)


def predict(args: argparse.Namespace) -> int:
    """Write the files of all images; returns how many images failed."""
    from tqdm import tqdm

    from plugins.inference import OutputFiles, find_images

    outputs = OutputFiles(args.out_dir, pictures=not args.no_pictures, predictions=not args.no_json)
    images = find_images(args.images, leave_out=args.out_dir)
    inferencer, thresholds, settings = build(args)
    outputs.open(settings, images, resume=args.resume)
    left = [image for image in images if not (args.resume and outputs.is_done(image))]
    failed = 0
    with tqdm(total=len(images), initial=len(images) - len(left), unit='image') as bar:
        for start in range(0, len(left), args.batch_size):
            batch = left[start : start + args.batch_size]
            loaded = load(inferencer, batch)
            failed += len(batch) - len(loaded)
            if loaded:
                data = inferencer.collate_fn([sample for _, _, sample in loaded])
                samples = inferencer.forward(data)
                for (image, pixels, _), sample in zip(loaded, samples, strict=True):
                    write(inferencer, outputs, image, pixels, sample, thresholds)
            bar.update(len(batch))
    print(f'{len(images) - failed} of {len(images)} images are done, see {args.out_dir}')
    return failed


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parse_args(argv)
    import plugins  # noqa: F401  before mmdet: it stands in for mmcv's compiled module
    from plugins.runtime import report_user_errors

    # Objects that touch the border are the rule: the visualizer need not report each.
    warnings.filterwarnings('ignore', message='Warning: The (bbox|polygon|text) is out of bounds')
    with report_user_errors(after_interrupt='--resume goes on with the images that are left'):
        return 1 if predict(args) else 0


if __name__ == '__main__':
    sys.exit(main())
