"""Pasting and encoding the masks of a thousand detections, 28 x 28 points each."""

from tools.benchmarks.pasted_masks import benchmarks

ITEMS = benchmarks(28)
