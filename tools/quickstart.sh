#!/usr/bin/env bash
# From a fresh clone to a trained and tested model with pictures; see usage below.
set -euo pipefail
root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
config=configs/quickstart/mask-rcnn_nano_fpn_rfs5e-2-6e_synthetic.py
data=data/synthetic
work_dir=work_dirs/quickstart

usage() {
    cat <<USAGE
Usage: bash tools/quickstart.sh

Sets the environment up, makes the built-in long-tailed data set, trains a very small Mask R-CNN on
it (on all GPUs, or in one process without), tests it, and draws its predictions next to the ground
truth. About 5 minutes on two cores after the installation. What exists is reused, and what was
interrupted goes on where it stopped.

  $data          the data set
  $work_dir     checkpoints, logs, metrics and pictures; remove it to train again

Environment variables: PYTHON and MMTAIL_VENV as in tools/setup_env.sh.
USAGE
}

step() { printf '\n[%s/5] %s (after %d s)\n' "$1" "$2" "$SECONDS"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Name of the checkpoint that training ends with, as mmengine writes it.
final_checkpoint() {
    "$python" - "$config" <<'PY'
import sys
from mmengine.config import Config

loop = Config.fromfile(sys.argv[1], import_custom_modules=False).train_cfg
if loop.get('by_epoch', loop.get('type') == 'EpochBasedTrainLoop'):
    print(f'epoch_{loop.max_epochs}.pth')
else:
    print(f'iter_{loop.max_iters}.pth')
PY
}

train() {
    local arguments=(--work-dir "$work_dir")
    if [ -s "$work_dir/last_checkpoint" ]; then
        echo "an interrupted training is there: it goes on from its last checkpoint"
        arguments+=(--resume)
    fi
    bash tools/dist_train.sh "$config" "$gpus" "${arguments[@]}" \
        || die "training stopped; run this again to go on from the last checkpoint"
}

case "${1:-}" in
    '') ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
esac
cd -- "$root"
trap 'echo "interrupted: run this again to continue" >&2; exit 130' INT TERM

step 1 'Environment'
python="$(bash tools/setup_env.sh)"
export PYTHON="$python"
echo "using $python"
gpus="$("$python" -c 'import torch; print(torch.cuda.device_count())')"
if [ "$gpus" = 0 ]; then
    gpus=1
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
fi

step 2 'Data set'
"$python" tools/data/generate.py "$data"

checkpoint="$work_dir/$(final_checkpoint)"
if [ -s "$checkpoint" ]; then
    step 3 'Training: finished before, nothing to do'
else
    step 3 "Training on $gpus process(es)"
    train
    [ -s "$checkpoint" ] || die "training ended without writing $checkpoint"
fi

step 4 'Testing'
mkdir -p "$work_dir/pictures"
"$python" tools/test.py "$config" "$checkpoint" --work-dir "$work_dir/test" \
    --show-dir "$root/$work_dir/pictures" \
    || die 'testing stopped, see the lines above'

step 5 'Done'
shopt -s nullglob
latest() { if [ $# -gt 0 ]; then printf '%s\n' "$root/${!#}"; fi; }
# The metric's own lines, each with the name of its protocol, out of the log of the test.
sed -n 's/.* INFO - \([a-z]* AP[a-z_]*.*(%).*\)/\1/p' "$(latest "$work_dir"/test/2*/2*.log)"
printf '%s\n' '' \
    "checkpoint  $root/$checkpoint" \
    "log         $(latest "$work_dir"/2*/2*.log)" \
    "metrics     $(latest "$work_dir"/test/2*/2*.json)" \
    "pictures    $root/$work_dir/pictures (ground truth left, prediction right)"
