"""Boundary AP with 300 results per image, from files, on 1,000 images."""

from tools.benchmarks.evaluators import EXACT, MAIN_KEYS, from_files

NAME, IMAGES, IOU = 'evaluate_boundary', 1000, ('boundary',)

ITEMS = (
    # Other than the reference, it counts an area at a range's upper end into the range.
    *from_files(NAME, 'faster-coco-eval', IMAGES, IOU, keys=MAIN_KEYS, repeats=1),
    *from_files(NAME, 'boundary-iou-api', IMAGES, IOU, tolerance=EXACT, repeats=1),
)
