import json
import os
import re
import shutil
import signal
import subprocess

import pytest
import torch

WEIGHTS = 'one process/epoch_2.pth'


def _log(experiment, work_dir):
    newest = max((experiment.folder / work_dir).glob('2*/2*.log'), key=os.path.getmtime)
    return newest.read_text()


def test_training_writes_checkpoints_that_load_safely(trained):
    checkpoint = torch.load(trained.folder / WEIGHTS, weights_only=True)
    assert checkpoint['meta']['epoch'] == 2 and checkpoint['optimizer']['state']
    assert (trained.folder / 'one process/last_checkpoint').read_text().endswith('epoch_2.pth')
    assert not list((trained.folder / 'one process').glob('.*'))


def test_one_and_two_processes_test_alike(trained):
    trained.run('dist_test.sh', trained.config, WEIGHTS, '1', '--work-dir', 'test 1')
    trained.run('dist_test.sh', trained.config, WEIGHTS, '2', '--work-dir', 'test 2')
    first, second = trained.metrics('test 1'), trained.metrics('test 2')
    assert first == second and len(first) >= 18
    logged = re.findall(r'(lvis/\S+): (-?[0-9.]+)', _log(trained, 'one process'))
    assert {name: float(value) for name, value in logged} == {
        name: pytest.approx(value, abs=5e-5) for name, value in first.items()
    }


def test_test_writes_pictures_and_predictions(trained):
    trained.run(
        'test.py',
        trained.config,
        WEIGHTS,
        '--work-dir',
        'test 3',
        '--out',
        'found.pkl',
        '--show-dir',
        str(trained.folder / 'pictures'),
    )
    assert len(list((trained.folder / 'pictures').glob('*.jpg'))) == 6
    assert (trained.folder / 'found.pkl').stat().st_size > 0


def test_test_time_augmentation_runs_on_two_processes(trained):
    output = trained.run('dist_test.sh', trained.config, WEIGHTS, '2', '--work-dir', 'tta', '--tta')
    assert 'segm AP_old@300' in output and trained.metrics('tta')


def test_training_on_two_processes_from_weights_of_one(trained):
    # White space in the value of an option is removed by mmengine.
    shutil.copy(trained.folder / WEIGHTS, trained.folder / 'weights.pth')
    options = ['load_from=weights.pth', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1']
    arguments = [trained.config, '2', '--work-dir', 'two processes', '--cfg-options', *options]
    output = trained.run('dist_train.sh', *arguments)
    assert 'segm AP_old@300' in output
    assert (trained.folder / 'two processes/epoch_1.pth').exists()


def test_resume_after_interrupt_continues_at_the_next_iteration(experiment):
    """Ctrl-C in the middle of the second epoch; `--resume` begins with the second epoch."""
    arguments = (experiment.config, '1', '--work-dir', 'interrupted')
    process = subprocess.Popen(
        experiment.command('dist_train.sh', *arguments),
        cwd=experiment.folder,
        env=experiment.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    seen = []
    for line in process.stdout:
        seen.append(line)
        if 'Epoch(train) [2][2/' in line.replace('  ', ' '):
            break
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=300)
    assert process.returncode != 0, ''.join(seen)[-3000:]
    resumed = experiment.run('dist_train.sh', *arguments, '--resume')
    steps = int(re.search(r'resumed epoch: 1, iter: (\d+)', resumed)[1])
    per_epoch = int(re.search(r'Epoch\(train\) +\[2\]\[ *1/(\d+)\]', resumed)[1])
    assert steps == per_epoch
    assert not re.search(r'Epoch\(train\) +\[1\]', resumed)
    assert (experiment.folder / 'interrupted/epoch_2.pth').exists()


def test_truncated_last_checkpoint_falls_back_with_a_warning(trained):
    run = trained.folder / 'damaged'
    run.mkdir()
    for name in ('epoch_1.pth', 'epoch_2.pth', 'last_checkpoint'):
        shutil.copy(trained.folder / 'one process' / name, run)
    content = (run / 'epoch_2.pth').read_bytes()
    (run / 'epoch_2.pth').write_bytes(content[: len(content) // 2])
    output = trained.run('train.py', trained.config, '--work-dir', 'damaged', '--resume')
    assert 'epoch_2.pth is not usable' in output and 'resumed epoch: 1' in output
    assert torch.load(run / 'epoch_2.pth', weights_only=True)['meta']['epoch'] == 2


def test_resuming_without_a_checkpoint_starts_from_the_weights_of_the_config(trained):
    shutil.copy(trained.folder / WEIGHTS, trained.folder / 'start.pth')
    options = ['load_from=start.pth', 'train_cfg.max_epochs=1', 'train_cfg.val_begin=9']
    arguments = ['--work-dir', 'requeued', '--resume', '--cfg-options', *options]
    output = trained.run('train.py', trained.config, *arguments)
    assert 'no complete checkpoint in requeued' in output and 'from start.pth' in output


@pytest.mark.parametrize(
    ('script', 'arguments', 'message'),
    [
        ('test.py', ['nowhere.pth'], r'nowhere\.pth does not exist'),
        (
            'test.py',
            [WEIGHTS, '--cfg-options', 'model.roi_head.bbox_head.fc_out_channels=64'],
            r'one process/epoch_2\.pth was made for another architecture',
        ),
        (
            'train.py',
            ['--cfg-options', 'model.roi_head.mask_head.num_classes=9'],
            r'num_classes is 9 in roi_head\.mask_head, but the train data set .* has 7',
        ),
        (
            'train.py',
            ['--cfg-options', 'train_dataloader.dataset.ann_file=nowhere.json'],
            r'nowhere\.json',
        ),
        ('train.py', ['--amp'], '--amp needs a GPU'),
    ],
    ids=['checkpoint', 'architecture', 'classes', 'annotations', 'amp'],
)
def test_wrong_input_ends_with_one_line(trained, script, arguments, message):
    output = trained.run(script, trained.config, *arguments, '--work-dir', 'wrong', status=1)
    errors = [line for line in output.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1 and re.search(message, errors[0]), output[-3000:]
    assert 'Traceback' not in output


def test_result_files_score_the_same_outside_the_runner(trained):
    """AP in the log, on one and two processes, is that of tools/evaluate.py on the dumped files."""
    annotations = 'tiny data/annotations/synthetic_val.json'
    for processes in ('1', '2'):
        prefix = f'dumped{processes}/found'
        options = [f'test_evaluator.outfile_prefix={prefix}', 'test_evaluator.dets_per_class=50']
        arguments = [trained.config, WEIGHTS, processes, '--work-dir', f'dump {processes}']
        trained.run('dist_test.sh', *arguments, '--cfg-options', *options)
        logged = trained.metrics(f'dump {processes}')
        for iou_type in ('bbox', 'segm'):
            trained.run(
                'evaluate.py', annotations, f'{prefix}.{iou_type}.json', '--iou', iou_type,
                '--dets-per-class', '50', '--out', 'scores.json',
            )  # fmt: skip
            scores = json.loads((trained.folder / 'scores.json').read_text())[iou_type]
            for protocol in ('old@300', 'fixed@50'):
                for name in ('AP', 'AP50', 'APs', 'APr', 'APf'):
                    key = f'lvis/{iou_type}_{name}_{protocol}'
                    assert logged[key] == scores[protocol][name], key
