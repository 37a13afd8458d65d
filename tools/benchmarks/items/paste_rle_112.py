"""Pasting and encoding the masks of a thousand detections, 112 x 112 points each."""

from tools.benchmarks.pasted_masks import benchmarks

ITEMS = benchmarks(112)
