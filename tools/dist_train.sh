#!/usr/bin/env bash
# Trains with one process per GPU (without a GPU: with GPUS processes on the CPU), on one machine
# or, with NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment, on several.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/launch.sh"

need_arguments 2 "Usage: bash $0 CONFIG GPUS [arguments of tools/train.py]" "$@"
config="$1"
gpus="$2"
shift 2
run_distributed "$gpus" train.py "$config" "$@"
