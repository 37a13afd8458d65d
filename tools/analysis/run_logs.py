"""What runs leave behind: their validations, config and seed, read without executing anything."""

import ast
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SEED_SUFFIX = re.compile(r'[_-]seed[_-]?(\d+)$')
# What may differ between two runs of one experiment, besides the seed.
_OF_THE_RUN = ('randomness', 'work_dir', 'load_from', 'resume', 'launcher')


@dataclass(frozen=True, slots=True)
class Run:
    """A work dir, as ``tools/train.py`` or ``tools/test.py`` left it.

    Attributes:
        folder: The work dir.
        config: Name of the config, without ``.py``.
        seed: ``randomness.seed`` of the config, else that at the end of a folder's name
            (``_seed0``, ``-seed0``), else None.
        is_test: Written by ``tools/test.py``.
        settings: Source text of every top-level value of the config that makes the experiment.
        validations: Metrics of each validation (or test) in the order they were made, with
            ``step``: the epoch or iteration, absent in tests.
    """

    folder: Path
    config: str
    seed: int | None
    is_test: bool
    settings: dict[str, str]
    validations: tuple[dict[str, float], ...]


def find_runs(folder: str | os.PathLike) -> list[Run]:
    """Read the run in a folder, or every run below it.

    A work dir in which both tools wrote is two runs. What was resumed is one.

    Args:
        folder: A work dir, or a folder that holds work dirs at any depth.

    Returns:
        Runs by folder.

    Raises:
        ValueError: There is no such folder, it holds no run, or a log is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f'{folder} is no folder; give work dirs or a folder of work dirs')
    sessions = defaultdict(list)
    for session in sorted(_sessions(folder)):
        sessions[session.parent, _test_log(session).is_file()].append(session)
    if not sessions:
        raise ValueError(
            f'{folder} holds no run: a work dir has <timestamp>/vis_data, written by '
            'tools/train.py and tools/test.py'
        )
    return [_read_run(*key, sessions[key]) for key in sorted(sessions)]


def without_seed(name: str) -> str:
    """The name of a work dir without the seed at its end."""
    return _SEED_SUFFIX.sub('', name)


def _sessions(folder: Path) -> Iterator[Path]:
    for place, below, _ in os.walk(folder):
        if 'vis_data' in below:
            below.clear()
            yield Path(place)


def _test_log(session: Path) -> Path:
    return session / f'{session.name}.json'


def _read_run(folder: Path, is_test: bool, sessions: list[Path]) -> Run:
    validations = []
    for session in sessions:
        log = _test_log(session) if is_test else session / 'vis_data' / 'scalars.json'
        validations += _validations(log) if log.is_file() else []
    text = ''
    for session in sessions:
        config = session / 'vis_data' / 'config.py'
        text = config.read_text() if config.is_file() else text
    settings = _assignments(text, folder)
    return Run(
        folder=folder,
        config=_config_name(folder, text),
        seed=_seed(settings.get('randomness'), folder),
        is_test=is_test,
        settings={k: ast.unparse(v) for k, v in settings.items() if k not in _OF_THE_RUN},
        validations=tuple(validations),
    )


def _validations(log: Path) -> list[dict[str, float]]:
    """Records with metrics, whose names have a prefix such as ``lvis/``."""
    found = []
    lines = log.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line) if line.strip() else {}
        except json.JSONDecodeError:
            if number == len(lines):
                break  # the run was killed while it wrote
            record = None
        if not isinstance(record, dict):
            raise ValueError(f'{log}, line {number} is no JSON object; remove that line')
        if any('/' in key for key in record):
            found.append(record)
    return found


def _assignments(text: str, folder: Path) -> dict[str, ast.expr]:
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        raise ValueError(f'the config that {folder} was run with is damaged: {error}') from error
    return {
        target.id: node.value
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _config_name(folder: Path, text: str) -> str:
    """The file with this text; a work dir may hold several configs."""
    dumped = sorted(folder.glob('*.py'))
    same = [path for path in dumped if path.read_text() == text]
    return (same or dumped)[-1].stem if dumped else without_seed(folder.name)


def _seed(randomness: ast.expr | None, folder: Path) -> int | None:
    value = None
    if isinstance(randomness, ast.Call):  # dict(seed=0), as mmengine writes it
        value = {word.arg: word.value for word in randomness.keywords}.get('seed')
    if isinstance(value, ast.Constant) and isinstance(value.value, int):
        return value.value
    for part in reversed(folder.parts):
        if match := _SEED_SUFFIX.search(part):
            return int(match[1])
    return None
