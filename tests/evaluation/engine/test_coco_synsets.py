"""COCO's categories among those of LVIS, and annotations of some categories only."""

import json

import numpy as np
import pytest

from plugins.annotations import AnnotationError
from plugins.evaluation.engine.coco_synsets import (
    COCO_SYNSETS,
    read_coco_map,
    select_categories,
)
from plugins.evaluation.engine.ground_truth_file import read_ground_truth
from tests.evaluation.engine.plain_records import ground_truth_of, load


def test_the_map_is_the_published_one(shared):
    published = json.loads((shared / 'lvis/coco_to_synset.json').read_text())
    assert {row['coco_cat_id']: row['synset'] for row in published.values()} == COCO_SYNSETS


def test_ids_are_joined_by_synset(shared):
    path = shared / 'golden/eval/lvis_val_100.json'
    names = {c['id']: c['name'] for c in json.loads(path.read_text())['categories']}
    found = read_coco_map(path)
    assert COCO_SYNSETS.keys() - found.keys() == {58, 79}  # hot dog and oven are not in v0.5
    # LVIS calls the category of persons by its first synonym.
    assert [names[found[k]] for k in (1, 17, 90)] == ['baby', 'cat', 'toothbrush']


def test_a_file_without_synsets_is_refused(tmp_path):
    path = tmp_path / 'gt.json'
    path.write_text('{"categories": [{"id": 1, "name": "person"}]}')
    with pytest.raises(AnnotationError, match='gt.json: no category has the `synset`'):
        read_coco_map(path)


@pytest.mark.parametrize('masks', [True, False])
def test_selected_annotations_are_those_of_a_smaller_file(shared, masks):
    path = shared / 'golden/eval/not_exhaustive.gt.json.gz'
    data = load(path)
    kept = {category['id'] for category in data['categories'] if category['id'] % 3 == 0}
    found = select_categories(read_ground_truth(path, masks=masks), kept)
    data['categories'] = [one for one in data['categories'] if one['id'] in kept]
    data['annotations'] = [one for one in data['annotations'] if one['category_id'] in kept]
    expected = ground_truth_of(data)
    assert len(expected.ann_id) > 20
    assert len(expected.ne_category) > 5
    for field in expected.__dataclass_fields__:
        value = getattr(found, field)
        if isinstance(value, np.ndarray) and (masks or not field.startswith('mask_')):
            np.testing.assert_array_equal(value, getattr(expected, field), err_msg=field)
    assert found.names == expected.names
    assert found.has_masks == masks
