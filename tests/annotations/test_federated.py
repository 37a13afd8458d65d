import pytest


@pytest.mark.parametrize('key', ['neg_category_ids', 'not_exhaustive_category_ids'])
@pytest.mark.parametrize('value', [None, 5, ['5'], [5.0], [2**70], 'absent'])
def test_lists_must_be_there_and_hold_ids(lvis_data, problem_of, key, value):
    if value == 'absent':
        del lvis_data['images'][1][key]
    else:
        lvis_data['images'][1][key] = value
    found = problem_of(lvis_data)
    assert found.code == f'bad-{key.replace("_", "-")}'
    assert found.examples == ('image 2',)


@pytest.mark.parametrize('key', ['neg_category_ids', 'not_exhaustive_category_ids'])
def test_unknown_ids_are_named_by_image(lvis_data, problem_of, key):
    lvis_data['images'][2][key] = [99, 98]
    found = problem_of(lvis_data)
    assert found.code == f'unknown-{key.replace("_", "-")}'
    assert (found.count, found.examples) == (1, ('image 3',))


def test_a_present_category_cannot_be_a_verified_negative(lvis_data, problem_of):
    lvis_data['images'][1]['neg_category_ids'] = [5, 7]
    found = problem_of(lvis_data)
    assert found.code == 'present-and-negative'
    assert found.examples == ('category 7 in image 2',)


def test_a_frequency_group_other_than_rcf_is_named(lvis_data, problem_of):
    lvis_data['categories'][2]['frequency'] = 'x'
    assert problem_of(lvis_data).examples == ("category 9 ('x')",)
