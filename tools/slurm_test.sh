#!/usr/bin/env bash
# Tests on a Slurm cluster. From the environment: GPUS (8 in all), GPUS_PER_NODE (GPUS, at most 8),
# CPUS_PER_TASK (5), SRUN_ARGS (more options of srun), PY_ARGS (more arguments of test.py).
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/launch.sh"

need_arguments 4 "Usage: bash $0 PARTITION JOB CONFIG CHECKPOINT [arguments of tools/test.py]" "$@"
partition="$1"
job="$2"
config="$3"
checkpoint="$4"
shift 4
run_slurm "$partition" "$job" test.py "$config" "$checkpoint" "$@"
