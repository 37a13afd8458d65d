# shellcheck shell=bash
# Shared by dist_*.sh and slurm_*.sh: sourced, never run. Relative paths of the caller stay valid
# because nothing here changes the directory.

tools="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
root="$(dirname -- "$tools")"

# $PYTHON, else the repository's environment, else whatever `python` is active.
python="${PYTHON:-$root/.venv/bin/python}"
if [ -z "${PYTHON:-}" ] && [ ! -x "$python" ]; then python=python; fi

# Plugin modules of the user that a config imports are looked up from the repository root.
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"

# Prints the line of usage in "$2" and ends when fewer than "$1" of the other arguments are there.
need_arguments() {
    local needed="$1" usage="$2"
    shift 2
    case "${1:-}" in -h | --help) printf '%s\n' "$usage"; exit ;; esac
    if [ $# -lt "$needed" ]; then
        printf '%s\n' "$usage" >&2
        exit 2
    fi
}

has_gpu() {
    [ "${CUDA_VISIBLE_DEVICES-unset}" != '' ] && [ "${CUDA_VISIBLE_DEVICES-unset}" != -1 ] \
        && nvidia-smi -L 2>/dev/null | grep -q GPU
}

# Runs `tools/$2 $3...` in $1 processes on this machine, as mmdet's NNODES, NODE_RANK, PORT and
# MASTER_ADDR say.
run_distributed() {
    local processes="$1" script="$tools/$2" rendezvous
    shift 2
    case "$processes" in
        '' | *[!0-9]* | 0)
            printf "error: GPUS must be a number of processes, 1 or more, not '%s'\n" "$processes" >&2
            exit 2
            ;;
    esac
    # OpenMP's workers spin while they wait: processes that share cores slow each other down by
    # a multiple. With a GPU the choice is torch's.
    if [ -z "${OMP_NUM_THREADS:-}" ] && ! has_gpu; then export OMP_NUM_THREADS=1; fi
    if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
        # One machine and no port asked for: a free one is found, so that two jobs can share the
        # machine. mmdet's fixed 29500 lets the second die. The address is given because the
        # machine's own name need not resolve.
        rendezvous=(--standalone --local-addr=127.0.0.1)
    else
        # Several machines have to know the port beforehand: 29500 as in mmdet.
        rendezvous=(
            --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}"
            --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}"
        )
    fi
    exec "$python" "$tools/launch.py" "${rendezvous[@]}" --nproc-per-node="$processes" \
        "$script" --launcher pytorch "$@"
}

# Runs `tools/$3 $4...` under srun in partition $1 as job $2, with mmdet's GPUS, GPUS_PER_NODE,
# CPUS_PER_TASK, SRUN_ARGS and PY_ARGS.
run_slurm() {
    local partition="$1" job="$2" script="$tools/$3" gpus="${GPUS:-8}" gpus_per_node
    shift 3
    # mmdet asks for 8 GPUs per machine even when the job has fewer.
    gpus_per_node="${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}"
    # SRUN_ARGS and PY_ARGS hold several options each and are split at blanks on purpose.
    # shellcheck disable=SC2086
    exec srun --partition="$partition" --job-name="$job" --gres="gpu:$gpus_per_node" \
        --ntasks="$gpus" --ntasks-per-node="$gpus_per_node" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
        "$python" -u "$script" --launcher slurm "$@" ${PY_ARGS:-}
}
