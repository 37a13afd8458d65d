"""A small valid LVIS-format file that tests damage in one place."""

import copy
from collections.abc import Callable

import pytest

_SQUARE = [10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]


def _annotation(annotation_id: int, image_id: int, category_id: int, shift: float = 0.0) -> dict:
    return {
        'id': annotation_id,
        'image_id': image_id,
        'category_id': category_id,
        'bbox': [10.0 + shift, 10.0, 20.0, 20.0],
        'area': 400.0,
        'segmentation': [[v + shift if k % 2 == 0 else v for k, v in enumerate(_SQUARE)]],
    }


_DATA = {
    'images': [
        {
            'id': image_id,
            'width': 64,
            'height': 48,
            'file_name': f'{image_id}.jpg',
            'neg_category_ids': [9] if image_id == 1 else [],
            'not_exhaustive_category_ids': [],
        }
        for image_id in (1, 2, 3)
    ],
    'annotations': [
        _annotation(11, 1, 5),
        _annotation(12, 1, 5, shift=5.0),
        _annotation(13, 1, 7),
        _annotation(14, 2, 7),
        _annotation(15, 2, 9),
    ],
    'categories': [
        {'id': 5, 'name': 'spoon', 'frequency': 'r'},
        {'id': 7, 'name': 'fork', 'frequency': 'r'},
        {'id': 9, 'name': 'ladle', 'frequency': 'r'},
    ],
}


@pytest.fixture
def lvis_data() -> dict:
    """Three images (the last one empty), five annotations, three categories."""
    return copy.deepcopy(_DATA)


@pytest.fixture
def coco_data(lvis_data: dict) -> dict:
    """The same in COCO format."""
    for record in lvis_data['images']:
        del record['neg_category_ids'], record['not_exhaustive_category_ids']
    for record in lvis_data['categories']:
        del record['frequency']
    for record in lvis_data['annotations']:
        record['iscrowd'] = 0
    return lvis_data


@pytest.fixture
def problem_of() -> Callable[[dict], object]:
    """The only problem a file has; fails if there are none or several."""
    from plugins.annotations import find_problems

    def only(data: dict, *, thorough: bool = False):
        found = find_problems(data, thorough=thorough)
        assert len(found) == 1, [str(one) for one in found]
        return found[0]

    return only
