#!/usr/bin/env bash
# Trains on a Slurm cluster. From the environment: GPUS (8 in all), GPUS_PER_NODE (GPUS, at most 8),
# CPUS_PER_TASK (5), SRUN_ARGS (more options of srun), PY_ARGS (more arguments of train.py).
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/launch.sh"

need_arguments 4 "Usage: bash $0 PARTITION JOB CONFIG WORK_DIR [arguments of tools/train.py]" "$@"
partition="$1"
job="$2"
config="$3"
work_dir="$4"
shift 4
run_slurm "$partition" "$job" train.py "$config" --work-dir "$work_dir" "$@"
