"""``--help`` of the tools answers without loading torch."""

import subprocess
import sys

import pytest

TOOLS = (
    'train.py',
    'test.py',
    'predict.py',
    'print_config.py',
    'browse_dataset.py',
    'benchmarks/run.py',
    'benchmarks/annotation_files.py',
    'benchmarks/annotation_startup.py',
    'model/convert_checkpoint.py',
    'data/generate.py',
    'data/coco_to_lvis.py',
    'data/check.py',
    'data/stats.py',
    'evaluate.py',
    'analysis/report.py',
    'analysis/calibrate.py',
    'analysis/sweep.py',
    'analysis/federated_simulation.py',
    'analysis/tabulate.py',
)


@pytest.mark.parametrize('tool', TOOLS)
def test_help_is_answered_without_torch_and_mmdet(root, tmp_path, tool):
    command = [sys.executable, '-X', 'importtime', str(root / 'tools' / tool), '--help']
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.startswith('usage:')
    imported = {
        line.rpartition('|')[2].strip()
        for line in run.stderr.splitlines()
        if line.startswith('import time:')
    }
    assert 'argparse' in imported
    assert not imported & {'torch', 'mmdet', 'mmcv', 'plugins.ops'}


@pytest.mark.parametrize(
    'script', ['quickstart.sh', 'run_tests.sh', 'setup_env.sh', 'dist_train.sh', 'dist_test.sh']
)
def test_help_of_a_shell_script_names_its_usage(root, tmp_path, script):
    command = ['bash', str(root / 'tools' / script), '--help']
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0
    assert run.stdout.startswith('Usage: bash ')
