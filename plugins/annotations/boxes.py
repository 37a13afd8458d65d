"""Faults of boxes and areas, found for all annotations at once."""

from collections.abc import Iterable

import numpy as np

from plugins.annotations.columns import Columns
from plugins.annotations.problems import Problem, annotation_problem
from plugins.annotations.segmentations import REPAIR, polygon_boxes

BOX_TOLERANCE = 2.0
"""Pixels by which a box may stick out of its image: annotation tools round outwards."""
MASK_BOX_TOLERANCE = 5.0
"""Pixels by which a box may differ from the tight box around its mask."""


def box_problems(annotations: list[dict], columns: Columns) -> Iterable[Problem | None]:
    """Boxes that are no boxes, are empty or lie outside their image.

    Args:
        annotations: Records of the file.
        columns: Their columns.

    Yields:
        One problem, or None, per class.
    """
    x, y, width, height = columns.boxes_xywh.T
    numeric = np.isfinite(columns.boxes_xywh).all(1)
    yield annotation_problem(
        annotations, ~numeric, 'bad-box', 'without a `bbox` of four finite numbers', REPAIR
    )
    yield annotation_problem(
        annotations,
        numeric & ((width < 0) | (height < 0)),
        'negative-box',
        'with a box of negative width or height',
        'boxes are [x, y, width, height], not corners',
    )
    # The loader leaves these out, as COCO's own files contain a few.
    yield annotation_problem(
        annotations,
        numeric & (width >= 0) & (height >= 0) & ((width == 0) | (height == 0)),
        'empty-box',
        'with a box of width or height 0',
        'they are left out of training; tools/data/coco_to_lvis.py repairs or drops them',
        fatal=False,
    )
    known = numeric & (columns.image >= 0)
    image_width = np.where(known, columns.widths[columns.image], 0)
    image_height = np.where(known, columns.heights[columns.image], 0)
    solid = known & (width > 0) & (height > 0)
    outside = solid & (
        (x >= image_width) | (y >= image_height) | (x + width <= 0) | (y + height <= 0)
    )
    excess = np.max([-x, -y, x + width - image_width, y + height - image_height], axis=0)
    yield annotation_problem(
        annotations,
        outside,
        'box-outside',
        'with a box wholly outside the image',
        f'check the sizes; {REPAIR}',
    )
    yield annotation_problem(
        annotations,
        solid & ~outside & (excess > BOX_TOLERANCE),
        'box-partly-outside',
        f'with a box more than {BOX_TOLERANCE:g} px outside the image',
        'check the sizes; tools/data/coco_to_lvis.py clips them',
    )


def area_problems(annotations: list[dict]) -> Iterable[Problem | None]:
    """Annotations whose `area` is missing or not positive.

    Args:
        annotations: Records of the file.

    Yields:
        One problem, or None, per class.
    """
    areas = [record.get('area') for record in annotations]
    numbers = np.fromiter((type(area) in (int, float) for area in areas), bool, len(areas))
    yield annotation_problem(
        annotations,
        ~numbers,
        'no-area',
        'without a numeric `area`',
        'tools/data/coco_to_lvis.py adds it',
    )
    positive = [ok and area > 0 for ok, area in zip(numbers, areas, strict=True)]
    yield annotation_problem(
        annotations,
        numbers & ~np.array(positive, bool),
        'empty-area',
        'with an area that is not positive',
        'they are left out of training; tools/data/coco_to_lvis.py recomputes it',
        fatal=False,
    )


def box_mask_problem(annotations: list[dict], columns: Columns) -> Problem | None:
    """Boxes that lie elsewhere than their polygons, as after a rotation of one of the two.

    Args:
        annotations: Records of the file.
        columns: Their columns.

    Returns:
        A problem that is not fatal, or None.
    """
    limits = np.stack([columns.widths, columns.heights] * 2, axis=1)[columns.image]
    corners, tight_corners = (
        np.clip(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1), 0, limits)
        for boxes in (columns.boxes_xywh, polygon_boxes(annotations))
    )
    # Comparisons with NaN are false: run-length masks and bad boxes drop out.
    off = (np.abs(corners - tight_corners) > MASK_BOX_TOLERANCE).any(1) & (columns.image >= 0)
    return annotation_problem(
        annotations,
        off,
        'polygon-box',
        f'whose box differs from its polygons by more than {MASK_BOX_TOLERANCE:g} px',
        'check which of the two is right',
        fatal=False,
    )
