"""Where caches are kept."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

FOLDER = '.mmtail'
_SUFFIX = '.columns'


class Place(NamedTuple):
    """Where a cache is or could be.

    Attributes:
        columns: The cache itself.
    """

    columns: Path

    @property
    def receipt(self) -> Path:
        """The note on what was checked, a `Receipt`."""
        return self.columns.with_name(f'{self.columns.name}.checked')

    @property
    def lock(self) -> Path:
        """Held by the process that builds or checks."""
        return self.columns.with_name(f'{self.columns.name}.lock')

    def remove_leftovers(self) -> None:
        """Delete what interrupted builders left; to be called with the lock held."""
        for partial in self.columns.parent.glob(f'{_escaped(self.columns.name)}*.partial'):
            partial.unlink(missing_ok=True)


def find_places(
    path: str | os.PathLike,
    *,
    cache_dir: str | os.PathLike | None = None,
    content: str | None = None,
) -> list[Place]:
    """Where the cache of an annotation file may be, the best place first.

    1. The folder that the environment variable ``MMTAIL_CACHE`` names, if it does;
    2. ``.mmtail/`` beside the annotation file;
    3. ``mmtail/`` in the user's cache folder (``XDG_CACHE_HOME``, or ``~/.cache``);
    4. ``mmtail-<user number>/`` in the folder for temporary files.

    Folders that serve several annotation files name the cache after the file and its full path.

    Args:
        path: The annotation file.
        cache_dir: The only folder to use; None for the list above.
        content: Hash of the content, for a file that has no path of its own, as one that was
            fetched for a moment: the name then has the hash, and nothing is put beside the file.
    """
    path = Path(path)
    key = content or hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    suffix = '' if content else f'-{path.name}'
    name = f'{key[:16]}{suffix}{_SUFFIX}'
    if cache_dir is not None:
        return [Place(Path(cache_dir) / name)]
    named = os.environ.get('MMTAIL_CACHE')
    return [
        *([Place(Path(named) / name)] if named else []),
        *([] if content else [Place(path.parent / FOLDER / f'{path.name}{_SUFFIX}')]),
        *(Place(folder / name) for folder in _user_folders()),
    ]


def _user_folders() -> list[Path]:
    folders = []
    if os.environ.get('XDG_CACHE_HOME'):
        folders.append(Path(os.environ['XDG_CACHE_HOME']) / 'mmtail')
    elif os.environ.get('HOME'):
        folders.append(Path(os.environ['HOME']) / '.cache' / 'mmtail')
    temporary = Path(tempfile.gettempdir()) / f'mmtail-{os.getuid()}'
    if _is_ours(temporary):
        folders.append(temporary)
    return folders


def _is_ours(folder: Path) -> bool:
    """In a folder that all users share, another one may have taken the name."""
    try:
        return folder.lstat().st_uid == os.getuid()
    except OSError:
        return not folder.is_symlink()


def _escaped(name: str) -> str:
    return ''.join(f'[{character}]' if character in '*?[' else character for character in name)
