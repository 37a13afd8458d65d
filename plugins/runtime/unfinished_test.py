"""The folder in which the results of a test wait until it is finished."""

import contextlib
import hashlib
import json
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from plugins.atomic_file import atomic_file
from plugins.errors import UserError

_FINGERPRINT = 'fingerprint.json'


class UnfinishedTest:
    """A folder of results that belong to one fingerprint; its name is derived from that.

    So results of another model, checkpoint or data set are never mixed with these: they are in
    another folder. While a test runs it holds a lock, which the system gives back however the test
    ends.

    Args:
        root: Where the folders of all tests are.
        fingerprint: What this one is about, see `describe_test`.

    Raises:
        UserError: Another program is testing the same at the same place.
    """

    def __init__(self, root: Path, fingerprint: dict[str, str]) -> None:
        self.root = root
        self.fingerprint = fingerprint
        self.path = root / _folder_name(fingerprint)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.path / 'lock')
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise UserError(
                f'another program is running this test in {self.path}; wait for it or choose '
                'another --work-dir'
            ) from None

    def is_begun(self) -> bool:
        """Whether an earlier attempt has left something."""
        return (self.path / _FINGERPRINT).exists()

    def begin(self) -> None:
        """Empty the folder."""
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != 'lock':
                entry.unlink()
        with atomic_file(self.path / _FINGERPRINT) as file:
            file.write(json.dumps(self.fingerprint, indent=1).encode())

    def differences(self) -> str | None:
        """What the most similar unfinished test differs in, in words; None if there is none."""
        found = []
        for path in self.root.glob(f'*/{_FINGERPRINT}'):
            with contextlib.suppress(ValueError, OSError):
                other = json.loads(path.read_text())
                parts = [k for k, value in self.fingerprint.items() if other.get(k) != value]
                if parts:
                    found.append((len(parts), f'{path.parent} has another {" and ".join(parts)}'))
        return min(found)[1] if found else None

    def remove(self) -> None:
        """Delete the folder of a finished test."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)
        # Results of other tests keep the folder of all.
        with contextlib.suppress(OSError):
            self.root.rmdir()


def _folder_name(fingerprint: dict[str, str]) -> str:
    text = json.dumps(fingerprint, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
