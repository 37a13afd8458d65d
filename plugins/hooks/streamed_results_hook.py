"""A test stores its detections on disk as they come, and goes on where it was killed."""

import logging
import uuid
from dataclasses import dataclass
from pathlib import Path

from mmengine.dist import all_gather_object, barrier, broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch.utils.data import Dataset, Sampler

from mmdet.registry import HOOKS
from plugins.datasets.samplers.remaining_sampler import RemainingSampler
from plugins.errors import UserError
from plugins.evaluation import LVISProtocolMetric
from plugins.evaluation.stream import ShardFolder
from plugins.runtime.test_fingerprint import describe_test
from plugins.runtime.unfinished_test import UnfinishedTest


@dataclass
class _Plan:
    """What the main process found and every process needs.

    Attributes:
        folders: One per metric.
        proof: A file that a process sees if it shares the folders.
        remaining: Positions in the data set, or None for all.
        image_order: Image ids in the order of the data set, if anybody asked for it.
    """

    folders: list[ShardFolder]
    proof: Path
    remaining: list[int] | None
    image_order: list[int] | None


@HOOKS.register_module()
class StreamedResultsHook(Hook):
    """Let every ``LVISProtocolMetric`` of a test store detections in the work directory.

    They are in ``<work dir>/results/<hash>/``, where the hash stands for everything that they
    depend on: model, weights, data set and annotations. When the test is finished and evaluated
    the folder is deleted. A test that was killed leaves it, and ``resume`` goes on with the images
    that are not in it, on any number of processes. With one image per batch the detections are
    those of a test that was never interrupted; in larger batches an image may be padded otherwise.

    Processes that do not see each other's files keep their detections in memory.

    Args:
        resume: Go on with what an earlier attempt left. Otherwise that is deleted.
    """

    # After the hooks that exchange the weights for the test.
    priority = 'VERY_LOW'

    def __init__(self, *, resume: bool = False) -> None:
        self.resume = resume
        self._test: UnfinishedTest | None = None
        self._whole_sampler: Sampler | None = None

    def before_test_epoch(self, runner: Runner) -> None:
        """Open the folder, on all ranks, and leave out the images that are done."""
        metrics = _protocol_metrics(runner)
        if self.resume:
            _require_resumable(runner, metrics)
        if not metrics:
            return
        plans = [self._plan(runner, metrics) if is_main_process() else None]
        broadcast_object_list(plans)
        plan = plans[0]
        is_shared = all(all_gather_object(plan.proof.exists()))
        if not is_shared:
            self._refuse_or_warn(plan.proof.parent)
        for metric, folder in zip(metrics, plan.folders, strict=True):
            metric.keep_in(folder if is_shared else None)
            metric.image_order = plan.image_order
        if plan.remaining is not None:
            loader = runner.test_loop.dataloader
            # The loader itself cannot be changed, but it asks its batch sampler anew.
            self._whole_sampler = loader.batch_sampler.sampler
            loader.batch_sampler.sampler = RemainingSampler(loader.dataset, plan.remaining)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Delete what is evaluated; another test of this runner sees all images again."""
        if self._whole_sampler is not None:
            runner.test_loop.dataloader.batch_sampler.sampler = self._whole_sampler
            self._whole_sampler = None
        for metric in _protocol_metrics(runner):
            metric.keep_in(None)
        barrier()
        if self._test is not None:
            self._test.remove()
            self._test = None

    def _plan(self, runner: Runner, metrics: list[LVISProtocolMetric]) -> _Plan:
        dataset = runner.test_loop.dataloader.dataset
        ann_files = [metric.ann_file for metric in metrics]
        ann_files += [dataset.ann_file] if getattr(dataset, 'ann_file', None) else []
        keeps = [metric.needs for metric in metrics]
        fingerprint = describe_test(runner.cfg, runner.model, ann_files, keeps)
        self._test = UnfinishedTest(Path(runner.work_dir, 'results').absolute(), fingerprint)
        folders = self._open_folders(len(metrics))
        finished = frozenset.intersection(*(folder.finished for folder in folders))
        order = remaining = None
        # Without --resume a data set need not say it: the pickle is then in the order of ids.
        is_dumped = any(metric.dump_file for metric in metrics)
        if finished or (is_dumped and hasattr(dataset, 'get_data_info')):
            order = image_ids_of(dataset)
        if finished:
            remaining = [i for i, image_id in enumerate(order) if image_id not in finished]
            print_log(
                f'resuming the test in {self._test.path}: {len(order) - len(remaining)} of '
                f'{len(order)} images are done',
                logger='current',
            )
        proof = self._test.path / f'shared-{uuid.uuid4().hex}'
        proof.touch()
        return _Plan(folders, proof, remaining, order)

    def _open_folders(self, num_metrics: int) -> list[ShardFolder]:
        test = self._test
        paths = [test.path / f'metric{number}' for number in range(num_metrics)]
        if self.resume and test.is_begun():
            for path in paths:
                path.mkdir(exist_ok=True)
            return [ShardFolder.reopen(path) for path in paths]
        if test.is_begun():
            print_log(
                f'the unfinished results in {test.path} are deleted and the test begins anew; '
                'with --resume it would have gone on',
                logger='current',
                level=logging.WARNING,
            )
        elif self.resume:
            reason = test.differences() or f'{test.root} has no unfinished test'
            print_log(f'nothing to resume ({reason}); the test begins anew', logger='current')
        test.begin()
        for path in paths:
            path.mkdir()
        return [ShardFolder(path) for path in paths]

    def _refuse_or_warn(self, path: Path) -> None:
        text = f'the processes of this test do not share {path.parent}'
        if self.resume:
            raise UserError(f'--resume: {text}; choose a --work-dir that all of them see')
        print_log(
            f'{text}: detections are kept in memory and cannot be resumed',
            logger='current',
            level=logging.WARNING,
        )


def image_ids_of(dataset: Dataset) -> list[int]:
    """Ids of the images in the order of a data set.

    Raises:
        UserError: It does not say them.
    """
    try:
        return [int(dataset.get_data_info(i)['img_id']) for i in range(len(dataset))]
    except (AttributeError, KeyError) as error:
        raise UserError(
            f'test_dataloader.dataset ({type(dataset).__name__}) does not say which image is where '
            '(get_data_info(i)["img_id"]), which --resume needs'
        ) from error


def _protocol_metrics(runner: Runner) -> list[LVISProtocolMetric]:
    metrics = runner.test_loop.evaluator.metrics
    return [metric for metric in metrics if isinstance(metric, LVISProtocolMetric)]


def _require_resumable(runner: Runner, metrics: list[LVISProtocolMetric]) -> None:
    others = [metric for metric in runner.test_loop.evaluator.metrics if metric not in metrics]
    if others or not metrics:
        name = type(others[0]).__name__ if others else 'no metric'
        raise UserError(
            f'--resume needs test_evaluator to be LVISProtocolMetric alone, which stores what it '
            f'gets; {name} would see only the images that are left'
        )
