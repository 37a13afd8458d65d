"""Give the records of a results file new scores and leave everything else as it is."""

import gzip
import os
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from plugins.atomic_file import atomic_file

_GZIP_MAGIC = b'\x1f\x8b'
_CHUNK = 20_000  # records encoded at once


def rewrite_scores(
    source: str | os.PathLike,
    target: str | os.PathLike,
    calibrate: Callable[[np.ndarray, np.ndarray], np.ndarray],
    progress: Callable[[int], object] | None = None,
) -> int:
    """Copy a results file with new scores.

    Masks and boxes are carried over as bytes and never parsed, so the memory needed is that of
    the file and a few hundred bytes per record.

    Args:
        source: JSON list of results, plain or gzip.
        target: File to write, gzip if its name ends in ``.gz``; all of it or nothing.
        calibrate: From int64 (N,) category ids and float64 (N,) scores to float64 (N,) scores.
        progress: Called with the number of records written since the last call.

    Returns:
        Number of records.

    Raises:
        ValueError: The source is not a list of results; the message names file and record.
    """
    source, target = Path(source), Path(target)
    records = _read(source)
    category, scores = _columns(records, source)
    calibrated = calibrate(category, scores)
    with atomic_file(target) as file, _compressed(file, target) as stream:
        stream.write(b'[')
        for begin in range(0, len(records), _CHUNK):
            chunk = records[begin : begin + _CHUNK]
            for record, score in zip(chunk, calibrated[begin : begin + _CHUNK], strict=True):
                record['score'] = float(score)
            stream.write(b',\n' if begin else b'\n')
            stream.write(msgspec.json.encode(chunk)[1:-1])
            if progress is not None:
                progress(len(chunk))
        stream.write(b'\n]\n')
    return len(records)


def _compressed(file: BinaryIO, target: Path) -> AbstractContextManager[BinaryIO]:
    if target.name.endswith('.gz'):
        return gzip.GzipFile(filename='', mode='wb', fileobj=file)
    return nullcontext(file)


def _read(path: Path) -> list[dict[str, msgspec.Raw]]:
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
        return msgspec.json.decode(data, type=list[dict[str, msgspec.Raw]])
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f'{path} cannot be read: {error}') from error
    except msgspec.MsgspecError as error:
        raise ValueError(f'{path} is not a JSON list of results: {error}') from error


def _columns(records: list[dict], path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Category ids and scores, int64 (N,) and float64 (N,)."""
    category, scores = np.zeros(len(records), np.int64), np.zeros(len(records))
    integer, number = msgspec.json.Decoder(int), msgspec.json.Decoder(float)
    for index, record in enumerate(records):
        try:
            category[index] = integer.decode(record['category_id'])
            scores[index] = number.decode(record['score'])
        except KeyError as error:
            raise ValueError(f'{path}: result {index} has no {error}; write it again') from error
        except (msgspec.MsgspecError, OverflowError) as error:
            raise ValueError(
                f'{path}: category_id or score of result {index} is not a number: {error}'
            ) from error
    return category, scores
