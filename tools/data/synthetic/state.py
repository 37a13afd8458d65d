"""What an output folder holds: nothing, a begun or finished set, or something of somebody else."""

import json
import shutil
from pathlib import Path

from .annotate import image_file
from .options import SyntheticDataError, SyntheticOptions
from .parts import write_atomically
from .plan import SPLITS

STATE_FILE = 'generator.json'


def annotation_file(root: Path, split: str) -> Path:
    """Where the annotations of 'train' or 'val' are written."""
    return root / 'annotations' / f'synthetic_{split}.json'


def is_finished(root: Path, options: SyntheticOptions) -> bool:
    """Whether the folder holds the complete set of these options.

    Raises:
        SyntheticDataError: it holds another set, or files of another origin.
    """
    state = _read_state(root)
    if state is None:
        return False
    old, new = state['parameters'], options.parameters()
    different = [f'{k} {old.get(k)} instead of {new[k]}' for k in new if old.get(k) != new[k]]
    if different:
        raise SyntheticDataError(
            f'{root} holds a data set with other options ({", ".join(different)}); choose another '
            'folder, or pass --overwrite to replace it'
        )
    return state['finished'] and all(annotation_file(root, s).is_file() for s in SPLITS)


def write_state(root: Path, parameters: dict, *, finished: bool) -> None:
    """Note in the folder which set it holds; the folder is made if necessary."""
    root.mkdir(parents=True, exist_ok=True)
    state = {'parameters': parameters, 'finished': finished}
    write_atomically(root / STATE_FILE, iter([json.dumps(state, indent=2) + '\n']))


def delete_output(root: Path) -> None:
    """Delete what an earlier run wrote, by name; files of others in the folder stay.

    Raises:
        SyntheticDataError: the folder holds files, but none of them from the generator.
    """
    state = _read_state(root)
    if state is None:
        return
    old = state['parameters']
    # First of all, lest an interruption leaves a set that calls itself complete.
    write_state(root, old, finished=False)
    first_id = 1
    for split in SPLITS:
        annotation_file(root, split).unlink(missing_ok=True)
        for image_id in range(first_id, first_id + old[f'{split}_images']):
            (root / image_file(split, image_id)).unlink(missing_ok=True)
        first_id += old[f'{split}_images']
    delete_parts(root)


def delete_parts(root: Path) -> None:
    """Delete the chunks that have been joined, or belong to an abandoned set."""
    if (root / '.parts').exists():
        shutil.rmtree(root / '.parts')


def check_disk(root: Path, options: SyntheticOptions) -> None:
    """Stop before the work when the disk cannot hold the result."""
    images = options.train_images + options.val_images
    # Measured: 0.35 bytes per pixel at this JPEG quality, 600 bytes per annotation, which are there
    # twice while the parts are joined.
    pixels = 0 if options.annotations_only else 0.35 * options.mean_area
    needed = images * (pixels + 2 * 600 * options.density[1])
    existing = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise SyntheticDataError(
            f'{root} needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; '
            'choose another disk or fewer images'
        )


def _read_state(root: Path) -> dict | None:
    """State of an earlier run; None for a folder that is absent or empty."""
    if root.exists() and not root.is_dir():
        raise SyntheticDataError(f'{root} is a file; choose a folder')
    path = root / STATE_FILE
    try:
        state = json.loads(path.read_text(encoding='utf-8'))
        for split in SPLITS:
            int(state['parameters'][f'{split}_images'])
        return {'parameters': state['parameters'], 'finished': state['finished'] is True}
    except FileNotFoundError:
        if root.exists() and any(not entry.name.startswith('.') for entry in root.iterdir()):
            raise SyntheticDataError(
                f'{root} is not empty and was not made by this generator; choose another folder'
            ) from None
        return None
    except (ValueError, KeyError, TypeError):
        raise SyntheticDataError(
            f'{path} is not a parameter file of this generator; choose another folder'
        ) from None
