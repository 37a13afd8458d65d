"""Start distributed processes with torch's launcher, and end with what a failed one said.

The launcher itself would print a page of traceback below the one line that matters. Takes the
arguments of ``torchrun``.
"""

import signal
import sys


def describe(exit_code: int) -> str:
    """What the end of a process means, given its exit code (negative: minus a signal's number)."""
    if exit_code >= 0:
        return f'ended with status {exit_code}'
    name = signal.Signals(-exit_code).name
    hint = ', most often for want of memory' if -exit_code == signal.SIGKILL else ''
    return f'was killed by {name}{hint}'


def main() -> int:
    """Entry point; returns the exit code of the first process that failed."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun()
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        # What it printed stands above; only a killed process could say nothing.
        print(f'process {rank} {describe(failure.exitcode)}', file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as error:
        return 128 + error.sigval
    return 0


if __name__ == '__main__':
    sys.exit(main())
