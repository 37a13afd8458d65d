"""CPU time and peak memory of a call in this process, or of a fresh process."""

import ctypes
import gc
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MIB = 2**20


class BenchmarkError(RuntimeError):
    """A side of a benchmark did not run; the message carries what it printed."""


@dataclass(frozen=True)
class FreshProcess:
    """A command measured from its start to its end; its result is what it prints on stdout.

    Args:
        command: program and arguments.
        environment: variables on top of those of this process.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """CPU seconds (user and system, children included) and peak memory in MiB, if known."""

    seconds: float
    megabytes: float | None


@dataclass(frozen=True)
class Measurement:
    """What a run cost and what it returned."""

    cost: Cost
    result: object


def measure(side: Callable[[object], object] | FreshProcess, inputs: object) -> Measurement:
    """Run one side of a benchmark once.

    Raises:
        BenchmarkError: a fresh process ended with an error.
    """
    if isinstance(side, FreshProcess):
        return _measure_process(side)
    return _measure_call(side, inputs)


def _measure_call(function: Callable[[object], object], inputs: object) -> Measurement:
    """Wall time is of no use on a shared machine, hence CPU time."""
    gc.collect()
    _return_free_memory()
    before_mb = _restart_peak()
    before_s = _cpu_seconds()
    result = function(inputs)
    seconds = _cpu_seconds() - before_s
    peak_mb = _status_mb('VmHWM')
    known = before_mb is not None and peak_mb is not None
    return Measurement(Cost(seconds, max(0.0, peak_mb - before_mb) if known else None), result)


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _return_free_memory() -> None:
    """Make the allocator give back what earlier runs freed: reuse of it would not show."""
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)


def _restart_peak() -> float | None:
    """Reset the kernel's record of this process's peak memory; returns the present use in MiB."""
    try:
        Path('/proc/self/clear_refs').write_text('5')
    except OSError:
        return None
    return _status_mb('VmRSS')


def _status_mb(key: str) -> float | None:
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(key)), None)


def _measure_process(process: FreshProcess) -> Measurement:
    """The memory is the largest of any process in the tree, as ``wait4`` reports it.

    It is never below this process's own memory at the time, which Linux counts into a child's
    record before the new program starts: another reason to keep ``items`` light.
    """
    environment = {**os.environ, **process.environment}
    # Files, not pipes: nobody reads while wait4 waits.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(process.command, stdout=out, stderr=err, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            tail = err.read().decode(errors='replace')[-2000:]
            command = ' '.join(process.command)
            raise BenchmarkError(f'`{command}` ended with status {child.returncode}:\n{tail}')
        # Linux counts ru_maxrss in KiB, macOS in bytes.
        unit = 1024 if os.uname().sysname == 'Linux' else 1
        cost = Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / MIB)
        return Measurement(cost, out.read().decode())
