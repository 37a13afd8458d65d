"""Open the cache of an annotation file, and build it first if there is none to be trusted."""

import hashlib
import io
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from plugins.annotations.cache.layout import DamagedCacheError
from plugins.annotations.cache.places import Place, find_places
from plugins.annotations.cache.stamps import (
    FileStamp,
    Receipt,
    has_settled,
    read_receipt,
    stamp_of,
    write_receipt,
)
from plugins.annotations.cache.store import AnnotationStore
from plugins.annotations.structure import refuse_fatal
from plugins.errors import UserError

if TYPE_CHECKING:
    from plugins.annotations.cache.building import BuiltCache

_POLL = 0.1  # seconds


class _UnwritableError(Exception):
    """A place where nothing can be written."""


def open_annotations(
    path: str | os.PathLike,
    *,
    cache_dir: str | os.PathLike | bool | None = None,
    name: str | os.PathLike | None = None,
    is_copy: bool = False,
    allow: Collection[str] = (),
    log: Callable[[str], None] = lambda text: None,
    with_bar: bool = True,
) -> AnnotationStore:
    """Open an annotation file by way of its cache.

    A cache is trusted if neither it nor the annotation file changed since the one was found to be
    an intact cache of the other, as their sizes, times and inodes tell. Otherwise the contents are
    compared, and what is damaged or stale is built again, by one process while others wait for it.

    Args:
        path: Annotation file in LVIS or COCO format, plain or gzip.
        cache_dir: Folder of the cache; None for the first of `find_places` that can be written,
            False for no cache on disk.
        name: How messages call the file; None for its path.
        is_copy: The file was fetched for this call and will be gone: its content says which cache
            belongs to it.
        allow: Codes of fatal problems that are accepted.
        log: Called with one line on everything out of the ordinary.
        with_bar: Show a progress bar while building.

    Raises:
        AnnotationError: The annotation file cannot be used.
        UserError: ``cache_dir`` cannot be written.
    """
    opener = _Opener(Path(path), name or path, is_copy, allow, log, with_bar)
    if cache_dir is False or opener.stamp is None:
        # Of a file that does not exist the reader says so, and no folder is made for its cache.
        store = opener.in_memory()
    elif cache_dir is None or cache_dir is True:
        store = opener.at_first(find_places(path, content=opener.key()))
    else:
        store = opener.at_only(find_places(path, cache_dir=cache_dir, content=opener.key())[0])
    refuse_fatal(store.problems, opener.name, allow)
    return store


class _Opener:
    """What is known about the annotation file while places are tried."""

    def __init__(
        self,
        path: Path,
        name: str | os.PathLike,
        is_copy: bool,
        allow: Collection[str],
        log: Callable[[str], None],
        with_bar: bool,
    ) -> None:
        self.path, self.name, self.is_copy = path, name, is_copy
        self.allow, self.log, self.with_bar = allow, log, with_bar
        self.stamp = stamp_of(path)
        self._content: str | None = None
        self._built = None

    def key(self) -> str | None:
        """What a cache is found by if not by the path of the file."""
        return self.content() if self.is_copy and self.stamp is not None else None

    def content(self) -> str:
        """Hash of the annotation file."""
        if self._content is None:
            with self.path.open('rb') as file:
                self._content = hashlib.file_digest(file, 'sha256').hexdigest()
        return self._content

    def at_first(self, places: list[Place]) -> AnnotationStore:
        """Open at a place where a trusted cache is, or else at the first that can be written."""
        for place in places:
            store = self._trusted(place)
            if store is not None:
                return store
        for place in places:
            try:
                return self._locked(place)
            except _UnwritableError:
                store = self._verified(place)
                if store is not None:
                    return store
        self.log(f'{self.name}: no folder for its cache can be written; it is kept in memory')
        return self.in_memory()

    def at_only(self, place: Place) -> AnnotationStore:
        """Open at this place."""
        store = self._trusted(place)
        if store is not None:
            return store
        try:
            return self._locked(place)
        except _UnwritableError as error:
            store = self._verified(place)
            if store is not None:
                return store
            raise UserError(
                f'dataset.cache_dir={str(place.columns.parent)!r} cannot be '
                f'written ({error}); name another folder, or False to keep the annotations in '
                'memory'
            ) from None

    def in_memory(self) -> AnnotationStore:
        """Read the file into the memory of this process."""
        file = io.BytesIO()
        self._build().write(file)
        return AnnotationStore(file.getbuffer().toreadonly())

    def _locked(self, place: Place) -> AnnotationStore:
        with _lock(place, lambda: self.log(f'{self.name}: waiting for the process that reads it')):
            store = self._trusted(place) or self._verified(place)
            if store is not None:
                _note(place, self._reliable_stamp())
                return store
            place.remove_leftovers()
            built = self._build()
            _write(place, built.write)
            _note(place, built.source)
            return AnnotationStore.open(place.columns)

    def _trusted(self, place: Place) -> AnnotationStore | None:
        """The cache, if nothing changed since it was last checked."""
        receipt = read_receipt(place.receipt)
        if receipt is None or receipt.columns != stamp_of(place.columns):
            return None
        if not self.is_copy and (receipt.source is None or receipt.source != self.stamp):
            return None
        try:
            store = AnnotationStore.open(place.columns)
        except (OSError, DamagedCacheError):
            return None
        return store if not self.is_copy or store.content == self.content() else None

    def _verified(self, place: Place) -> AnnotationStore | None:
        """The cache, if it is intact and of this annotation file, which is found by reading."""
        if self.stamp is None or not place.columns.is_file():
            return None
        try:
            content = self.content()
        except OSError:
            return None  # whoever reads the file says what is wrong with it
        try:
            store = AnnotationStore.open(place.columns)
        except (OSError, DamagedCacheError) as error:
            self.log(f'{self.name}: {place.columns} is no cache to be used ({error})')
            return None
        if store.content != content:
            self.log(f'{self.name}: changed since it was cached; it is read again')
            return None
        receipt = read_receipt(place.receipt)
        if receipt is not None and receipt.columns == stamp_of(place.columns):
            return store
        if not store.is_intact():
            self.log(f'{self.name}: {place.columns} is damaged; it is built again')
            return None
        return store

    def _reliable_stamp(self) -> FileStamp | None:
        """Stamp of the annotation file, if it was the same before its content was compared."""
        is_reliable = self.stamp == stamp_of(self.path) and has_settled(self.stamp)
        return self.stamp if is_reliable else None

    def _build(self) -> 'BuiltCache':
        if self._built is None:
            # Compiled loops and a progress bar, which a cache that exists does not need.
            from plugins.annotations.cache.building import build_cache

            self._built = build_cache(
                self.path, name=self.name, allow=self.allow, with_bar=self.with_bar
            )
        return self._built


@contextmanager
def _lock(place: Place, say_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a place; a process that ends in any way gives its lock back.

    Raises:
        _UnwritableError: The lock's file cannot be made.
    """
    lock = FileLock(place.lock)
    try:
        place.lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say_waiting()
            lock.acquire(poll_interval=_POLL)
    except OSError as error:
        raise _UnwritableError(error.strerror or error) from error
    try:
        yield
    finally:
        lock.release()


def _write(place: Place, write: Callable[[io.BufferedWriter], None]) -> None:
    """Write a cache so that others see nothing or all of it, whatever happens.

    Raises:
        _UnwritableError: There is no room or no permission.
    """
    partial = place.columns.with_name(f'{place.columns.name}.{os.getpid()}.partial')
    try:
        with partial.open('wb') as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, place.columns)
    except OSError as error:
        raise _UnwritableError(error.strerror or error) from error
    finally:
        partial.unlink(missing_ok=True)


def _note(place: Place, source: FileStamp | None) -> None:
    columns = stamp_of(place.columns)
    if columns is not None:
        write_receipt(place.receipt, Receipt(source, columns))
