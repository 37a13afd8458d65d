import gzip
import json
import tracemalloc
from collections import defaultdict

import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdet.registry import METRICS
from plugins.errors import UserError
from plugins.evaluation import LVISProtocolMetric
from plugins.evaluation.stream import ShardFolder
from tests.evaluation.stream.made_up import make_annotations, make_record, sample_of

NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf')


def _golden(shared, case):
    folder = shared / 'golden/eval'
    detections = json.loads(gzip.decompress((folder / f'{case}.dt.json.gz').read_bytes()))
    expected = json.loads((folder / f'{case}.expected.json').read_text())['expected']
    return str(folder / f'{case}.gt.json.gz'), detections, expected


def _samples(metric, detections):
    """What the test loop hands over: one sample per image, boxes as corners, labels from zero."""
    ids = sorted(category['id'] for category in metric.annotations['categories'])
    label_of = {cat_id: label for label, cat_id in enumerate(ids)}
    of_image = defaultdict(list)
    for detection in detections:
        of_image[detection['image_id']].append(detection)
    for image_id, found in of_image.items():
        boxes = torch.tensor([d.get('bbox', [0, 0, 1, 1]) for d in found], dtype=torch.float64)
        boxes[:, 2:] += boxes[:, :2]
        instances = dict(
            bboxes=boxes,
            scores=torch.tensor([d['score'] for d in found], dtype=torch.float64),
            labels=torch.tensor([label_of[d['category_id']] for d in found]),
        )
        if 'segmentation' in found[0]:
            instances['masks'] = [d['segmentation'] for d in found]
        yield dict(img_id=image_id, pred_instances=instances)


def _evaluate(metric, samples):
    samples = list(samples)
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(size=len(samples))


@pytest.mark.parametrize('case', ['basic', 'ties', 'empty_masks', 'not_exhaustive', 'cap300'])
def test_mask_ap_equals_the_golden_numbers(shared, case):
    ann_file, detections, expected = _golden(shared, case)
    caps = [int(k.split('@')[1]) for k in expected['segm/drop_bbox'] if k.startswith('lvis@')]
    for cap in caps[:2]:
        metric = LVISProtocolMetric(ann_file, metric='segm', max_dets=cap)
        found = _evaluate(metric, _samples(metric, detections))
        golden = expected['segm/drop_bbox'][f'lvis@{cap}']
        for name in NAMES:
            key = f'lvis/segm_{name}_old@{cap}'
            assert found[key] == pytest.approx(golden[name], abs=1e-12), key


def test_box_ap_equals_the_golden_numbers(shared):
    ann_file, detections, expected = _golden(shared, 'bbox_only')
    metric = LVISProtocolMetric(ann_file, metric='bbox')
    found = _evaluate(metric, _samples(metric, detections))
    golden = expected['bbox/keep_bbox']['lvis@300']
    for name in NAMES:
        # Corners and back lose the last bits of width and height.
        assert found[f'lvis/bbox_{name}_old@300'] == pytest.approx(golden[name], abs=1e-9)


def test_fixed_pool_and_boundary_equal_the_golden_numbers(shared):
    ann_file, detections, expected = _golden(shared, 'basic')
    metric = LVISProtocolMetric(
        ann_file, metric=['segm', 'boundary'], dets_per_class=10_000, pool=True
    )
    found = _evaluate(metric, _samples(metric, detections))
    golden = expected['segm/drop_bbox']
    for group in ('AP', 'APr', 'APc', 'APf'):
        for key, value in (
            (f'lvis/segm_{group}_fixed@10000', golden['fixed@10000'][group]),
            (f'lvis/boundary_{group}_old@300', golden['boundary@300'][group]),
        ):
            assert found[key] == pytest.approx(value, abs=1e-12), key
    assert found['lvis/segm_AP_pool@10000'] > 0


@pytest.fixture
def one_image(tmp_path):
    data = dict(
        images=[
            dict(id=4, width=32, height=24, neg_category_ids=[], not_exhaustive_category_ids=[])
        ],
        categories=[
            dict(id=2, name='ant', frequency='f'),
            dict(id=8, name='zebra', frequency='r'),
        ],
        annotations=[
            dict(
                id=1,
                image_id=4,
                category_id=8,
                bbox=[2, 2, 10, 8],
                area=80,
                segmentation=[[2, 2, 12, 2, 12, 10, 2, 10]],
            )
        ],
    )
    path = tmp_path / 'val.json'
    path.write_text(json.dumps(data))
    return path


def _prediction(label, score=0.9, **more):
    masks = torch.zeros(1, 24, 32, dtype=torch.bool)
    masks[0, 2:10, 2:12] = True
    instances = dict(
        bboxes=torch.tensor([[2.0, 2.0, 12.0, 10.0]]),
        scores=torch.tensor([score]),
        labels=torch.tensor([label]),
        masks=masks,
        **more,
    )
    return dict(img_id=4, pred_instances=instances)


def test_perfect_prediction_scores_one_and_every_key_names_its_protocol(one_image):
    found = _evaluate(LVISProtocolMetric(str(one_image)), [_prediction(1)])
    # lvis-api divides by tp + fp + 2**-52: a lone true positive has precision 1 - 2**-52.
    assert found['lvis/bbox_AP_old@300'] == pytest.approx(1.0, abs=1e-12)
    assert found['lvis/segm_APr_old@300'] == pytest.approx(1.0, abs=1e-12)
    assert found['lvis/segm_APf_old@300'] == -1.0
    assert all(key.endswith('_old@300') for key in found)


def test_labels_follow_the_order_of_ids_not_of_the_file(one_image):
    data = json.loads(one_image.read_text())
    data['categories'].reverse()
    one_image.write_text(json.dumps(data))
    found = _evaluate(LVISProtocolMetric(str(one_image)), [_prediction(1)])
    assert found['lvis/segm_APr_old@300'] == pytest.approx(1.0, abs=1e-12)


def test_part_of_the_categories_is_labelled_and_evaluated_alone(one_image):
    data = json.loads(one_image.read_text())
    other = dict(data['annotations'][0], id=2, category_id=2)
    data['annotations'].append(other)
    one_image.write_text(json.dumps(data))
    metric = LVISProtocolMetric(str(one_image), classwise=True)
    metric.dataset_meta = dict(classes=('zebra',))
    found = _evaluate(metric, [_prediction(0)])
    assert found['lvis/segm_AP_old@300'] == pytest.approx(1.0, abs=1e-12)
    assert found['lvis/segm_APf_old@300'] == -1.0
    metric.dataset_meta = dict(classes=('unicorn',))
    with pytest.raises(UserError, match="no category 'unicorn'"):
        _evaluate(metric, [_prediction(0)])


def test_nothing_detected_is_zero_not_missing(one_image):
    nothing = dict(
        bboxes=torch.zeros(0, 4),
        scores=torch.zeros(0),
        labels=torch.zeros(0, dtype=torch.long),
        masks=torch.zeros(0, 24, 32, dtype=torch.bool),
    )
    metric = LVISProtocolMetric(str(one_image))
    found = _evaluate(metric, [dict(img_id=4, pred_instances=nothing)])
    assert found['lvis/bbox_AP_old@300'] == found['lvis/segm_AP_old@300'] == 0.0


def test_masks_are_ranked_by_their_own_score(one_image, tmp_path):
    prefix = str(tmp_path / 'out/results')
    metric = LVISProtocolMetric(str(one_image), format_only=True, outfile_prefix=prefix)
    sample = _prediction(1, mask_scores=torch.tensor([0.25]))
    assert _evaluate(metric, [sample]) == {}
    boxes = json.loads((tmp_path / 'out/results.bbox.json').read_text())
    masks = json.loads((tmp_path / 'out/results.segm.json').read_text())
    assert boxes[0]['score'] == pytest.approx(0.9) and masks[0]['score'] == 0.25
    assert boxes[0]['bbox'] == [2, 2, 10, 8] and boxes[0]['category_id'] == 8
    assert 'bbox' not in masks[0] and isinstance(masks[0]['segmentation']['counts'], str)


def test_size_of_a_mask_is_its_pixels_not_its_box(one_image):
    """A thin diagonal in a large box is a small object; mmdet counts it as a large one."""
    data = json.loads(one_image.read_text())
    data['images'][0].update(width=200, height=200)
    data['annotations'][0].update(
        bbox=[0, 0, 200, 200],
        area=800,
        segmentation=[[0, 0, 4, 0, 200, 196, 200, 200, 196, 200, 0, 4]],
    )
    one_image.write_text(json.dumps(data))
    mask = torch.from_numpy(np.abs(np.subtract.outer(range(200), range(200))) <= 2)[None]
    sample = _prediction(1)
    sample['pred_instances'].update(masks=mask, bboxes=torch.tensor([[0.0, 0, 200, 200]]))
    found = _evaluate(LVISProtocolMetric(str(one_image), metric='segm'), [sample])
    assert found['lvis/segm_APs_old@300'] > 0 and found['lvis/segm_APl_old@300'] == -1.0


def test_wrong_settings_name_their_key(one_image):
    with pytest.raises(UserError, match=r"evaluator\.metric must be of 'bbox', .*, not 'mask'"):
        LVISProtocolMetric(str(one_image), metric=['mask'])
    with pytest.raises(UserError, match='outfile_prefix'):
        LVISProtocolMetric(str(one_image), format_only=True)
    sample = _prediction(1)
    del sample['pred_instances']['masks']
    with pytest.raises(UserError, match="asks for 'segm', but the model predicts no masks"):
        _evaluate(LVISProtocolMetric(str(one_image)), [sample])


def test_configs_build_it_from_the_registry(one_image):
    cfg = Config(dict(type='LVISProtocolMetric', ann_file=str(one_image), metric=['bbox', 'segm']))
    assert METRICS.build(cfg).iou_types == ('bbox', 'segm')


@pytest.fixture
def many_images(tmp_path):
    """An annotation file and, in its order, what a model detects in the images."""
    rng = np.random.default_rng(0)
    ids = make_annotations(rng, tmp_path / 'many.json', images=30)
    records = [make_record(rng, img_id=i, count=20, scored=True, levels=9) for i in ids]
    return str(tmp_path / 'many.json'), [sample_of(record) for record in records]


def test_budget_per_class_changes_no_number(many_images):
    """Tested in another order and with what no protocol counts left out."""
    ann_file, samples = many_images
    options = dict(max_dets=4, dets_per_class=[6, 11], pool=True)
    bounded = LVISProtocolMetric(ann_file, **options)
    assert bounded.needs.per_class == 11 and bounded.needs.per_image == 4
    unbounded = LVISProtocolMetric(ann_file, **options)
    unbounded.needs = None
    found = _evaluate(bounded, reversed(samples))
    assert found == _evaluate(unbounded, samples)
    assert found['lvis/segm_AP_fixed@6'] != found['lvis/segm_AP_fixed@11'] > 0


def test_result_files_hold_what_the_budget_leaves(many_images, tmp_path):
    ann_file, samples = many_images
    prefix = str(tmp_path / 'found')
    metric = LVISProtocolMetric(
        ann_file, metric='bbox', max_dets=2, dets_per_class=5, outfile_prefix=prefix
    )
    metric.dump_file = str(tmp_path / 'found.pkl')
    metric.image_order = [sample['img_id'] for sample in samples]
    _evaluate(metric, samples)
    entries = json.loads((tmp_path / 'found.bbox.json').read_text())
    dumped = mmengine.load(metric.dump_file)
    assert len(entries) == sum(len(d['pred_instances']['scores']) for d in dumped) <= 30 * 2 + 4 * 5
    assert [d['img_id'] for d in dumped] == metric.image_order
    written = [entry['image_id'] for entry in entries]
    assert written == sorted(written) and written != sorted(written, key=metric.image_order.index)


def test_folder_and_memory_give_the_same(many_images, tmp_path):
    ann_file, samples = many_images
    (tmp_path / 'shards').mkdir()
    in_folder, in_memory = LVISProtocolMetric(ann_file), LVISProtocolMetric(ann_file)
    in_folder.keep_in(ShardFolder(tmp_path / 'shards'))
    assert _evaluate(in_folder, samples) == _evaluate(in_memory, samples)
    assert len(ShardFolder.reopen(tmp_path / 'shards').finished) == 30


def test_every_validation_begins_with_nothing(many_images):
    ann_file, samples = many_images
    metric = LVISProtocolMetric(ann_file, dets_per_class=6)
    first = _evaluate(metric, samples)
    part = _evaluate(metric, samples[:3])
    assert part != first == _evaluate(metric, samples)


def test_image_that_the_annotations_do_not_have_is_named(many_images):
    ann_file, samples = many_images
    with pytest.raises(UserError, match='has no image 9999, which was tested'):
        _evaluate(LVISProtocolMetric(ann_file), [dict(samples[0], img_id=9999)])


def test_no_detection_per_class_is_refused(one_image):
    with pytest.raises(UserError, match=r'evaluator\.dets_per_class must be at least 1'):
        LVISProtocolMetric(str(one_image), dets_per_class=0)


@pytest.mark.parametrize('options', [dict(), dict(dets_per_class=50)])
def test_memory_is_flat_over_images(one_image, tmp_path, options):
    sample = sample_of(make_record(np.random.default_rng(0), count=200))
    metric = LVISProtocolMetric(str(one_image), **options)
    metric.keep_in(ShardFolder(tmp_path))

    def detect(first, last):
        for img_id in range(first, last):
            metric.process({}, [dict(sample, img_id=img_id)])

    detect(0, 20)
    tracemalloc.start()
    detect(20, 60)
    before = tracemalloc.get_traced_memory()[0]
    detect(60, 260)
    growth = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    # What is stored of these 200 images takes some 4 MB; their ids stay.
    assert growth < 100_000
