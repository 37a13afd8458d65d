"""Which checkpoint a run resumes from: the newest one that is complete."""

import re
import zipfile
from pathlib import Path

from mmengine.logging import print_log

# A checkpoint of the runner is named after its step; `best_*` files carry no optimizer state.
_STEP_NAME = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


def latest_complete_checkpoint(work_dir: str | Path) -> str | None:
    """Find the newest complete checkpoint of a run.

    What was written after ``last_checkpoint`` comes first, then the file that it names, then the
    others from the newest step down. Damaged ones are skipped with a warning.

    Args:
        work_dir: The folder of the run.

    Returns:
        The path, or None if the run has no complete checkpoint.
    """
    for path in _candidates(Path(work_dir)):
        problem = find_damage(path)
        if problem is None:
            return str(path)
        print_log(
            f'checkpoint {path} is not usable ({problem}); resuming from the one before it',
            logger='current',
            level=30,
        )
    return None


def find_damage(path: Path) -> str | None:
    """Say what is wrong with a checkpoint file, or None if every byte of it is as written.

    ``torch.save`` writes a zip archive whose table stands at the end, so a truncated file has none;
    the checksums of its members find anything else.
    """
    if not path.is_file():
        return 'missing'
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        return f'truncated: {error}'
    return None if member is None else f'damaged: {member}'


def _candidates(work_dir: Path) -> list[Path]:
    last = _last_written(work_dir)
    folder = work_dir if last is None else last.parent
    found = [path for path in folder.glob('*.pth') if _STEP_NAME.fullmatch(path.name)]
    found.sort(key=lambda path: int(_STEP_NAME.fullmatch(path.name)[1]), reverse=True)
    if last is None:
        return found
    # A run can be killed after it has written a checkpoint, and before it names it.
    named_at = (work_dir / 'last_checkpoint').stat().st_mtime_ns
    unnamed = [path for path in found if path.stat().st_mtime_ns > named_at]
    return list(dict.fromkeys([*unnamed, last, *found]))


def _last_written(work_dir: Path) -> Path | None:
    """Return the checkpoint that ``last_checkpoint`` names, or None if there is no such pointer."""
    pointer = work_dir / 'last_checkpoint'
    named = Path(pointer.read_text().strip()) if pointer.is_file() else Path()
    if not named.name:
        return None
    # Runs move between folders, so the file beside the pointer comes first; `out_dir` of the
    # checkpoint hook puts it elsewhere.
    here = work_dir / named.name
    return named if named.is_file() and not here.is_file() else here
