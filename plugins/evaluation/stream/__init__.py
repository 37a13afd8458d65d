"""Detections of a test: stored as they come, bounded in memory, collected at the end."""

from plugins.evaluation.stream.class_budget import ClassBudget
from plugins.evaluation.stream.collected import CollectedDetections
from plugins.evaluation.stream.detection_store import DetectionStore
from plugins.evaluation.stream.image_record import ImageRecord, decode, encode, record_of
from plugins.evaluation.stream.result_files import write_json, write_pickle
from plugins.evaluation.stream.selection import Needs, Selection, needs_of
from plugins.evaluation.stream.shard_folder import ShardFolder
from plugins.evaluation.stream.shards import FileShard, MemoryShard

__all__ = [
    'ClassBudget',
    'CollectedDetections',
    'DetectionStore',
    'FileShard',
    'ImageRecord',
    'MemoryShard',
    'Needs',
    'Selection',
    'ShardFolder',
    'decode',
    'encode',
    'needs_of',
    'record_of',
    'write_json',
    'write_pickle',
]
