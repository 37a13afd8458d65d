"""Mask AP with 300 results per image, from files, on 1,000 images."""

from tools.benchmarks.evaluators import EXACT, MAIN_KEYS, THREE_DIGITS, from_files

NAME, IMAGES, IOU = 'evaluate_segm', 1000, ('segm',)

ITEMS = (
    *from_files(NAME, 'lvis-api', IMAGES, IOU, tolerance=EXACT, repeats=1),
    *from_files(NAME, 'mmdet', IMAGES, IOU, keys=MAIN_KEYS, tolerance=THREE_DIGITS, repeats=1),
    *from_files(NAME, 'faster-coco-eval', IMAGES, IOU, repeats=1),
    *from_files(NAME, 'hotcoco', IMAGES, IOU),
)
