import json
import subprocess
import sys

from plugins.annotations import find_problems, read_annotations
from tools.data.coco_lt import main


def test_a_long_tailed_sample_is_made_from_the_shell(root, shared, tmp_path):
    source = shared / 'data/coco_small/annotations/instances_train.json'
    outs = [tmp_path / name for name in ('a.json', 'b.json')]
    for out in outs:
        done = subprocess.run(
            [
                sys.executable,
                str(root / 'tools/data/coco_lt.py'),
                *(str(source), str(out), '--seed', '4', '--tail-count', '2'),
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert outs[0].read_bytes() == outs[1].read_bytes()
    sampled = read_annotations(outs[0])
    assert find_problems(sampled) == []
    assert min(record['instance_count'] for record in sampled['categories']) == 2


def test_counts_come_from_a_table(data_folder, tmp_path):
    table = tmp_path / 'counts.json'
    rows = [{'name': 'spoon', 'instance_count': 1}, {'name': 'fork', 'instance_count': 1}]
    table.write_text(json.dumps({'categories': rows}))
    out = tmp_path / 'out.json'
    assert main([str(data_folder / 'ann.json'), str(out), '--counts', str(table)]) == 0
    assert sorted(r['category_id'] for r in read_annotations(out)['annotations']) == [5, 7]


def test_user_errors_are_one_line(data_folder, capsys):
    ann, out = str(data_folder / 'ann.json'), str(data_folder / 'out.json')
    table = data_folder / 'counts.json'
    table.write_text('{}')
    for arguments, message in (
        ([ann, out], 'head=20'),
        ([ann, out, '--seed', '-1'], '--seed -1'),
        ([ann, out, '--counts', str(table)], f'{table}: the counts need'),
        ([ann, out, '--counts', str(data_folder / 'no.json')], 'no.json: no such'),
    ):
        assert main(arguments) == 1
        printed = capsys.readouterr().err
        assert printed.startswith('error: ')
        assert message in printed
        assert printed.count('\n') == 1
