"""Where the pictures behind the images of an annotation file lie."""

import gzip
import os
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from plugins.annotations import AnnotationError, image_path

_GZIP_MAGIC = b'\x1f\x8b'
_KEPT = 16  # decoded pictures; examples of one image follow each other


class _Image(msgspec.Struct):
    id: int
    file_name: str | None = None
    coco_url: str | None = None


class _File(msgspec.Struct):
    images: list[_Image]


class ImageFiles:
    """Reads the pictures of a data set by image id.

    Attributes:
        missing: Ids of the images that were asked for and could not be read.
    """

    def __init__(self, records: list[dict], folder: str | os.PathLike) -> None:
        """Remember where each image lies.

        Args:
            records: Image records with ``id`` and ``file_name`` or ``coco_url``.
            folder: Image folder of the data set.

        Raises:
            AnnotationError: The folder does not exist.
        """
        if not Path(folder).is_dir():
            raise AnnotationError(
                f'{folder}: no such image folder; leave --images away to draw shapes only'
            )
        self._records = {record['id']: record for record in records}
        self._folder = folder
        self.missing: set[int] = set()
        self.read = lru_cache(maxsize=_KEPT)(self._read)

    @classmethod
    def of(cls, annotation_file: str | os.PathLike, folder: str | os.PathLike) -> 'ImageFiles':
        """Take the names from an annotation file that was found valid before."""
        content = Path(annotation_file).read_bytes()
        if content.startswith(_GZIP_MAGIC):
            content = gzip.decompress(content)
        images = msgspec.json.decode(content, type=_File).images
        return cls([msgspec.structs.asdict(image) for image in images], folder)

    def _read(self, image_id: int) -> np.ndarray | None:
        """Picture of an image, uint8 (h, w, 3) BGR, or None if its file cannot be read."""
        import cv2

        record = self._records.get(image_id, {'id': image_id})
        try:
            content = np.fromfile(image_path(record, self._folder), np.uint8)
            picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
        except (OSError, AnnotationError):
            picture = None
        if picture is None:
            self.missing.add(image_id)
        return picture
