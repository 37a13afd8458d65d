"""Scores detections by every protocol of LVIS and COCO from one matching pass; needs no torch."""

from plugins.evaluation.engine.accumulation import Curves, accumulate, accumulate_pools
from plugins.evaluation.engine.ground_truth_file import read_ground_truth
from plugins.evaluation.engine.matches import Matches
from plugins.evaluation.engine.matching import IOU_TYPES, match
from plugins.evaluation.engine.protocols import (
    BIN_LIMITS,
    SUBSETS,
    Request,
    evaluate,
    in_groups,
    keep_per_category,
    keep_per_image,
    keep_reranked,
    keep_subset,
)
from plugins.evaluation.engine.ranking import Ranking, rank
from plugins.evaluation.engine.records import (
    AREA_LIMITS,
    AREA_NAMES,
    COCO,
    IOU_THRESHOLDS,
    LVIS,
    RECALL_POINTS,
    GroundTruth,
    Results,
    ResultsError,
    Rules,
)
from plugins.evaluation.engine.results_file import read_results
from plugins.evaluation.engine.summary import (
    UNDEFINED,
    bin_precision,
    category_precision,
    mean_precision,
    mean_recall,
    summarise,
)

__all__ = [
    'AREA_LIMITS',
    'AREA_NAMES',
    'BIN_LIMITS',
    'COCO',
    'IOU_THRESHOLDS',
    'IOU_TYPES',
    'LVIS',
    'RECALL_POINTS',
    'SUBSETS',
    'UNDEFINED',
    'Curves',
    'GroundTruth',
    'Matches',
    'Ranking',
    'Request',
    'Results',
    'ResultsError',
    'Rules',
    'accumulate',
    'accumulate_pools',
    'bin_precision',
    'category_precision',
    'evaluate',
    'in_groups',
    'keep_per_category',
    'keep_per_image',
    'keep_reranked',
    'keep_subset',
    'match',
    'mean_precision',
    'mean_recall',
    'rank',
    'read_ground_truth',
    'read_results',
    'summarise',
]
