"""One line for what the user can mend, a traceback for what only we can."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from plugins.annotations import AnnotationError
from plugins.checkpoints import CheckpointError


class UserError(ValueError):
    """A setting, file or combination that the user has to change."""


@contextmanager
def report_user_errors() -> Iterator[None]:
    """End the program with one line on stderr for errors whose message says what to do.

    An error that was raised inside another (a registry wraps what a constructor raises) is
    searched through its causes.

    Raises:
        SystemExit: With status 1, after the message was printed.
    """
    try:
        yield
    except KeyboardInterrupt:
        print('interrupted; run the same command with --resume to continue', file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        cause = _user_error(error)
        if cause is None:
            raise
        print(f'error: {cause}', file=sys.stderr, flush=True)
        raise SystemExit(1) from error


def _user_error(error: BaseException | None) -> BaseException | None:
    while error is not None:
        if isinstance(error, UserError | AnnotationError | CheckpointError):
            return error
        error = error.__cause__ or error.__context__
    return None
