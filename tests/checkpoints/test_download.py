import functools
import http.server
import os
import threading

import pytest
import torch
from mmengine.runner.checkpoint import _load_checkpoint

from plugins.checkpoints import CheckpointError, download


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class _RunsOnLoad:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f'touch {self.mark}',)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder, the address it is served at, and a cache of its own for torch."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    folder = tmp_path / 'site'
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def test_downloaded_checkpoint_cannot_run_code(site, tmp_path):
    folder, address = site
    torch.save(dict(state_dict={}, meta=_RunsOnLoad(tmp_path / 'executed')), folder / 'bad.pth')
    with pytest.raises(CheckpointError, match=r'bad\.pth refers to code'):
        _load_checkpoint(f'{address}/bad.pth', map_location='cpu')
    assert not (tmp_path / 'executed').exists()


def test_weights_are_downloaded_once(site):
    folder, address = site
    torch.save(dict(state_dict=dict(w=torch.arange(3))), folder / 'good.pth')
    first = _load_checkpoint(f'{address}/good.pth', map_location='cpu')
    (folder / 'good.pth').unlink()
    again = _load_checkpoint(f'{address}/good.pth', map_location='cpu')
    assert first['state_dict']['w'].tolist() == again['state_dict']['w'].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ('models', 'name'),
    [
        ('get_torchvision_models', 'torchvision://tiny'),
        ('get_torchvision_models', 'modelzoo://tiny'),
        ('get_external_models', 'open-mmlab://tiny'),
        ('get_external_models', 'openmmlab://tiny'),
    ],
)
def test_names_of_models_take_the_same_way(site, tmp_path, monkeypatch, models, name):
    folder, address = site
    torch.save(dict(meta=_RunsOnLoad(tmp_path / 'executed')), folder / 'tiny.pth')
    monkeypatch.setattr(download, models, lambda: dict(tiny=f'{address}/tiny.pth'))
    with pytest.raises(CheckpointError, match=r'tiny\.pth refers to code'):
        _load_checkpoint(name, map_location='cpu')
    assert not (tmp_path / 'executed').exists()


def test_what_cannot_be_had_is_named(site):
    _, address = site
    with pytest.raises(CheckpointError, match=r'nowhere\.pth cannot be downloaded \(.*404'):
        _load_checkpoint(f'{address}/nowhere.pth')
    with pytest.raises(CheckpointError, match="no address for the model 'resnet51'"):
        _load_checkpoint('torchvision://resnet51')


def test_classification_weights_give_their_backbone_only(site, monkeypatch):
    folder, address = site
    weights = {'backbone.conv.w': torch.zeros(1), 'head.fc.w': torch.zeros(1)}
    torch.save(dict(state_dict=weights), folder / 'cls.pth')
    monkeypatch.setattr(download, 'get_mmcls_models', lambda: dict(tiny=f'{address}/cls.pth'))
    assert list(_load_checkpoint('mmcls://tiny')['state_dict']) == ['conv.w']
