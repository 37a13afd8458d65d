#!/usr/bin/env bash
# Tests with one process per GPU (without a GPU: with GPUS processes on the CPU), on one machine
# or, with NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment, on several.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/launch.sh"

need_arguments 3 "Usage: bash $0 CONFIG CHECKPOINT GPUS [arguments of tools/test.py]" "$@"
config="$1"
checkpoint="$2"
gpus="$3"
shift 3
run_distributed "$gpus" test.py "$config" "$checkpoint" "$@"
