import json

import numpy as np
import pytest
from PIL import Image

from plugins.evaluation.engine import (
    COCO,
    LVIS,
    Request,
    evaluate,
    keep_per_image,
    match,
    read_ground_truth,
    read_results,
)
from tools.analysis.federated_sampling import (
    EvaluationSets,
    count_annotations,
    evaluation_sets,
    restricted_precision,
)
from tools.analysis.federated_simulation import main


def load(golden_case, name, rules):
    truth_file, results_file, _ = golden_case(name)
    truth = read_ground_truth(truth_file)
    results = read_results(results_file, truth)
    return truth, results, match(truth, results, rules=rules)


@pytest.mark.parametrize(
    ('case', 'rules'), [('basic', LVIS), ('ignore_flags', LVIS), ('coco_crowd', COCO)]
)
def test_all_images_together_give_the_ordinary_ap(golden_case, case, rules):
    truth, results, matches = load(golden_case, case, rules)
    member = evaluation_sets(truth, rules).beginning(None, None)
    counts = count_annotations(truth, rules, member)
    np.testing.assert_array_equal(counts, matches.n_gt)
    cap = 100 if rules is COCO else 300
    request = Request(max_dets=(cap,), dets_per_class=(), rules=rules)
    report = evaluate(truth, results, request)['segm']
    ordinary = report[f'{"coco" if rules is COCO else "old"}@{cap}']['AP']
    keep = keep_per_image(matches, cap)
    assert restricted_precision(truth, matches, keep, member) == ordinary


def test_a_draw_equals_a_file_with_only_its_annotations_and_lists(golden_case, read_packed):
    truth, results, matches = load(golden_case, 'not_exhaustive', LVIS)
    sets = evaluation_sets(truth, LVIS).shuffled(np.random.default_rng(5))
    member = sets.beginning(2, 1)
    data = read_packed(golden_case('not_exhaustive')[0])
    image = {image_id: index for index, image_id in enumerate(truth.image_ids.tolist())}
    category = {name: index for index, name in enumerate(truth.category_ids.tolist())}
    data['annotations'] = [
        record
        for record in data['annotations']
        if member[category[record['category_id']], image[record['image_id']]]
    ]
    for record in data['images']:
        record['neg_category_ids'] = [
            name
            for name in record['neg_category_ids']
            if member[category[name], image[record['id']]]
        ]
    smaller = read_ground_truth(data)
    report = evaluate(smaller, results, Request(max_dets=(300,), dets_per_class=()))['segm']
    keep = keep_per_image(matches, 300)
    measured = restricted_precision(truth, matches, keep, member)
    assert measured == pytest.approx(report['old@300']['AP'], abs=1e-12)
    whole = evaluation_sets(truth, LVIS).beginning(None, None)
    assert measured != restricted_precision(truth, matches, keep, whole)


def test_sets_hold_annotated_and_listed_images_only(golden_case, read_packed):
    truth, *_ = load(golden_case, 'basic', LVIS)
    sets = evaluation_sets(truth, LVIS)
    data = read_packed(golden_case('basic')[0])
    for index, category in enumerate(truth.category_ids.tolist()):
        present = {a['image_id'] for a in data['annotations'] if a['category_id'] == category}
        absent = {i['id'] for i in data['images'] if category in i['neg_category_ids']}
        assert set(truth.image_ids[sets.positive[index]].tolist()) == present
        assert set(truth.image_ids[sets.negative[index]].tolist()) == absent - present


def test_beginnings_are_nested_and_of_the_asked_size():
    sets = EvaluationSets([np.arange(5), np.arange(2)], [np.arange(5, 9), np.arange(2, 9)], 9)
    drawn = sets.shuffled(np.random.default_rng(0))
    small, large = drawn.beginning(1, 2), drawn.beginning(3, None)
    assert small.sum(1).tolist() == [3, 3]
    assert large.sum(1).tolist() == [3 + 4, 2 + 7]
    assert (small <= large).all()
    with_others = sets.shuffled(np.random.default_rng(1)).beginning(1, 2)
    assert (with_others != small).any()


def test_simulation_is_printed_drawn_and_repeatable(golden_case, tmp_path, capsys):
    *files, _ = golden_case('coco_crowd')
    options = ['--rules', 'coco', '--draws', '6', '--negatives', '20', '2', '--few-negatives', '3']
    options += ['--positives', '1', '2']
    contents = []
    for folder in (tmp_path / 'a', tmp_path / 'b'):
        assert main([*files, *options, '--out-dir', str(folder)]) == 0
        contents.append((folder / 'federated_simulation.json').read_text())
    assert contents[0] == contents[1]
    content = json.loads(contents[0])
    settings = {(entry['vary'], entry['size']): entry for entry in content['settings']}
    assert list(settings) == [('negative', 2), ('negative', 20), ('positive', 1), ('positive', 2)]
    few, many = (settings['negative', size]['values'] for size in (2, 20))
    # More negative images bring false positives only: AP falls in every draw.
    assert all(a >= b >= content['whole_set'] for a, b in zip(few, many, strict=True))
    spread = {key: np.std(entry['values']) for key, entry in settings.items()}
    assert spread['positive', 1] > spread['negative', 2]
    printed = capsys.readouterr().out
    assert 'AP_coco@100 (segm) in %, 6 draws' in printed
    picture = Image.open(tmp_path / 'a/federated_simulation.png').convert('RGB')
    assert len(set(picture.resize((300, 120)).getdata())) > 50


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--draws', '0'], '--draws must be at least 1'),
        (['--positives', '3', '0'], '--positives must be at least 1'),
        (['--negatives', '-1'], 'must not be below 0'),
    ],
)
def test_user_errors_are_one_line(golden_case, capsys, options, message):
    *files, _ = golden_case('basic')
    assert main([*files, *options]) == 1
    printed = capsys.readouterr().err.strip()
    assert printed.startswith('error: ')
    assert message in printed
    assert '\n' not in printed
