import json
import math
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.annotations import convert_to_lvis, read_annotations
from plugins.annotations.cache import open_annotations
from plugins.errors import UserError
from tests.annotations.cache.conftest import TOLERATED
from tests.annotations.cache.former_loader import former_records


def served(store) -> list[dict]:
    """Everything a store has, in the form of the reference."""
    return [
        dict(
            img_id=int(store.image_ids[i]),
            img_path=store.image_name(i),
            height=int(store.heights[i]),
            width=int(store.widths[i]),
            instances=[
                dict(bbox=box, bbox_label=category, ignore_flag=crowd, mask=segmentation)
                for box, category, crowd, segmentation in zip(*store.instances(i), strict=True)
            ],
            neg_labels=store.verified_absent(i).tolist(),
            not_exhaustive_labels=store.not_exhaustive(i).tolist(),
        )
        for i in range(store.num_images)
    ]


@pytest.fixture(params=['disk', 'memory'])
def cache_dir(request, tmp_path):
    return tmp_path / 'cache' if request.param == 'disk' else False


def test_records_of_an_adversarial_file_are_those_of_a_plain_loader(adversarial, write, cache_dir):
    expected = former_records(adversarial)
    served_segmentations = [i['mask'] for record in expected for i in record['instances']]
    assert len(served_segmentations) == 18  # the file does exercise what is left out
    store = open_annotations(write(adversarial), cache_dir=cache_dir, allow=TOLERATED)
    assert served(store) == expected
    assert list(store.image_names()) == [record['img_path'] for record in expected]


def test_hundredths_alone_are_stored_as_integers_and_read_back_exactly(adversarial, write):
    kept = [
        a for a in adversarial['annotations']
        if a['segmentation'] == [[4, 4, 24, 4, 24, 24, 4, 24]] or a['id'] in (33, 39)
    ]  # fmt: skip
    kept[1]['segmentation'] = [[0.01, 0.29, 1.1, 63.99, 1e1, 7], [5] * 8]
    adversarial['annotations'] = kept
    store = open_annotations(write(adversarial), cache_dir=False)
    assert store._columns['coordinate'].dtype == np.int32
    assert served(store) == former_records(adversarial)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(
            st.lists(
                st.one_of(
                    st.integers(-200_000, 200_000).map(lambda v: v / 100),
                    st.integers(-900_001, 900_001),
                    st.floats(-1e5, 1e5),
                ),
                min_size=6,
                max_size=12,
            ).map(lambda ring: ring[: len(ring) // 2 * 2]),
            min_size=1,
            max_size=3,
        ),
        max_size=8,
    ),
    st.sampled_from([None, ' ', '\n\t']),
)
def test_polygons_survive_whatever_their_numbers(tmp_path_factory, polygons, space):
    data = {
        'images': [{'id': 1, 'width': 9, 'height': 9, 'file_name': 'a.jpg'}],
        'categories': [{'id': 1, 'name': 'a'}],
        'annotations': [
            {
                'id': k, 'image_id': 1, 'category_id': 1, 'bbox': [1, 1, 5, 5], 'area': 25,
                'segmentation': rings,
            }
            for k, rings in enumerate(polygons)
        ],
    }  # fmt: skip
    path = tmp_path_factory.mktemp('polygons') / 'a.json'
    separators = None if space is None else (f'{space},{space}', f':{space}')
    path.write_text(json.dumps(data, separators=separators))
    store = open_annotations(path, cache_dir=False, allow=TOLERATED)
    assert store.instances(0).segmentations == polygons


def test_gzip_and_a_byte_order_mark_make_no_difference(lvis_data, write):
    import gzip

    text = json.dumps(lvis_data).encode()
    for content in (gzip.compress(text), b'\xef\xbb\xbf' + text):
        store = open_annotations(write(content), cache_dir=False)
        assert served(store) == former_records(lvis_data)


def test_numbers_that_only_python_reads_are_kept_where_they_are_tolerated(lvis_data, write):
    lvis_data['annotations'][0]['segmentation'][0][2] = math.inf
    lvis_data['annotations'][1]['segmentation'] = {'size': [math.inf], 'counts': 'x'}
    lvis_data['annotations'][2]['bbox'][0] = math.nan
    store = open_annotations(
        write(lvis_data), cache_dir=False, allow=('nan-polygon', 'rle', 'bad-box')
    )
    segmentations = store.instances(0).segmentations
    assert segmentations[0][0][2] == math.inf
    assert segmentations[1] == {'size': [math.inf], 'counts': 'x'}
    assert len(segmentations) == 2


def test_images_with_the_same_id_both_get_its_annotations(lvis_data, write):
    lvis_data['images'].append({**lvis_data['images'][0], 'file_name': 'twin.jpg', 'width': 12})
    store = open_annotations(write(lvis_data), cache_dir=False, allow=['duplicate-image-id'])
    assert served(store) == former_records(lvis_data)
    assert len(store.instances(3).boxes_xyxy) == len(store.instances(0).boxes_xyxy) - 1


def test_a_file_without_annotations_or_federated_lists_is_fine(coco_data, write, cache_dir):
    coco_data['annotations'] = []
    store = open_annotations(write(coco_data), cache_dir=cache_dir)
    assert served(store) == former_records(coco_data)


def test_many_blocks_are_put_together_in_order(lvis_data, write, monkeypatch):
    monkeypatch.setattr('plugins.annotations.cache.blocks._BLOCK', 7)
    monkeypatch.setattr('plugins.annotations.cache.grouping._WRITTEN_ROWS', 5)
    generator = np.random.RandomState(0)
    template = lvis_data['annotations'][0]
    lvis_data['annotations'] = [
        {
            **template,
            'id': k,
            'image_id': int(generator.randint(1, 4)),
            'category_id': int(generator.choice([5, 7])),
            'segmentation': [
                (generator.randint(0, 4000, 2 * generator.randint(3, 9)) / 100).tolist()
                for _ in range(generator.randint(1, 4))
            ]
            if k % 10
            else {'size': [48, 64], 'counts': [48 * 64]},
        }
        for k in range(200)
    ]
    # From here on nothing is in hundredths.
    lvis_data['annotations'][121]['segmentation'][0][0] = 1 / 3
    store = open_annotations(write(lvis_data), cache_dir=False)
    assert served(store) == former_records(lvis_data)


def test_built_in_set_loads_as_by_a_plain_loader(root, tmp_path):
    paths = sorted((root / 'data').glob('synthetic*/annotations/*.json'))
    if not paths:
        pytest.skip('the built-in set is not there; make it with tools/data/generate.py')
    for path in paths:
        data = read_annotations(path)
        assert served(open_annotations(path, cache_dir=tmp_path)) == former_records(data)


@pytest.mark.parametrize('name', ['taco', 'coco_small', 'lvis'])
def test_real_files_load_as_by_a_plain_loader(shared, name, tmp_path):
    if name == 'lvis':
        data = read_annotations(shared / 'golden/eval/lvis_val_100.json')
    else:
        folder = shared / 'data' / name
        source = next(iter(sorted(folder.glob('**/*.json'))))
        data, _ = convert_to_lvis(read_annotations(source))
    path = tmp_path / 'real.json'
    path.write_text(json.dumps(data))
    store = open_annotations(path)
    assert store.path == path.parent / '.mmtail' / 'real.json.columns'
    assert served(store) == former_records(data)


def test_a_pickled_store_is_a_path_unless_it_is_in_memory(lvis_data, write, tmp_path):
    path = write(lvis_data)
    store = open_annotations(path, cache_dir=tmp_path)
    assert len(pickle.dumps(store)) < 1000
    for one in (store, open_annotations(path, cache_dir=False)):
        assert served(pickle.loads(pickle.dumps(one))) == served(store)


def test_a_spawned_process_reopens_the_store(lvis_data, write, tmp_path, root):
    store = open_annotations(write(lvis_data), cache_dir=tmp_path)
    (tmp_path / 'pickled').write_bytes(pickle.dumps(store))
    code = (
        'import pickle, sys\n'
        'from tools.light import import_light\n'
        'import_light("annotations.cache")\n'
        'store = pickle.load(open(sys.argv[1], "rb"))\n'
        'print(store.instances(0).categories, "torch" in sys.modules)\n'
    )
    command = [sys.executable, '-c', code, str(tmp_path / 'pickled')]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.stdout == f'{store.instances(0).categories} False\n', done.stderr


def test_a_cache_that_was_rebuilt_meanwhile_is_not_mistaken_for_the_old_one(
    lvis_data, write, tmp_path, long_ago
):
    pickled = pickle.dumps(open_annotations(write(lvis_data), cache_dir=tmp_path))
    lvis_data['annotations'].pop()
    newer = open_annotations(write(lvis_data), cache_dir=tmp_path)
    with pytest.raises(UserError, match=r'rebuilt after the run had opened it; start the run'):
        pickle.loads(pickled)
    newer.path.unlink()
    with pytest.raises(UserError, match='deleted or rebuilt'):
        pickle.loads(pickled)


def test_forked_readers_share_the_pages(lvis_data, write, tmp_path):
    template = lvis_data['annotations'][0]
    ring = (np.arange(2000) % 40).tolist()
    lvis_data['annotations'] = [{**template, 'id': k, 'segmentation': [ring]} for k in range(2000)]
    store = open_annotations(write(lvis_data), cache_dir=tmp_path)
    size = store.path.stat().st_size
    assert size > 15e6
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_touch_all, args=(store, sender))
    child.start()
    assert receiver.recv() < size / 4
    child.join()


def _touch_all(store, sender) -> None:
    before = _private_bytes()
    for column in store._columns.values():
        column.sum()
    sender.send(_private_bytes() - before)


def _private_bytes() -> int:
    with open('/proc/self/smaps_rollup') as file:
        lines = [line.split() for line in file if line.startswith('Private_Dirty')]
    return sum(int(line[1]) * 1024 for line in lines)
