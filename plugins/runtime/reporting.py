"""One line for what the user can mend, a traceback for what only we can."""

import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from plugins.errors import UserError

# What torch's DataLoader makes of an error in a worker, and of the end of a worker.
_RAISED_IN_WORKER = re.compile(r'Caught \w+ in DataLoader worker process \d+\.')
_WORKER_ENDED = re.compile(
    r'DataLoader worker \(pid(?:\(s\))? [\d, ]+\) '
    r'(?:is killed by signal: [\w ]+|exited unexpectedly(?: with exit code \d+)?)'
)
_NO_SHARED_MEMORY = re.compile(r"unable to \w+ [^\n']*(</torch_|shared memory)[^\n']*")
_PEER_ENDED = re.compile(r'gloo[^\n]*Connection (closed|reset) by peer|remote process exited')
_CHAINED = re.compile(r'\n\n(?:During handling of|The above exception was)[^\n]*:\n')


@contextmanager
def report_user_errors(*, after_interrupt: str = '') -> Iterator[None]:
    """End the program with one line on stderr for errors whose message says what to do.

    An error that was raised inside another is searched through its causes, also where a worker of
    a data loader raised it, which turns it into text. A worker that was killed counts as an error
    that the user can mend: nearly always memory is short. In a distributed run one process says
    what happened, and the others that it is gone.

    Args:
        after_interrupt: What the user can do after Ctrl-C, one sentence.

    Raises:
        SystemExit: With status 1 after an error and 130 after Ctrl-C, when the line is printed.
    """
    try:
        yield
    except KeyboardInterrupt:
        print('; '.join(filter(None, ['interrupted', after_interrupt])), file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        message = _user_message(error)
        if message is None:
            raise
        _stop_watching_children()
        print(f'error: {message}', file=sys.stderr, flush=True)
        raise SystemExit(1) from error


def _stop_watching_children() -> None:
    """Take away torch's handler, which raises in the middle of whatever is done from now on."""
    if hasattr(signal, 'SIGCHLD') and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _user_message(error: BaseException | None) -> str | None:
    while error is not None:
        text = str(error)
        if _RAISED_IN_WORKER.match(text):
            message = _message_in(text) or _lost_process(text)
        elif isinstance(error, UserError):
            message = text
        else:
            message = _lost_process(text)
        if message is not None:
            return message
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _message_in(traceback: str) -> str | None:
    """Return the message of the last user error that a worker's printed traceback ends with."""
    names = {f'{kind.__module__}.{kind.__qualname__}' for kind in _kinds(UserError)}
    for part in reversed(_CHAINED.split(traceback)):
        # Source lines and frames are indented; the error itself is not.
        for match in re.finditer(r'^([\w.]+): ', part, re.MULTILINE):
            if match[1] in names:
                return part[match.end() :].strip()
    return None


def _kinds(base: type) -> Iterator[type]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


def _lost_process(text: str) -> str | None:
    """What to do if the error says that another process came to an end."""
    if _PEER_ENDED.search(text):
        return 'another process of this distributed run came to an end; its message says why'
    found = _WORKER_ENDED.search(text) or _NO_SHARED_MEMORY.search(text)
    if found is None:
        return None
    return (
        f'a data-loading worker came to an end ({found[0].strip()}), most likely because memory or '
        'shared memory (/dev/shm) ran out; lower train_dataloader.num_workers or '
        'train_dataloader.batch_size (in evaluation those of val_dataloader or test_dataloader), '
        'or give the machine more memory'
    )
