import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler

from mmdet.datasets import AspectRatioBatchSampler, LVISV1Dataset
from mmdet.registry import DATASETS
from plugins.annotations import AnnotationError
from plugins.datasets import (
    ClassDraw,
    LVISFormatDataset,
    ResumableAspectRatioBatchSampler,
)
from plugins.errors import UserError
from tests.annotations.cache.conftest import TOLERATED, adversarial_data
from tests.annotations.cache.former_loader import former_records

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs'),
]
FILTER = dict(filter_empty_gt=True, min_size=32)


def test_categories_come_from_the_file_in_order_of_id(tiny):
    dataset = LVISFormatDataset(**tiny.write())
    assert dataset.metainfo['classes'] == ('ant', 'cat', 'zebra')
    assert dataset.cat2label == {3: 0, 5: 1, 9: 2}


def test_federated_lists_are_kept_as_labels(tiny):
    dataset = LVISFormatDataset(**tiny.write())
    by_id = {info['img_id']: info for info in dataset}
    assert by_id[2]['neg_labels'] == [2] and by_id[7]['not_exhaustive_labels'] == [1]
    assert by_id[5]['neg_labels'] == by_id[5]['not_exhaustive_labels'] == []


def test_records_equal_those_of_mmdet_on_a_file_that_exercises_its_filters(tiny):
    annotations = tiny.data['annotations']
    annotations[0]['ignore'] = 1
    annotations[3]['area'] = 0
    annotations[4]['bbox'] = [4, 4, 0.5, 20]
    # mmdet numbers labels in the order of the file.
    tiny.data['categories'].sort(key=lambda category: category['id'])
    settings = tiny.write()
    stock_settings = {**settings, 'metainfo': dict(classes=('ant', 'cat', 'zebra'))}
    ours, stock = LVISFormatDataset(**settings), LVISV1Dataset(**stock_settings)
    assert len(ours) == len(stock)
    for i in range(len(stock)):
        expected, found = stock.get_data_info(i), ours.get_data_info(i)
        for key in ('img_id', 'img_path', 'height', 'width', 'instances'):
            assert found[key] == expected[key], key


def test_real_lvis_annotations_load_as_in_mmdet(shared, tmp_path):
    ann_file = shared / 'golden/eval/lvis_val_100.json'
    names = [c['name'] for c in json.loads(ann_file.read_text())['categories']]
    settings = dict(ann_file=str(ann_file), data_prefix=dict(img='val2017/'))
    stock = DATASETS.build(dict(type='LVISV05Dataset', metainfo=dict(classes=names), **settings))
    ours = LVISFormatDataset(verify_images=False, cache_dir=tmp_path, **settings)
    assert len(ours) == len(stock) == 100
    for i in range(100):
        expected, found = stock.get_data_info(i), ours.get_data_info(i)
        assert found['img_path'] == expected['img_path']
        assert found['instances'] == expected['instances']


def test_filter_drops_images_without_instances_in_training_only(tiny):
    settings = tiny.write()
    training = LVISFormatDataset(filter_cfg=FILTER, **settings)
    assert [info['img_id'] for info in training] == [7, 2, 5]
    assert len(LVISFormatDataset(filter_cfg=FILTER, test_mode=True, **settings)) == 4


def test_images_of_a_category_are_listed(tiny):
    dataset = LVISFormatDataset(**tiny.write())
    assert dict(dataset.cat_img_map) == {3: [7, 2, 5], 5: [7], 9: [5]}


def test_random_subset_keeps_all_categories_and_lists_its_own_images_only(tiny):
    settings = dict(filter_cfg=FILTER, **tiny.write())
    sizes = [LVISFormatDataset(random_subset=size, **settings) for size in (1, 2, 3)]
    ids = [{info['img_id'] for info in dataset} for dataset in sizes]
    # Image 11 has no instances and is filtered before the choice.
    assert ids[0] < ids[1] < ids[2] == {7, 2, 5}
    for dataset, chosen in zip(sizes, ids, strict=True):
        assert dataset.metainfo['classes'] == ('ant', 'cat', 'zebra')
        whole = {3: {7, 2, 5}, 5: {7}, 9: {5}}
        expected = {category: images & chosen for category, images in whole.items()}
        found = {category: set(images) for category, images in dataset.cat_img_map.items()}
        assert found == {category: images for category, images in expected.items() if images}


def test_random_subset_depends_on_its_seed(tiny):
    settings = dict(random_subset=2, **tiny.write())
    chosen = [
        tuple(info['img_id'] for info in LVISFormatDataset(subset_seed=seed, **settings))
        for seed in (0, 0, 1, 2, 3)
    ]
    assert chosen[0] == chosen[1] and len(set(chosen)) > 1


@pytest.mark.parametrize('size', [0, 4])
def test_random_subset_of_impossible_size_names_its_key(tiny, size):
    message = rf'train_dataloader.dataset.random_subset={size} must be from 1 to 3, .*train\.json'
    with pytest.raises(UserError, match=message):
        LVISFormatDataset(random_subset=size, filter_cfg=FILTER, **tiny.write())


def test_random_subset_of_a_test_set_is_an_error(tiny):
    with pytest.raises(UserError, match='random_subset is for train_dataloader'):
        LVISFormatDataset(random_subset=2, test_mode=True, **tiny.write())


def test_image_drawn_for_a_label_says_so(tiny):
    dataset = LVISFormatDataset(pipeline=PIPELINE, **tiny.write())
    sample = dataset[ClassDraw(index=2, label=2)]['data_samples']
    assert (sample.img_id, sample.sampled_label) == (5, 2)
    assert 'sampled_label' not in dataset[2]['data_samples']
    assert dataset.get_data_info(ClassDraw(2, 2)) == dataset.get_data_info(2)


class _Rejecting:
    """The pipeline, for which some images are never good enough."""

    def __init__(self, pipeline, rejected):
        self.pipeline, self.rejected = pipeline, rejected
        self.asked = []
        self.transforms = [self]

    def __call__(self, info):
        self.asked.append(info['img_id'])
        return None if info['img_id'] in self.rejected else self.pipeline(info)


def test_rejected_image_is_replaced_by_one_of_the_same_label(tiny):
    dataset = LVISFormatDataset(pipeline=PIPELINE, **tiny.write())
    dataset.pipeline = _Rejecting(dataset.pipeline, {7})
    drawn = [dataset[ClassDraw(0, 0)]['data_samples'] for _ in range(40)]
    assert {sample.img_id for sample in drawn} == {2, 5}
    assert {sample.sampled_label for sample in drawn} == {0}


def test_label_whose_images_are_all_rejected_is_named(tiny):
    dataset = LVISFormatDataset(pipeline=PIPELINE, max_refetch=6, **tiny.write())
    dataset.pipeline = _Rejecting(dataset.pipeline, {5})
    with pytest.raises(
        UserError, match=r"rejected 7 images drawn for category 'zebra'.*train\.json"
    ):
        dataset[ClassDraw(2, 2)]
    assert dataset.pipeline.asked == [5] * 7


def test_images_of_labels_leave_crowds_and_filtered_images_out(tiny):
    tiny.data['annotations'][5]['iscrowd'] = 1
    tiny.data['annotations'][5]['segmentation'] = dict(size=[48, 64], counts=[0, 5, 48 * 64 - 5])
    tiny.data['images'].insert(0, tiny.data['images'].pop())
    dataset = LVISFormatDataset(filter_cfg=FILTER, **tiny.write())
    ids = [
        [dataset.get_data_info(i)['img_id'] for i in images]
        for images in dataset.images_of_labels()
    ]
    assert ids == [[7, 2], [7], [5]]


def test_masks_reach_the_pipeline_as_polygons(tiny):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    ]
    dataset = LVISFormatDataset(pipeline=pipeline, **tiny.write())
    sample = dataset[1]
    pixels = sample['gt_masks'].to_ndarray()
    assert pixels.shape == (1, 48, 64) and pixels[0, 4:24, 4:24].all() and pixels.sum() == 400
    assert np.allclose(sample['gt_bboxes'].numpy(), [[4, 4, 24, 24]])


def test_part_of_the_categories_is_chosen_by_name(tiny):
    settings = {**tiny.write(), 'metainfo': dict(classes=('zebra', 'ant'))}
    with pytest.raises(AnnotationError, match=r'annotation 2 has category id 5.*2 such'):
        LVISFormatDataset(**settings)
    dataset = LVISFormatDataset(keep_other_categories=True, **settings)
    assert dataset.metainfo['classes'] == ('ant', 'zebra')
    assert {label for i in range(4) for label in dataset.get_cat_ids(i)} == {0, 1}


def test_class_of_the_config_that_the_file_lacks_is_named(tiny):
    with pytest.raises(AnnotationError, match="no category 'unicorn'"):
        LVISFormatDataset(metainfo=dict(classes=('ant', 'unicorn')), **tiny.write())


def test_missing_and_truncated_images_are_named_with_how_many_more(tiny):
    settings = tiny.write()
    for image_id in (2, 5, 7):
        tiny.image(image_id).unlink()
    damaged = tiny.image(11)
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(AnnotationError, match=r'4 of 4 images.*000000000002\.jpg.*and 1 more'):
        LVISFormatDataset(**settings)
    with pytest.raises(AnnotationError, match=r'000000000011\.jpg \(.*truncated'):
        tiny.write()  # the three missing ones are back
        LVISFormatDataset(**settings)
    assert len(LVISFormatDataset(verify_images=False, **settings)) == 4


def test_nothing_left_after_filtering_is_an_error(tiny):
    settings = tiny.write()
    with pytest.raises(AnnotationError, match='none of the 4 images is left.*min_size=500'):
        LVISFormatDataset(filter_cfg=dict(min_size=500), **settings)
    tiny.data['annotations'] = []
    tiny.write()
    with pytest.raises(AnnotationError, match='none of the 4 images is left'):
        LVISFormatDataset(filter_cfg=FILTER, **settings)


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda d: d.pop('categories'), 'categories'),
        (lambda d: d.update(images=[], annotations=[]), 'image'),
        (lambda d: d['annotations'][0].update(segmentation=[[1, 2, 3, 4, 5]]), 'annotation 1'),
        (lambda d: d['annotations'][1].update(bbox=[1, float('nan'), 3, 4]), 'annotation 2'),
        (lambda d: d['annotations'][2].update(bbox=[500, 4, 10, 10]), 'annotation 3'),
        (lambda d: d['annotations'][3].update(category_id=77), '77'),
        (lambda d: d['annotations'][4].update(image_id=1234), '1234'),
        (lambda d: d['annotations'][5].update(id=1), 'annotation id 1|id 1'),
    ],
    ids=['categories', 'empty', 'odd', 'nan', 'outside', 'category', 'image', 'duplicate'],
)
def test_bad_annotations_stop_the_run_and_are_named(tiny, damage, message):
    damage(tiny.data)
    settings = tiny.write()
    with pytest.raises(AnnotationError, match=message) as caught:
        LVISFormatDataset(**settings)
    assert 'train.json' in str(caught.value)


@pytest.mark.parametrize('content', [None, '', '{"images": [', '[]'])
def test_unusable_annotation_file_is_named(tiny, content):
    settings = tiny.write()
    tiny.ann_file.unlink()
    if content is not None:
        tiny.ann_file.write_text(content)
    with pytest.raises(AnnotationError, match=r'train\.json'):
        LVISFormatDataset(**settings)


@pytest.fixture
def odd(tmp_path):
    """Settings of a data set of everything odd that can be served, and the parsed file."""
    data = adversarial_data()
    (tmp_path / 'odd.json').write_text(json.dumps(data))
    settings = dict(
        data_root=str(tmp_path),
        ann_file='odd.json',
        data_prefix=dict(img='photos/'),
        verify_images=False,
        tolerated_problems=TOLERATED,
    )
    return settings, data


def records_of(dataset) -> list[dict]:
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def numbered(records: list[dict]) -> list[dict]:
    return [{**record, 'sample_idx': i} for i, record in enumerate(records)]


@pytest.mark.parametrize('classes', [None, ('zebra', 'ant'), ('ant',)])
def test_records_of_an_odd_file_are_those_of_a_plain_loader(odd, classes, tmp_path):
    settings, data = odd
    chosen = {} if classes is None else dict(metainfo=dict(classes=classes))
    dataset = LVISFormatDataset(keep_other_categories=True, **chosen, **settings)
    expected = former_records(data, classes and set(classes), f'{tmp_path}/photos/')
    assert records_of(dataset) == numbered(expected)
    labels = [
        [i['bbox_label'] for i in record['instances'] if not i['ignore_flag']]
        for record in expected
    ]
    assert [dataset.get_cat_ids(i) for i in range(len(dataset))] == labels
    rows = dataset.image_categories()
    assert [part.tolist() for part in np.split(rows.category, rows.pointer[1:-1])] == labels
    assert rows.pointer.dtype == rows.category.dtype == np.int64


def test_the_annotations_that_a_config_forgot_are_counted_before_anything_is_left_out(odd):
    settings, data = odd
    settings = {**settings, 'metainfo': dict(classes=('zebra', 'ant'))}
    others = [a for a in data['annotations'] if a['category_id'] == 5]
    message = rf'annotation {others[0]["id"]} has category id 5, .*\({len(others)} such annotations'
    with pytest.raises(AnnotationError, match=message):
        LVISFormatDataset(**settings)


def test_annotations_of_no_category_are_an_error_or_left_out(tiny):
    tiny.data['annotations'][3]['category_id'] = 77
    settings = dict(tolerated_problems=['unknown-category'], **tiny.write())
    with pytest.raises(AnnotationError, match=r'annotation 4 has category id 77.*\(1 such'):
        LVISFormatDataset(**settings)
    dataset = LVISFormatDataset(keep_other_categories=True, **settings)
    assert [len(dataset.get_cat_ids(i)) for i in range(4)] == [3, 0, 2, 0]


@pytest.mark.parametrize('indices', [2, -3, 0, [4, 0, -1], [], np.array([1, 1])])
def test_parts_are_chosen_as_from_a_list(odd, indices):
    settings, _ = odd
    whole = LVISFormatDataset(**settings)
    records = [{k: v for k, v in r.items() if k != 'sample_idx'} for r in records_of(whole)]
    if isinstance(indices, int):
        expected = numbered(records[:indices] if indices >= 0 else records[indices:])
    else:
        expected = numbered([records[i] for i in indices])
    part = whole.get_subset(indices)
    assert records_of(part) == expected and len(whole) == len(records)
    assert records_of(LVISFormatDataset(indices=indices, **settings)) == expected
    rows = part.image_categories()
    assert len(rows.pointer) == len(expected) + 1
    assert [r['img_id'] for r in expected] == [r['img_id'] for r in part]
    assert part.get_data_info(-1)['sample_idx'] == len(part) - 1 if len(part) else True
    whole.get_subset_(indices)
    assert records_of(whole) == expected


def test_what_is_known_of_labels_follows_the_part(tiny):
    dataset = LVISFormatDataset(**tiny.write())
    assert [images.tolist() for images in dataset.images_of_labels()] == [[0, 1, 2], [0], [2]]
    part = dataset.get_subset([2, 1])
    assert [images.tolist() for images in part.images_of_labels()] == [[0, 1], [], [0]]
    dataset.get_subset_(1)
    assert [images.tolist() for images in dataset.images_of_labels()] == [[0], [0], []]


def test_an_index_out_of_range_is_named(tiny):
    dataset = LVISFormatDataset(**tiny.write())
    with pytest.raises(UserError, match='has 4, but it has only 4 images'):
        dataset.get_subset([0, 4])
    with pytest.raises(IndexError):
        dataset.get_data_info(4)


def test_changing_a_record_changes_nothing_else(tiny):
    dataset = LVISFormatDataset(**tiny.write())
    record = dataset.get_data_info(0)
    record['instances'][0]['mask'][0][0] = 1e9
    record['instances'].pop()
    assert len(dataset.get_data_info(0)['instances']) == 3
    assert dataset.get_data_info(0)['instances'][0]['mask'][0][0] == 4


def test_list_of_records_is_made_on_demand(tiny):
    dataset = LVISFormatDataset(serialize_data=True, **tiny.write())
    assert [record['img_id'] for record in dataset.data_list] == [7, 2, 5, 11]
    assert len(pickle.dumps(dataset)) < 10_000


def test_a_spawned_worker_reads_what_the_main_process_has(tiny, root):
    dataset = LVISFormatDataset(pipeline=PIPELINE, **tiny.write())
    dataset.get_subset_([2, 0])
    pickled = tiny.root / 'dataset.pickle'
    pickled.write_bytes(pickle.dumps(dataset))
    code = (
        'import pickle, sys, plugins\n'
        'dataset = pickle.load(open(sys.argv[1], "rb"))\n'
        'print([dataset[i]["data_samples"].img_id for i in range(len(dataset))])\n'
    )
    command = [sys.executable, '-c', code, str(pickled)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == '[5, 7]', done.stderr


def test_cache_is_kept_where_the_config_says(tiny, tmp_path, monkeypatch):
    monkeypatch.delenv('MMTAIL_CACHE', raising=False)
    settings = tiny.write()
    LVISFormatDataset(cache_dir=str(tmp_path / 'caches'), **settings)
    assert len(list((tmp_path / 'caches').glob('*-train.json.columns'))) == 1
    LVISFormatDataset(cache_dir=False, **settings)
    assert not (tiny.root / '.mmtail').exists()
    LVISFormatDataset(**settings)
    assert (tiny.root / '.mmtail' / 'train.json.columns').is_file()


def test_warnings_are_logged_again_by_every_run(tiny, monkeypatch):
    tiny.data['annotations'][0]['area'] = 0
    settings, logged = tiny.write(), []
    monkeypatch.setattr(
        'plugins.datasets.lvis_format_dataset.print_log', lambda text, **_: logged.append(text)
    )
    for _ in range(2):
        LVISFormatDataset(**settings)
    assert len(logged) == 2 and logged[0] == logged[1]
    assert logged[0].startswith(f'{tiny.ann_file}: 1 annotation with an area that is not positive')


def test_proposals_of_mmdet_reach_the_records(tiny):
    settings = dict(filter_cfg=FILTER, **tiny.write())
    proposals = {
        f'{tiny.image(i).parent.name}/{i:012d}.jpg': dict(bboxes=np.full((1, 4), i))
        for i in (7, 2, 5, 11)
    }
    (tiny.root / 'proposals.pkl').write_bytes(pickle.dumps(proposals))
    dataset = LVISFormatDataset(proposal_file='proposals.pkl', **settings)
    assert [r['proposals']['bboxes'][0, 0] for r in dataset] == [7, 2, 5]


def test_samplers_of_mmdet_and_ours_agree_on_real_frequencies(shared, tmp_path):
    from mmengine.dataset import ClassBalancedDataset

    from plugins.datasets.samplers.repeat_factor_sampler import dataset_repeat_factors

    ann_file = shared / 'golden/eval/lvis_val_100.json'
    dataset = LVISFormatDataset(
        ann_file=str(ann_file), verify_images=False, cache_dir=tmp_path, filter_cfg=FILTER
    )
    stock = ClassBalancedDataset(dataset, oversample_thr=0.1).repeat_indices
    factors = np.ceil(dataset_repeat_factors(dataset, 0.1)).astype(int)
    assert np.repeat(np.arange(len(dataset)), factors).tolist() == stock
    assert len(stock) > len(dataset)


def test_batches_of_one_orientation_need_no_records(tiny, monkeypatch):
    tiny.data['images'][1].update(width=48, height=64)
    dataset = LVISFormatDataset(**tiny.write(), pipeline=[])
    sampler = DefaultSampler(dataset, shuffle=False)
    stock = list(AspectRatioBatchSampler(sampler, 2))
    monkeypatch.setattr(dataset, 'get_data_info', None)
    assert list(ResumableAspectRatioBatchSampler(sampler, 2)) == stock
    assert [width < height for width, height in zip(*dataset.image_sizes(), strict=True)] == [
        False,
        True,
        False,
        False,
    ]
