import math

import cv2
import matplotlib.axes
import numpy as np
import pytest

from plugins.hooks.ap_curve import Panel, Validation, ap_values, draw_ap_curve, find_panels

OLD = {f'lvis/segm_AP{group}_old@300': 0.1 for group in ('', 'r', 'c', 'f')}


def test_ap_of_all_and_of_groups_is_chosen_and_nothing_else():
    others = {
        'lvis/segm_AP50_old@300': 0.3,
        'lvis/segm_APs_old@300': 0.3,
        'lvis/segm_AR_old@300': 0.3,
        'lvis/segm_AP1_bins@300': 0.3,
        'coco/segm_mAP_50': 0.3,
        'coco/segm_mAP_copypaste': 0.3,
        'loss': 0.3,
    }
    assert ap_values({**OLD, **others}) == OLD
    plain = {'coco/bbox_mAP': np.float32(0.5), 'lvis/segm_APr': 0.2, 'bbox_AP_fixed@-1': 0.1}
    assert ap_values(plain) == plain
    assert all(type(value) is float for value in ap_values(plain).values())


def test_panels_are_named_by_protocol_and_kind():
    history = [
        Validation(1, {**OLD, 'lvis/bbox_AP_fixed@10000': 0.2, 'boundary_AP': 0.1}),
        Validation(2, {'coco/bbox_mAP': 0.5}),
    ]
    panels = find_panels(history)
    assert [panel.title for panel in panels] == [
        'lvis: mask AP_old@300',
        'lvis: box AP_fixed@10000',
        'boundary AP',
        'coco: box AP',
    ]
    assert set(panels[Panel('lvis', 'old@300', 'segm')]) == {'', 'r', 'c', 'f'}


def test_curves_without_a_defined_value_are_left_out():
    values = {**OLD, 'lvis/segm_APr_old@300': -1.0, 'lvis/bbox_AP_old@300': math.nan}
    panels = find_panels([Validation(1, values), Validation(2, values)])
    assert [set(groups) for groups in panels.values()] == [{'', 'c', 'f'}]
    assert find_panels([]) == {} == find_panels([Validation(1, {'a_AP': -1.0})])


@pytest.fixture
def lines(monkeypatch):
    """What is drawn: label, times, values."""
    drawn = []
    plot = matplotlib.axes.Axes.plot

    def note(axes, x, y, **options):
        drawn.append((options.get('label'), np.atleast_1d(x), np.atleast_1d(y)))
        return plot(axes, x, y, **options)

    monkeypatch.setattr(matplotlib.axes.Axes, 'plot', note)
    return drawn


def _history(aps, start=1):
    return [
        Validation(at, {key: -1.0 if ap == -1 else ap + 0.01 * i for i, key in enumerate(OLD)})
        for at, ap in enumerate(aps, start)
    ]


def test_lines_are_in_per_cent_with_gaps_and_the_first_best_is_marked(tmp_path, lines):
    draw_ap_curve(_history([0.1, 0.3, -1, 0.3, 0.2]), 'epoch', tmp_path / 'ap.png')
    labels = [label for label, _, _ in lines]
    assert labels == [
        'AP (all)', 'APr (rare)', 'APc (common)', 'APf (frequent)', 'best AP 30.00 at epoch 2',
    ]  # fmt: skip
    np.testing.assert_allclose(lines[0][2], [10, 30, np.nan, 30, 20])
    np.testing.assert_allclose(lines[3][2], [13, 33, np.nan, 33, 23])
    assert lines[0][1].tolist() == [1, 2, 3, 4, 5] and lines[4][1].tolist() == [2]


@pytest.mark.parametrize('aps', [[0.2], [0.1, 0.2, 0.15] * 30], ids=['one epoch', 'many'])
def test_picture_is_complete_and_not_blank(tmp_path, aps):
    path = tmp_path / 'ap.png'
    draw_ap_curve(_history(aps), 'iteration', path)
    picture = cv2.imread(str(path))
    assert picture.shape[0] > 300 and picture.shape[1] > 400
    # The axes, the grid, and at least the marks of the blue line.
    blue = np.abs(picture.astype(int) - (0xB6, 0x6F, 0x3B)).sum(2) < 30
    assert blue.sum() > 20 and (picture == 255).mean() > 0.5
    assert [p.name for p in tmp_path.iterdir()] == ['ap.png']


def test_every_protocol_has_a_row_and_every_kind_a_column(tmp_path):
    one = _history([0.1, 0.2])
    more = [
        Validation(v.at, {**v.values, 'lvis/bbox_AP_old@300': 0.2, 'lvis/segm_AP_fixed@9': 0.1})
        for v in one
    ]
    draw_ap_curve(one, 'epoch', tmp_path / 'one.png')
    draw_ap_curve(more, 'epoch', tmp_path / 'more.png')
    small, large = (cv2.imread(str(tmp_path / f'{name}.png')).shape for name in ('one', 'more'))
    assert large[0] == 2 * small[0] and large[1] == 2 * small[1]


@pytest.mark.parametrize(('suffix', 'start'), [('.pdf', b'%PDF'), ('.svg', b'<?xml')])
def test_other_file_types(tmp_path, suffix, start):
    draw_ap_curve(_history([0.1]), 'epoch', tmp_path / f'ap{suffix}')
    assert (tmp_path / f'ap{suffix}').read_bytes().startswith(start)
