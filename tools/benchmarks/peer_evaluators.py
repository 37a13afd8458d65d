"""Run one public evaluator on LVIS files and print its numbers; the other side of the benchmarks.

Meant to run in a process of its own, with the interpreter of the environment that has the
evaluator; needs nothing but the standard library and that evaluator.
"""

import argparse
import contextlib
import json
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable

KEYS = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf')


def lvis_api(ground_truth: str, results: str, iou: str) -> dict[str, float]:
    """lvis-api 0.5.3, the reference."""
    import numpy as np

    # The release was written for numpy before 1.24.
    np.float = float
    from lvis import LVISEval

    evaluation = LVISEval(ground_truth, results, iou)
    evaluation.run()
    return evaluation.get_results()


def boundary_iou_api(ground_truth: str, results: str, iou: str) -> dict[str, float]:
    """The boundary fork of lvis-api by the authors of boundary IoU."""
    import numpy as np

    np.float = float
    from boundary_iou.lvis_instance_api.eval import LVISEval

    evaluation = LVISEval(ground_truth, results, iou, dilation_ratio=0.02)
    evaluation.run()
    return evaluation.get_results()


def mmdet_metric(ground_truth: str, results: str, iou: str) -> dict[str, float]:
    """``LVISMetric`` of mmdet, from predictions in the form in which it keeps them."""
    import numpy as np

    np.float = float
    from pycocotools import mask as mask_api

    import plugins  # noqa: F401  stands in for mmcv's compiled operators
    from mmdet.evaluation import LVISMetric

    metric = LVISMetric(ann_file=ground_truth, metric=iou)
    label = {category: index for index, category in enumerate(metric._lvis_api.get_cat_ids())}
    with open(results) as file:
        detections = json.load(file)
    images = defaultdict(list)
    for detection in detections:
        images[detection['image_id']].append(detection)
    predictions = []
    for image_id, found in images.items():
        masks = [detection['segmentation'] for detection in found]
        boxes = mask_api.toBbox(masks)
        boxes[:, 2:] += boxes[:, :2]
        prediction = dict(
            img_id=image_id,
            bboxes=boxes,
            scores=np.array([detection['score'] for detection in found]),
            labels=np.array([label[detection['category_id']] for detection in found]),
            masks=[{**mask, 'counts': mask['counts'].encode()} for mask in masks],
        )
        predictions.append(({}, prediction))
    numbers = metric.compute_metrics(predictions)
    return {key.removeprefix(f'{iou}_'): value for key, value in numbers.items()}


def faster_coco_eval(ground_truth: str, results: str, iou: str) -> dict[str, float]:
    """faster-coco-eval in LVIS style; it fails where an image keeps no result, so filter before."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(ground_truth)
    evaluated = {(a['image_id'], a['category_id']) for a in truth.dataset['annotations']}
    for image in truth.dataset['images']:
        evaluated |= {(image['id'], category) for category in image['neg_category_ids']}
    with open(results) as file:
        detections = json.load(file)
    kept = [d for d in detections if (d['image_id'], d['category_id']) in evaluated]
    evaluation = COCOeval_faster(
        truth, truth.loadRes(kept), iou, lvis_style=True, print_function=lambda *_: None
    )
    evaluation.params.maxDets = [300]
    evaluation.run()
    names = {'AP_all': 'AP', 'AP_50': 'AP50', 'AP_75': 'AP75'}
    sizes = {'AP_small': 'APs', 'AP_medium': 'APm', 'AP_large': 'APl'}
    return {{**names, **sizes}.get(key, key): v for key, v in evaluation.stats_as_dict.items()}


def hotcoco(ground_truth: str, results: str, iou: str) -> dict[str, float]:
    """hotcoco (Rust) in LVIS style."""
    import hotcoco

    truth = hotcoco.COCO(ground_truth)
    evaluation = hotcoco.LVISeval(truth, hotcoco.LVISResults(truth, results), iou)
    evaluation.run()
    return evaluation.get_results()


PEERS: dict[str, Callable[[str, str, str], dict[str, float]]] = {
    'lvis-api': lvis_api,
    'mmdet': mmdet_metric,
    'faster-coco-eval': faster_coco_eval,
    'hotcoco': hotcoco,
    'boundary-iou-api': boundary_iou_api,
}


def parse_args() -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('peer', choices=sorted(PEERS), help='the evaluator')
    parser.add_argument('ground_truth', help='LVIS annotation file')
    parser.add_argument('results', help='result file')
    parser.add_argument('--iou', default='segm', choices=('segm', 'bbox', 'boundary'))
    return parser.parse_args()


def main() -> int:
    """Entry point; returns the exit code."""
    args = parse_args()
    begin = time.perf_counter()
    # What the peers print must not mix with the numbers.
    logging.disable(logging.WARNING)
    with contextlib.redirect_stdout(sys.stderr):
        numbers = PEERS[args.peer](args.ground_truth, args.results, args.iou)
    kept = {key: float(numbers[key]) for key in KEYS if key in numbers}
    print(json.dumps({**kept, 'wall_s': time.perf_counter() - begin}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
