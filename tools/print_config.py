"""Print a config with everything it inherits, or what it changes.

Nothing of the config's plugins is imported, so this works without a GPU, data or torch.
"""

import argparse
import ast
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from mmengine.config import Config, DictAction

SAVE_SUFFIXES = ('.py', '.json', '.yml', '.yaml')
COLOURS = {'+': '\033[32m', '-': '\033[31m', '~': '\033[33m'}


class ConfigError(ValueError):
    """A config that cannot be read, compared or written; the message names the file."""


@dataclass(frozen=True)
class Change:
    """One key path on which two configs differ.

    Args:
        kind: ``+`` only in the new config, ``-`` only in the old one, ``~`` in both.
        path: such as ``model.roi_head.bbox_head.num_classes`` or ``train_pipeline[2].scale``;
            list positions are those of the new config, of removed items those of the old.
        old: value in the old config, None where it has none.
        new: value in the new config, None where it has none.
    """

    kind: str
    path: str
    old: object = None
    new: object = None

    def __str__(self) -> str:
        values = {'+': f'{self.new!r}', '-': f'{self.old!r}', '~': f'{self.old!r} -> {self.new!r}'}
        return f'{self.kind} {self.path}: {values[self.kind]}'


def compare(old: object, new: object, path: str = '') -> Iterator[Change]:
    """Differences between two nested config values, in the order of the old one.

    Dicts are entered, and lists of dicts (pipelines, hooks) after their equal items were aligned;
    every other value is compared as a whole.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _compare_dicts(old, new, path)
    elif _is_list_of_dicts(old) and _is_list_of_dicts(new):
        yield from _compare_lists(old, new, path)
    elif old != new:
        yield Change('~', path, old, new)


def _is_list_of_dicts(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(item, dict) for item in value)
    )


def _compare_dicts(old: dict, new: dict, path: str) -> Iterator[Change]:
    prefix = f'{path}.' if path else ''
    for key, value in old.items():
        if key in new:
            yield from compare(value, new[key], f'{prefix}{key}')
        else:
            yield Change('-', f'{prefix}{key}', old=value)
    for key, value in new.items():
        if key not in old:
            yield Change('+', f'{prefix}{key}', new=value)


def _compare_lists(old: list, new: list, path: str) -> Iterator[Change]:
    matcher = SequenceMatcher(None, [*map(repr, old)], [*map(repr, new)], autojunk=False)
    for tag, old_start, old_stop, new_start, new_stop in matcher.get_opcodes():
        if tag == 'equal':
            continue
        paired = min(old_stop - old_start, new_stop - new_start)
        for offset in range(paired):
            i, j = old_start + offset, new_start + offset
            if old[i].get('type') == new[j].get('type'):
                yield from compare(old[i], new[j], f'{path}[{j}]')
            else:
                yield Change('~', f'{path}[{j}]', old[i], new[j])
        for i in range(old_start + paired, old_stop):
            yield Change('-', f'{path}[{i}]', old=old[i])
        for j in range(new_start + paired, new_stop):
            yield Change('+', f'{path}[{j}]', new=new[j])


def load(path: str) -> Config:
    """The config at ``path``, bases merged and no plugin imported.

    Raises:
        ConfigError: the file or one of its bases is missing or cannot be read.
    """
    try:
        return Config.fromfile(path, import_custom_modules=False)
    except Exception as error:  # a config is Python and may fail in any way
        raise ConfigError(f'{path} cannot be read as a config: {error}') from error


def base_files(path: str) -> list[str]:
    """The ``_base_`` entries of a config file, relative ones resolved against its folder.

    Raises:
        ConfigError: the file has no ``_base_``, or builds it at run time.
    """
    if path.endswith('.py'):
        tree = ast.parse(Path(path).read_text(encoding='utf-8'), path)
        values = [
            node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and any(isinstance(name, ast.Name) and name.id == '_base_' for name in node.targets)
        ]
        try:
            bases = ast.literal_eval(values[-1]) if values else None
        except ValueError as error:
            raise ConfigError(f'{path}: _base_ is not a plain list; use --diff BASE') from error
    else:
        from mmengine.fileio import load as load_file

        bases = load_file(path).get('_base_')
    if not bases:
        raise ConfigError(f'{path} has no _base_; name the config to compare with: --diff BASE')
    folder = Path(path).resolve().parent
    bases = [bases] if isinstance(bases, str) else bases
    return [base if '::' in base else str(folder / base) for base in bases]


def load_bases(path: str) -> Config:
    """The merge of a config's ``_base_`` files, without what the config itself says."""
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder, 'bases.py')
        merged.write_text(f'_base_ = {base_files(path)!r}\n', encoding='utf-8')
        return load(str(merged))


def override(config: Config, options: dict[str, object]) -> None:
    """Apply ``--cfg-options`` in place."""
    try:
        config.merge_from_dict(options)
    except (TypeError, KeyError, IndexError) as error:
        raise ConfigError(f'--cfg-options: {error}') from error


def save(config: Config, path: str) -> None:
    """Write the resolved config; the format follows the suffix (.py, .json, .yml)."""
    target = Path(path)
    if target.suffix not in SAVE_SUFFIXES:
        raise ConfigError(f'--save-path {path}: the name must end in one of {SAVE_SUFFIXES}')
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f'{target.stem}.part{target.suffix}')
    config.dump(part)
    os.replace(part, target)


def print_changes(old: Config, new: Config) -> None:
    """One line per change, coloured on a terminal; says so when there is none."""
    coloured = sys.stdout.isatty() and 'NO_COLOR' not in os.environ
    changes = list(compare(old.to_dict(), new.to_dict()))
    for change in changes:
        print(f'{COLOURS[change.kind]}{change}\033[0m' if coloured else change)
    if not changes:
        print('no difference', file=sys.stderr)


def parse_args() -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(
        description='Print a config with everything it inherits, or what it changes.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--diff',
        nargs='?',
        const='',
        metavar='BASE',
        help='print only what differs from the merge of its _base_ files, or from the config BASE: '
        '"~" changed, "+" added, "-" removed',
    )
    parser.add_argument('--save-path', help='also write the resolved config (.py, .json or .yml)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings that replace those of the config, such as model.backbone.depth=18; '
        'lists as key="[a,b]" or key=a,b',
    )
    return parser.parse_args()


def main() -> int:
    """Entry point; returns the exit code."""
    try:
        args = parse_args()
    except ValueError:  # mmengine's DictAction does not report through argparse
        print('error: --cfg-options takes KEY=VALUE pairs', file=sys.stderr)
        return 1
    try:
        config = load(args.config)
        if args.cfg_options:
            override(config, args.cfg_options)
        if args.diff is None:
            print(config.pretty_text, end='')
        else:
            print_changes(load(args.diff) if args.diff else load_bases(args.config), config)
        if args.save_path:
            save(config, args.save_path)
    except (ConfigError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
