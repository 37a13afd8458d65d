"""One line for what the user can mend, a traceback for what only we can."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from plugins.errors import UserError


@contextmanager
def report_user_errors(*, after_interrupt: str = '') -> Iterator[None]:
    """End the program with one line on stderr for errors whose message says what to do.

    An error that was raised inside another is searched through its causes.

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
        cause = _user_error(error)
        if cause is None:
            raise
        print(f'error: {cause}', file=sys.stderr, flush=True)
        raise SystemExit(1) from error


def _user_error(error: BaseException | None) -> UserError | None:
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None
