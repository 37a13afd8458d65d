"""Visualizers of configs without what would write files."""

import numpy as np
import pytest
from mmengine.config import Config

from mmdet.registry import VISUALIZERS
from mmdet.visualization import DetLocalVisualizer
from plugins.visualization import EncodedMaskVisualizer, bare_visualizer

BACKENDS = [dict(type='LocalVisBackend')]


@pytest.mark.parametrize(
    'config',
    [
        {},
        dict(visualizer=dict(type='EncodedMaskVisualizer', vis_backends=BACKENDS)),
        dict(visualizer=dict(type='DetLocalVisualizer', vis_backends=BACKENDS, _scope_='mmdet')),
    ],
    ids=['none', 'ours', 'stock'],
)
def test_it_draws_and_writes_nothing(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if config:
        config['visualizer']['save_dir'] = str(tmp_path / 'written')
    config = Config(config)
    before = config.to_dict()
    visualizer = bare_visualizer(config, dict(classes=('a', 'b')))
    assert type(visualizer) is EncodedMaskVisualizer
    assert visualizer.dataset_meta == dict(classes=('a', 'b'))
    visualizer.add_datasample('x', np.zeros((8, 8, 3), np.uint8), draw_gt=False)
    assert visualizer.get_image().shape == (8, 8, 3)
    assert not list(tmp_path.iterdir())
    assert config.to_dict() == before


def test_options_and_other_kinds_are_those_of_the_config():
    @VISUALIZERS.register_module()
    class CertainVisualizer(DetLocalVisualizer):
        pass

    try:
        config = Config(dict(visualizer=dict(type='CertainVisualizer', alpha=0.3)))
        visualizers = [bare_visualizer(config, dict(classes=(name,))) for name in 'ab']
    finally:
        VISUALIZERS.module_dict.pop('CertainVisualizer')
    assert all(type(one) is CertainVisualizer and one.alpha == 0.3 for one in visualizers)
    assert [one.dataset_meta['classes'] for one in visualizers] == [('a',), ('b',)]
