#!/usr/bin/env bash
# Sets the environment up and runs the test suite, one process per core.
set -euo pipefail
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"

usage() {
    cat <<'USAGE'
Usage: bash tools/run_tests.sh [arguments of pytest]

Sets the environment up (tools/setup_env.sh) and runs the tests from the repository root, one
process per core; `-n 4` takes four. Examples:
  bash tools/run_tests.sh                        the whole default suite
  bash tools/run_tests.sh tests/ops -k nms       a part of it
  bash tools/run_tests.sh -m slow                what needs minutes
USAGE
}

# Cores this process may use; a container's quota counts, the machine's size does not.
count_cores() {
    local cores quota period
    cores="$("$1" -c 'import os
print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')"
    if [ -r /sys/fs/cgroup/cpu.max ] && read -r quota period </sys/fs/cgroup/cpu.max \
        && [ "$quota" != max ] && [ $(((quota + period - 1) / period)) -lt "$cores" ]; then
        cores=$(((quota + period - 1) / period))
    fi
    printf '%s\n' "$cores"
}

case "${1:-}" in -h | --help) usage; exit ;; esac
python="$(bash "$root/tools/setup_env.sh")"
# One thread per process: OpenMP's workers spin, and two on a core take several times as long.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
workers="$(count_cores "$python")"
cd -- "$root"
exec "$python" -m pytest -n "$workers" --dist worksteal "$@"
