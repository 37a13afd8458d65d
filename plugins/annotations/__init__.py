"""Annotation files without a deep-learning framework: read, check, convert, count.

Needs numpy, msgspec and pycocotools only, so that the tools built on it start at once.
"""

from plugins.annotations.coco_lt import exponential_targets, listed_targets, make_coco_lt
from plugins.annotations.columns import Columns, to_columns
from plugins.annotations.convert import convert_to_lvis
from plugins.annotations.frequency import (
    COCO_LT_BIN_LIMITS,
    COMMON_MAX,
    LVIS_BIN_LIMITS,
    RARE_MAX,
    CategoryCounts,
    ImageCategories,
    bin_names,
    count_categories,
    frequency_group,
    image_categories,
    instance_bin,
)
from plugins.annotations.images import (
    Unreadable,
    find_missing,
    find_unreadable,
    image_name,
    image_path,
)
from plugins.annotations.problems import Problem, problem
from plugins.annotations.reading import (
    AnnotationError,
    naming,
    read_annotations,
    read_json,
    write_annotations,
)
from plugins.annotations.repeat_factors import (
    category_repeat_factors,
    count_images,
    image_repeat_factors,
    images_of_categories,
    rows_from_lists,
)
from plugins.annotations.statistics import long_tail_statistics, summary
from plugins.annotations.structure import find_problems, verify_annotations

__all__ = [
    'COCO_LT_BIN_LIMITS',
    'COMMON_MAX',
    'LVIS_BIN_LIMITS',
    'RARE_MAX',
    'AnnotationError',
    'CategoryCounts',
    'Columns',
    'ImageCategories',
    'Problem',
    'Unreadable',
    'bin_names',
    'category_repeat_factors',
    'convert_to_lvis',
    'count_categories',
    'count_images',
    'exponential_targets',
    'find_missing',
    'find_problems',
    'find_unreadable',
    'frequency_group',
    'image_categories',
    'image_name',
    'image_path',
    'image_repeat_factors',
    'images_of_categories',
    'instance_bin',
    'listed_targets',
    'long_tail_statistics',
    'make_coco_lt',
    'naming',
    'problem',
    'read_annotations',
    'read_json',
    'rows_from_lists',
    'summary',
    'to_columns',
    'verify_annotations',
    'write_annotations',
]
