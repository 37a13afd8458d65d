"""kill -9 in the middle of a test on two processes, and going on with three."""

import glob
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

WEIGHTS = 'one process/epoch_2.pth'
# The 16 training images, so that there is a middle.
OPTIONS = (
    'test_dataloader.dataset.ann_file=annotations/synthetic_train.json',
    'test_evaluator.ann_file=train.json',
    'model.test_cfg.rcnn.score_thr=0.0',
)
KINDS = ('bbox', 'segm')


def _descendants(pid):
    children = [
        int(child)
        for path in glob.glob(f'/proc/{pid}/task/*/children')
        for child in Path(path).read_text().split()
    ]
    return [pid, *(one for child in children for one in _descendants(child))]


def _kill_when_both_have_stored_something(process, results):
    deadline = time.monotonic() + 300
    while sum(path.stat().st_size > 100 for path in results.glob('*/metric0/*.detections')) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    for pid in reversed(_descendants(process.pid)):
        os.kill(pid, signal.SIGKILL)
    process.wait(60)


def _arguments(work_dir, *flags):
    options = [*OPTIONS, f'test_evaluator.outfile_prefix={work_dir}/found']
    return ['--work-dir', work_dir, '--dets-per-class', '9', *flags, '--cfg-options', *options]


def test_killed_test_goes_on_and_scores_as_if_nothing_had_happened(trained):
    folder = trained.folder
    # White space in the value of an option is removed by mmengine.
    annotations = folder / 'tiny data/annotations/synthetic_train.json'
    (folder / 'train.json').write_text(annotations.read_text())
    trained.run('test.py', trained.config, WEIGHTS, *_arguments('undisturbed'))

    command = trained.command('dist_test.sh', trained.config, WEIGHTS, '2', *_arguments('killed'))
    with open(folder / 'killed.log', 'w') as log:
        process = subprocess.Popen(
            command, cwd=folder, env=trained.environment(), stdout=log, stderr=subprocess.STDOUT
        )
        _kill_when_both_have_stored_something(process, folder / 'killed/results')
    assert not list((folder / 'killed').glob('found*'))

    output = trained.run(
        'dist_test.sh', trained.config, WEIGHTS, '3', *_arguments('killed', '--resume')
    )
    done = int(re.search(r'resuming the test .*: (\d+) of 16 images are done', output)[1])
    steps = int(re.search(r'Epoch\(test\) \[(\d+)/\1\]', output)[1])
    assert 2 <= done < 16 and steps == -(-(16 - done) // 3)
    assert trained.metrics('killed') == trained.metrics('undisturbed')
    for kind in KINDS:
        one, other = (folder / run / f'found.{kind}.json' for run in ('undisturbed', 'killed'))
        assert one.read_bytes() == other.read_bytes() and len(json.loads(one.read_text())) > 20
    assert not (folder / 'killed/results').exists()
