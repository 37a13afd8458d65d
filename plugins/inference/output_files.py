"""The files of a prediction run: each is there whole or not at all."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from plugins.atomic_file import atomic_file
from plugins.errors import UserError
from plugins.inference.image_files import ImageFile

PICTURES, PREDICTIONS, SETTINGS = 'pictures', 'predictions', 'settings.json'
PICTURE_ENDINGS = ('.jpg', '.jpeg', '.png')


class OutputFiles:
    """A folder of ``pictures/NAME``, ``predictions/NAME.json`` and ``settings.json``.

    NAME is that of the image with its ending, in folders as the images are; a picture of another
    format than JPEG or PNG becomes ``NAME.jpg``.

    Args:
        folder: Is made if it is missing.
        pictures: Whether pictures are wanted.
        predictions: Whether JSON files are wanted.

    Raises:
        UserError: Neither is wanted.
    """

    def __init__(self, folder: str | os.PathLike, *, pictures: bool, predictions: bool) -> None:
        if not (pictures or predictions):
            raise UserError('--no-pictures and --no-json together leave nothing to be written')
        self.folder = Path(folder)
        self._settings = self.folder / SETTINGS
        self.pictures = pictures
        self.predictions = predictions

    def open(self, settings: dict, images: Sequence[ImageFile], *, resume: bool) -> None:
        """Start or continue a run.

        Args:
            settings: What the predictions depend on; JSON values.
            images: All images of the run.
            resume: What is there stays and counts as done.

        Raises:
            UserError: The files there were made with other settings, two images have the same
                picture, or the folder cannot be made.
        """
        pictures = {self._picture(image): image.path for image in images}
        for image in images:
            if pictures[self._picture(image)] != image.path:
                other = pictures[self._picture(image)]
                raise UserError(f'{image.path} and {other} would have one picture: rename one')
        if not (resume and self._settings.is_file()):
            _write(self._settings, json.dumps(settings, indent=1).encode())
            return
        earlier = json.loads(self._settings.read_text())
        changed = [key for key in settings if earlier.get(key) != settings[key]]
        if changed:
            raise UserError(
                f'--resume: the files in {self.folder} were made with another '
                f'{" and ".join(changed)}; leave --resume out or name another --out-dir'
            )

    def is_done(self, image: ImageFile) -> bool:
        """Whether all files that are wanted of an image are there, made with these settings."""
        wanted = [self._picture(image)] * self.pictures + [self._json(image)] * self.predictions
        # Older ones are left from before the settings were written.
        since = self._settings.stat().st_mtime_ns
        return all(path.is_file() and path.stat().st_mtime_ns >= since for path in wanted)

    def write_picture(self, image: ImageFile, pixels: np.ndarray) -> None:
        """Write the picture of an image: uint8 (H, W, 3), BGR."""
        path = self._picture(image)
        done, content = cv2.imencode(path.suffix, pixels)
        if not done:
            raise UserError(f'{path} cannot be written: no encoder takes {pixels.shape[:2]} pixels')
        _write(path, content.tobytes())

    def write_record(self, image: ImageFile, record: dict) -> None:
        """Write the detections of an image."""
        _write(self._json(image), json.dumps(record).encode())

    def _picture(self, image: ImageFile) -> Path:
        ending = '' if image.name.lower().endswith(PICTURE_ENDINGS) else '.jpg'
        return self.folder / PICTURES / (image.name + ending)

    def _json(self, image: ImageFile) -> Path:
        return self.folder / PREDICTIONS / f'{image.name}.json'


def _write(path: Path, content: bytes) -> None:
    try:
        with atomic_file(path) as file:
            file.write(content)
    except OSError as error:
        raise UserError(f'{path} cannot be written ({error.strerror}); see --out-dir') from error
