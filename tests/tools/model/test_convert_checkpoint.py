import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from mmdet.registry import MODELS
from tests.backbones.golden import Golden
from tests.checkpoints.test_conversion import detector_config, released
from tests.roi_heads.nano import NUM_CLASSES
from tests.steps import build_detector
from tools.model.convert_checkpoint import main

CLASSES = tuple('abcde')


class _Code:
    def __reduce__(self):
        return os.system, ('true',)


@pytest.fixture
def release(shared, tmp_path):
    """Path of a detector checkpoint as the CBNetV2 release saves it, and of its config here."""
    file = Golden(shared / 'golden/models/cbswin_a.npz')
    model = detector_config('CBSwinTransformer', type='CompositeDetector')
    config = tmp_path / 'config.py'
    Config(dict(model=model)).dump(config)
    weights = released(file, build_detector(model))
    optimizer = dict(state={0: torch.zeros(9)}, param_groups=[])
    meta = dict(CLASSES=CLASSES, mmdet_version='2.14.0', epoch=20)
    source = tmp_path / 'release.pth'
    torch.save(dict(meta=meta, state_dict=weights, optimizer=optimizer), source)
    return source, config


def _fails(capsys, *argv):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, argv)])
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and error.count('\n') == 1
    return error


def test_converted_checkpoint_holds_weights_and_classes_alone(release, tmp_path, capsys):
    source, config = release
    before = source.read_bytes()
    target = tmp_path / 'made/here.pth'
    assert main([str(source), str(target), '--config', str(config)]) == 0
    assert source.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ['here.pth']
    checkpoint = torch.load(target, weights_only=True)
    assert checkpoint.keys() == {'meta', 'state_dict'}
    assert checkpoint['meta'] == dict(dataset_meta=dict(classes=CLASSES))
    detector = MODELS.build(Config.fromfile(config).model)
    detector.load_state_dict(checkpoint['state_dict'])
    report = capsys.readouterr().out
    assert 'backbone.cb_linears.0.1.weight -> backbone.cb_linears.0.0.1.weight' in report
    assert '12  connections of two Swins' in report
    assert '0 of them are not there' in report
    assert report.rstrip().endswith(f'{target}: {len(checkpoint["state_dict"])} tensors')


def test_every_name_is_printed_on_request(release, tmp_path, capsys):
    source, _ = release
    assert main([str(source), str(tmp_path / 'x.pth'), '--list']) == 0
    assert capsys.readouterr().out.count('backbone.cb_linears.0.0.') == 6


def test_existing_file_is_never_overwritten(release, tmp_path, capsys):
    source, _ = release
    target = tmp_path / 'there.pth'
    target.write_text('mine')
    assert 'exists already' in _fails(capsys, source, target)
    assert target.read_text() == 'mine'
    before = source.read_bytes()
    assert 'exists already' in _fails(capsys, source, source)
    assert source.read_bytes() == before


def _write_with_unknown(source):
    checkpoint = torch.load(source, weights_only=True)
    checkpoint['state_dict']['bbox_head.fc.weight'] = torch.zeros(3)
    torch.save(checkpoint, source)


def test_unknown_name_is_left_out_only_on_request(release, tmp_path, capsys):
    source, config = release
    target = tmp_path / 'target.pth'
    _write_with_unknown(source)
    assert 'unknown names (first bbox_head.fc.weight)' in _fails(capsys, source, target)
    assert not target.exists()
    assert main([str(source), str(target), '--partial', '--config', str(config)]) == 0
    assert 'bbox_head.fc.weight' in capsys.readouterr().out
    assert 'bbox_head.fc.weight' not in torch.load(target)['state_dict']


def test_file_without_a_known_name_is_one_error(tmp_path, capsys):
    source, target = tmp_path / 'source.pth', tmp_path / 'target.pth'
    torch.save(dict(state_dict={'backbone.foo': torch.zeros(3)}), source)
    assert 'no tensor of a known name' in _fails(capsys, source, target, '--partial')
    assert not target.exists()


def test_what_does_not_fit_the_config_is_left_out_only_on_request(release, tmp_path, capsys):
    source, config = release
    target = tmp_path / 'target.pth'
    more = f'model.roi_head.bbox_head.num_classes={NUM_CLASSES + 2}'
    argv = [source, target, '--config', config, '--cfg-options', more]
    error = _fails(capsys, *argv)
    assert 'roi_head.bbox_head.0.fc_cls.weight has the shape (6, 32), the model (8, 32)' in error
    assert not target.exists()
    assert main([*map(str, argv), '--partial']) == 0
    left = torch.load(release[0])['state_dict'].keys() - torch.load(target)['state_dict'].keys()
    assert {n for n in left if n.startswith('roi_head')} == {
        f'roi_head.bbox_head.{stage}.fc_cls.{kind}'
        for stage in range(3)
        for kind in ('weight', 'bias')
    }


def test_config_of_another_model_is_one_error(release, tmp_path, capsys):
    source, _ = release
    config = tmp_path / 'other.py'
    Config(dict(model=detector_config('ResNet'))).dump(config)
    argv = [source, tmp_path / 'target.pth', '--config', config]
    with pytest.raises(SystemExit):
        main([*map(str, argv), '--list'])
    shown = capsys.readouterr()
    assert 'tensors do not fit' in shown.err and 'give the config of this model' in shown.err
    foreign = 'backbone.cb_linears.0.0.1.weight is not of this model'
    assert foreign in shown.out and 'backbone.layer1.0.conv1.weight' in shown.out
    _fails(capsys, *argv)
    with pytest.raises(SystemExit):
        main([*map(str, argv)])
    brief = capsys.readouterr().out
    assert foreign not in brief and ' more; --list names them' in brief


def test_single_backbone_becomes_a_composite_one(shared, tmp_path, capsys):
    file = Golden(shared / 'golden/models/cbresnet_a.npz')
    source, target = tmp_path / 'single.pth', tmp_path / 'composite.pth'
    detector = build_detector(detector_config('ResNet'))
    torch.save(released(file, detector, single=True), source)
    config = tmp_path / 'config.py'
    Config(dict(model=detector_config('CBResNet', type='CompositeDetector'))).dump(config)
    argv = [source, target, '--num-backbones', 2, '--config', config]
    assert main([*map(str, argv)]) == 0
    report = capsys.readouterr().out
    assert 'backbone.cb_linears.0.1.0.0.weight' in report and 'do not fit' not in report
    state = torch.load(target)['state_dict']
    for name in (
        'backbone.cb_modules.0.layer4.0.bn1.bias',
        'backbone.cb_modules.1.layer4.0.bn1.bias',
    ):
        assert torch.equal(state[name], file['sd.cb_modules.0.layer4.0.bn1.bias'])
    assert target.stat().st_size < 1.5 * source.stat().st_size  # equal tensors are stored once


@pytest.mark.parametrize('content', [b'no checkpoint', b''])
def test_file_that_is_no_checkpoint_is_one_error(tmp_path, capsys, content):
    source = tmp_path / 'source.pth'
    source.write_bytes(content)
    assert 'source.pth' in _fails(capsys, source, tmp_path / 'target.pth')


def test_missing_file_is_one_error(tmp_path, capsys):
    assert 'no.pth does not exist' in _fails(capsys, tmp_path / 'no.pth', tmp_path / 'target.pth')


def test_code_in_a_checkpoint_is_never_run(tmp_path, capsys):
    source = tmp_path / 'source.pth'
    torch.save(dict(state_dict={}, meta=_Code()), source)
    assert 'refers to code' in _fails(capsys, source, tmp_path / 'target.pth')


def test_help_is_answered_without_torch(root, tmp_path):
    command = [sys.executable, '-X', 'importtime', root / 'tools/model/convert_checkpoint.py', '-h']
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.startswith('usage:') and '--num-backbones' in run.stdout
    assert not {'torch', 'mmdet'} & {
        line.rpartition('|')[2].strip() for line in run.stderr.split('\n')
    }
