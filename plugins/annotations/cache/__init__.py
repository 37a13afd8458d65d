"""Annotation files as columns on disk that are mapped into memory.

A cache is built once, by one process, and then opened in milliseconds by every rank and worker,
which share its pages. See `open_annotations` for when it is trusted and `find_places` for where it
is kept.
"""

from plugins.annotations.cache.opening import open_annotations
from plugins.annotations.cache.places import find_places
from plugins.annotations.cache.store import AnnotationStore, Instances

__all__ = ['AnnotationStore', 'Instances', 'find_places', 'open_annotations']
