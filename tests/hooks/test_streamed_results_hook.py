from types import SimpleNamespace

import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from torch import nn
from torch.utils.data import DataLoader, Dataset

from plugins.errors import UserError
from plugins.evaluation import LVISProtocolMetric
from plugins.hooks import StreamedResultsHook, streamed_results_hook
from tests.evaluation.stream.made_up import make_annotations, make_record, sample_of


class _Images(Dataset):
    """A data set whose samples are what a model detects in them."""

    def __init__(self, records, ann_file):
        self.records, self.ann_file, self.loaded = records, ann_file, []

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        self.loaded.append(self.records[index].img_id)
        return sample_of(self.records[index])

    def get_data_info(self, index):
        return dict(img_id=self.records[index].img_id)


class _Counting(BaseMetric):
    """Any other metric."""

    default_prefix = 'other'

    def process(self, data_batch, data_samples):
        self.results.extend(sample['img_id'] for sample in data_samples)

    def compute_metrics(self, results):
        return dict(images=len(results))


class _KilledError(Exception):
    """Ends a test in the middle."""


class _Test:
    """Tests of the same images, each with a runner of its own, as programs have."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.folder = folder
        self.ann_file = str(folder / 'val.json')
        ids = make_annotations(rng, folder / 'val.json', images=9)
        self.records = [make_record(rng, img_id=i, count=10) for i in ids]
        self.model = nn.Linear(2, 2)
        torch.nn.init.ones_(self.model.weight)
        self.metrics = [lambda: LVISProtocolMetric(self.ann_file, max_dets=3, dets_per_class=5)]

    def run(self, *, resume=False, stop_after=None, batch_size=1, out=None):
        """Returns the metrics and the images that were loaded."""
        dataset = _Images(self.records, self.ann_file)
        loader = DataLoader(dataset, batch_size, collate_fn=list)
        evaluator = Evaluator([make() for make in self.metrics])
        evaluator.metrics[0].dump_file = out
        runner = SimpleNamespace(
            test_loop=SimpleNamespace(dataloader=loader, evaluator=evaluator),
            cfg=Config(dict(model={}, test_dataloader=dict(dataset={}), test_cfg={})),
            model=self.model,
            work_dir=str(self.folder / 'work'),
        )
        hook = StreamedResultsHook(resume=resume)
        whole_sampler = loader.batch_sampler.sampler
        try:
            hook.before_test_epoch(runner)
            for number, batch in enumerate(loader):
                if number == stop_after:
                    raise _KilledError
                evaluator.process(batch, batch)
            metrics = evaluator.evaluate(len(dataset))
            hook.after_test_epoch(runner, metrics)
            assert loader.batch_sampler.sampler is whole_sampler
        finally:
            if hook._test is not None:
                hook._test._lock.release()  # as the system does when a process ends
        return metrics, dataset.loaded

    def kill(self, after, **options):
        """A test that ends before its results do."""
        with pytest.raises(_KilledError):
            self.run(stop_after=after, **options)


@pytest.fixture
def image_test(tmp_path):
    return _Test(tmp_path)


def _ids(image_test, first=0):
    return [record.img_id for record in image_test.records[first:]]


def test_resumed_test_does_what_is_left_and_scores_the_same(image_test):
    expected, loaded = image_test.run()
    assert loaded == _ids(image_test) and not (image_test.folder / 'work/results').exists()
    image_test.kill(after=4)
    image_test.kill(after=3, resume=True)
    metrics, loaded = image_test.run(resume=True, batch_size=2)
    assert loaded == _ids(image_test, 7) and metrics == expected
    assert not (image_test.folder / 'work/results').exists()


def test_everything_done_but_not_evaluated_needs_no_image(image_test, monkeypatch):
    expected, _ = image_test.run()
    with monkeypatch.context() as patch:
        patch.setattr(LVISProtocolMetric, 'compute_metrics', _raise)
        with pytest.raises(_KilledError):
            image_test.run()
    assert image_test.run(resume=True) == (expected, [])


def _raise(*_):
    raise _KilledError


def test_without_resume_the_test_begins_anew(image_test):
    image_test.kill(after=4)
    assert image_test.run()[1] == _ids(image_test)


@pytest.mark.parametrize('changed', ['weights', 'annotations', 'evaluator'])
def test_results_of_another_test_are_not_taken(image_test, changed):
    image_test.kill(after=4)
    if changed == 'weights':
        torch.nn.init.zeros_(image_test.model.weight)
    elif changed == 'annotations':
        with open(image_test.ann_file, 'a') as file:
            file.write('\n')
    else:
        image_test.metrics = [lambda: LVISProtocolMetric(image_test.ann_file, dets_per_class=9)]
    assert image_test.run(resume=True)[1] == _ids(image_test)


def test_several_metrics_of_ours_are_resumed_together(image_test):
    image_test.metrics.append(
        lambda: LVISProtocolMetric(image_test.ann_file, metric='bbox', prefix='second')
    )
    expected, _ = image_test.run()
    image_test.kill(after=4)
    metrics, loaded = image_test.run(resume=True)
    assert metrics == expected and loaded == _ids(image_test, 4)
    assert {key.partition('/')[0] for key in metrics} == {'lvis', 'second'}


def test_image_that_only_one_metric_has_is_done_again(image_test, monkeypatch):
    """The process was killed between two metrics."""
    image_test.metrics.append(lambda: LVISProtocolMetric(image_test.ann_file, prefix='second'))
    expected, _ = image_test.run()
    image_test.kill(after=4)
    second = next((image_test.folder / 'work/results').glob('*/metric1/*.detections'))
    second.write_bytes(second.read_bytes()[:-5])
    metrics, loaded = image_test.run(resume=True)
    assert metrics == expected and loaded == _ids(image_test, 3)


def test_other_metrics_see_everything_and_forbid_resuming(image_test):
    image_test.metrics.append(_Counting)
    assert image_test.run()[0]['other/images'] == 9
    with pytest.raises(UserError, match=r'--resume needs .*_Counting would see only'):
        image_test.run(resume=True)


def test_metrics_of_others_alone_are_left_alone(image_test):
    alone = _Test(image_test.folder)
    alone.metrics = [_Counting]
    assert alone.run()[0] == {'other/images': 9}
    assert not (image_test.folder / 'work').exists()


def test_pickle_of_a_resumed_test_is_in_the_order_of_the_data_set(image_test):
    out = str(image_test.folder / 'out.pkl')
    image_test.kill(after=4)
    image_test.run(resume=True, out=out)
    assert [sample['img_id'] for sample in mmengine.load(out)] == _ids(image_test)


def test_processes_that_share_no_files_keep_results_in_memory(image_test, monkeypatch):
    expected, _ = image_test.run()
    monkeypatch.setattr(streamed_results_hook, 'all_gather_object', lambda seen: [seen, False])
    assert image_test.run()[0] == expected
    with pytest.raises(UserError, match=r'--resume: .* do not share .*--work-dir'):
        image_test.run(resume=True)
