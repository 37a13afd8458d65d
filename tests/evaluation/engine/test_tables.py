"""Printed tables: each number with its type of IoU and its protocol."""

import io

from plugins.evaluation.engine.tables import format_value, print_report

SUMMARY = {'AP': 0.12345, 'AP50': 0.5, 'APr': -1.0, 'AR@300': 0.25, 'ARs@300': -1.0}


def printed(report, **options):
    file = io.StringIO()
    print_report(report, file=file, **options)
    return file.getvalue()


def cells(text, label):
    """The cells of the only row with this label."""
    (row,) = [line.split() for line in text.splitlines() if line.split()[:1] == [label]]
    return row[1:]


def test_values_are_in_percent_and_undefined_ones_a_dash():
    assert [format_value(v) for v in (0.12345, 0, 1, -1.0, None)] == [
        '12.35', '0.00', '100.00', '-', '-'
    ]  # fmt: skip


def test_rows_are_labelled_with_their_protocol_and_explained():
    text = printed({'segm': {'old@300': SUMMARY}}, title='(lvis rules, x.json)')
    assert text.startswith('mask AP in % (lvis rules, x.json)')
    assert cells(text, 'AP_old@300') == ['12.35', '50.00', '-']
    assert cells(text, 'AR_old@300') == ['25.00', '-', '-', '-']
    assert 'AP_old@300: the 300 best results of each image' in text


def test_every_type_of_iou_has_its_own_tables():
    report = {'segm': {'old@300': SUMMARY}, 'boundary': {'old@300': {**SUMMARY, 'AP': 0.07}}}
    text = printed(report)
    assert text.index('mask AP') < text.index('12.35') < text.index('boundary AP')
    assert text.index('boundary AP') < text.index('7.00')
    assert text.count('AP_old@300: ') == 1


def test_bins_carry_their_limits():
    bins = {'AP1': -1.0, 'AP2': 0.2, 'AP3': 0.4, 'AP4': 0.6, 'bAP': 0.4}
    text = printed({'bbox': {'old@300': SUMMARY, 'bins@300': bins}}, bins='coco-lt')
    assert 'box AP in % by training instances' in text
    assert '20-399' in text
    assert cells(text, 'AP_bins@300') == ['-', '20.00', '40.00', '60.00', '40.00']


def test_the_gain_of_reranking_is_shown():
    reranked = {**SUMMARY, 'AP': 0.13345, 'AP50': 0.4}
    text = printed({'segm': {'old@300': SUMMARY, 'rerank20@300': reranked}})
    assert cells(text, 'AP_rerank20@300') == ['13.35', '40.00', '-']
    assert cells(text, 'minus')[1:] == ['+1.00', '-10.00', '-']
    assert 'the 20 best results of each category, of these the 300 best' in text


def test_the_table_of_categories_has_a_column_per_protocol():
    row = {
        'name': 'a rather long name of a category', 'frequency': '', 'instances': 1234,
        'train_instances': 5, 'old@300': SUMMARY, 'fixed@10': {'AP': 0.2},
    }  # fmt: skip
    report = {'segm': {'old@300': SUMMARY, 'fixed@10': SUMMARY, 'per_category': {'17': row}}}
    text = printed(report)
    assert 'mask AP in % by category' in text
    assert cells(text, '17')[-5:] == ['-', '1,234', '5', '12.35', '20.00']
    del row['train_instances']
    assert cells(printed(report), '17')[-4:] == ['-', '1,234', '12.35', '20.00']


def test_long_names_are_cut_and_numbers_are_not():
    row = {'name': 'word ' * 40, 'frequency': 'r', 'instances': 1}
    names = [f'rerank{k}0000@300' for k in range(1, 7)]
    report = {'segm': {**dict.fromkeys(names, SUMMARY)}}
    report['segm']['per_category'] = {'1': row | dict.fromkeys(names, SUMMARY)}
    table = printed(report).split('by category')[1].split('AP_rerank')[0]
    assert table.count('12.35') == len(names)
    assert all(name in table for name in names)
    assert max(map(len, table.splitlines())) < 160
