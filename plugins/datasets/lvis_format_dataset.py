"""Any data set in LVIS format: LVIS v1 and v0.5, the built-in set, converted custom data."""

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np
from mmengine.dataset import force_full_init
from mmengine.dist import is_main_process
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmdet.registry import DATASETS
from plugins.annotations import AnnotationError, ImageCategories, find_unreadable
from plugins.annotations.cache import open_annotations
from plugins.datasets.category_choice import choose_categories
from plugins.datasets.class_draw import ClassDraw, images_of_labels, positions_of_labels
from plugins.datasets.image_records import ImageRecords
from plugins.datasets.partners import ServesPartners
from plugins.datasets.random_subset import random_subset
from plugins.errors import UserError


@DATASETS.register_module()
class LVISFormatDataset(ServesPartners, BaseDetDataset):
    """Images and instances of an annotation file in LVIS format.

    The categories come from the file, so the same class serves LVIS v1, v0.5, the built-in set and
    everything ``tools/data/coco_to_lvis.py`` makes. Unlike mmdet's LVIS data sets it keeps the
    federated lists of every image, as labels: ``neg_labels`` (verified absent) and
    ``not_exhaustive_labels`` (present, not all instances annotated).

    Everything that would stop a run halfway is checked before it starts: the structure of the file,
    ids, boxes, polygons, categories, and that every image is there and complete.

    The annotations are not held in memory. They are read from a cache, by default in ``.mmtail/``
    beside the file, which the first process that needs it builds and all others share; it is
    built again when the file has changed.

    Args:
        cache_dir: Folder of that cache. None takes ``$MMTAIL_CACHE`` if it is set, ``.mmtail``
            beside the file, or the user's cache folder, the first that can be written; False keeps
            the annotations in the memory of each process.
        verify_images: Check before the run that no image is missing, truncated or of another size;
            it costs one small read per image, on the main process only.
        keep_other_categories: With ``metainfo=dict(classes=...)`` naming a part of the file's
            categories: True leaves the others out, False makes their annotations an error.
        random_subset: Train on so many images, chosen at random after filtering (the low-shot
            experiment of Gupta et al. 2019); None takes all. The categories stay those of the file.
        subset_seed: Which images ``random_subset`` chooses; a smaller subset of the same seed is
            contained in a larger one.
        tolerated_problems: Codes of ``tools/data/check.py`` that are warnings here, for published
            files that nobody can mend.
        **kwargs: As in `ServesPartners` and mmdet's ``BaseDetDataset``; ``filter_cfg`` takes
            ``filter_empty_gt`` and ``min_size`` (pixels). ``serialize_data`` has no effect.
    """

    def __init__(
        self,
        *args,
        cache_dir: str | os.PathLike | bool | None = None,
        verify_images: bool = True,
        keep_other_categories: bool = False,
        random_subset: int | None = None,
        subset_seed: int = 0,
        tolerated_problems: Sequence[str] = (),
        **kwargs,
    ) -> None:
        self.cache_dir = cache_dir
        self.verify_images = verify_images
        self.keep_other_categories = keep_other_categories
        self.random_subset = random_subset
        self.subset_seed = subset_seed
        self.tolerated_problems = tuple(tolerated_problems)
        self._images_of_labels: list[np.ndarray] | None = None
        super().__init__(*args, **{**kwargs, 'serialize_data': False})

    def full_init(self) -> None:
        """Open the annotations, filter them, and tell the transforms whom they serve; once."""
        if not self._fully_initialized:
            super().full_init()
            self._bind_transforms()

    def load_data_list(self) -> ImageRecords:
        """Open the annotation file and check it; return the images in the file's order.

        Raises:
            AnnotationError: Names the file, the id and what to do.
        """
        log = partial(print_log, logger='current')
        with get_local_path(self.ann_file, backend_args=self.backend_args) as local_path:
            store = open_annotations(
                local_path,
                cache_dir=self.cache_dir,
                name=self.ann_file,
                is_copy=str(local_path) != str(self.ann_file),
                allow=self.tolerated_problems,
                log=log,
                # Whichever rank builds shows it; without a cache on disk all of them do the work.
                with_bar=self.cache_dir is not False or is_main_process(),
            )
        for problem in store.problems:
            log(f'{self.ann_file}: {problem}', level=logging.WARNING)
        classes, self.cat_ids, self.cat2label, labels = choose_categories(
            store,
            self.ann_file,
            self._metainfo.get('classes'),
            keep_others=self.keep_other_categories,
        )
        self._metainfo['classes'] = classes
        records = ImageRecords(store, self.data_prefix.get('img') or '', labels=labels)
        self._listed_records = records
        if self.verify_images and is_main_process():
            self._check_images(records)
        return records

    def load_proposals(self) -> None:
        """Read ``proposal_file`` as mmdet does, and put the proposals into the records."""
        records = self.data_list
        self.data_list = [dict(img_path=path) for path in records.paths()]
        super().load_proposals()
        self.data_list = records.with_proposals([one['proposals'] for one in self.data_list])

    def filter_data(self) -> ImageRecords:
        """Drop images without instances or below ``min_size``, then choose the random subset.

        Raises:
            AnnotationError: No image is left.
            UserError: ``random_subset`` is out of range or given in testing.
        """
        kept = self.data_list
        if not self.test_mode and self.filter_cfg is not None:
            kept = self._usable_for_training(**self.filter_cfg)
        return kept if self.random_subset is None else self._choose_subset(kept)

    def _usable_for_training(
        self, filter_empty_gt: bool = False, min_size: int = 0, **_: object
    ) -> ImageRecords:
        is_usable = np.minimum(*self.data_list.sizes()) >= min_size
        if filter_empty_gt:
            is_usable &= np.diff(self.data_list.categories(with_crowds=True).pointer) > 0
        if not is_usable.any():
            raise AnnotationError(
                f'{self.ann_file}: none of the {len(self.data_list)} images is left after '
                f'filtering (filter_empty_gt={filter_empty_gt}, min_size={min_size}); check it '
                'with tools/data/check.py or relax filter_cfg'
            )
        return self.data_list if is_usable.all() else self.data_list[np.flatnonzero(is_usable)]

    def _choose_subset(self, records: ImageRecords) -> ImageRecords:
        if self.test_mode:
            raise UserError(
                'random_subset is for train_dataloader.dataset; a part of a test set cannot be '
                'scored against the annotations of all of it'
            )
        if not 1 <= self.random_subset <= len(records):
            raise UserError(
                f'train_dataloader.dataset.random_subset={self.random_subset} must be from 1 to '
                f'{len(records)}, the training images of {self.ann_file} after filtering'
            )
        subset = records[random_subset(len(records), self.random_subset, self.subset_seed)]
        self._listed_records = subset
        return subset

    @force_full_init
    def get_data_info(self, idx: int | ClassDraw) -> dict:
        """Return the record of image ``idx``; of a ``ClassDraw`` the label does not matter."""
        index = int(idx.index if isinstance(idx, ClassDraw) else idx)
        record = self.data_list[index]
        record['sample_idx'] = index if index >= 0 else len(self) + index
        return record

    def prepare_data(self, idx: int | ClassDraw) -> dict | None:
        """Load one sample; one that was drawn for a label says so.

        Returns:
            As in mmengine, for an index. For a ``ClassDraw``, ``data_samples`` has the label in its
            metainfo as ``sampled_label``, and an image that the pipeline rejects is replaced by
            another of the same label, where mmengine would take any image.

        Raises:
            UserError: The pipeline rejected ``max_refetch`` + 1 images of the label.
        """
        if not isinstance(idx, ClassDraw):
            return super().prepare_data(idx)
        for _ in range(self.max_refetch + 1):
            data = super().prepare_data(idx)
            if data is not None:
                data['data_samples'].set_metainfo(dict(sampled_label=idx.label))
                return data
            idx = idx._replace(index=int(np.random.choice(self.images_of_labels()[idx.label])))
        raise UserError(
            f'train_pipeline rejected {self.max_refetch + 1} images drawn for category '
            f'{self._metainfo["classes"][idx.label]!r} of {self.ann_file}; check its filters'
        )

    def images_of_labels(self) -> list[np.ndarray]:
        """List the images of every label, computed once: int64 positions, ascending, per label."""
        if self._images_of_labels is None:
            self._images_of_labels = images_of_labels(self, len(self._metainfo['classes']))
        return self._images_of_labels

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the labels of the instances of image ``idx``; crowd regions are not instances."""
        return self.data_list.labels_of(idx)

    @force_full_init
    def image_categories(self) -> ImageCategories:
        """Return what ``get_cat_ids`` gives for all images, one entry per instance."""
        return self.data_list.categories()

    @force_full_init
    def image_sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return widths and heights of all images, int (I,) each, pixels."""
        return self.data_list.sizes()

    @cached_property
    def cat_img_map(self) -> dict[int, list[int]]:
        """Image ids of each category id, which mmdet's samplers read.

        As in mmdet these are images of the file, whether filtered or not; of a random subset they
        are its own.
        """
        rows = self._listed_records.categories(with_crowds=True)
        ids = self._listed_records.image_ids()
        positions = positions_of_labels(rows, len(self.cat_ids))
        listed = zip(self.cat_ids, positions, strict=True)
        return defaultdict(list, {key: ids[some].tolist() for key, some in listed if len(some)})

    def get_subset_(self, indices: Sequence[int] | int) -> None:
        """Keep these images only: the first so many, the last so many, or a list."""
        super().get_subset_(indices)
        self._images_of_labels = None
        self._bind_transforms()

    def get_subset(self, indices: Sequence[int] | int) -> 'LVISFormatDataset':
        """Return a copy with these images only."""
        subset = super().get_subset(indices)
        subset._images_of_labels = None
        subset._bind_transforms()
        return subset

    def _get_unserialized_subset(self, indices: Sequence[int] | int) -> ImageRecords:
        return self.data_list.select(indices)

    def _copy_without_annotation(self, memo: dict | None = None) -> 'LVISFormatDataset':
        # The default of mmengine is one memo for all calls: the pipelines of two copies would be
        # one, bound to one of them.
        return super()._copy_without_annotation({} if memo is None else memo)

    def _check_images(self, records: ImageRecords) -> None:
        widths, heights = records.sizes()
        sizes = list(zip(widths.tolist(), heights.tolist(), strict=True))
        unusable = find_unreadable(records.paths(), sizes)
        if not unusable:
            return
        shown = '; '.join(
            f'{u.path} ({u.code} {u.detail})'.replace(' )', ')') for u in unusable[:3]
        )
        more = f' and {len(unusable) - 3} more' if len(unusable) > 3 else ''
        raise AnnotationError(
            f'{self.ann_file}: {len(unusable)} of {len(records)} images cannot be used: '
            f'{shown}{more}; check data_root and data_prefix, or list all with tools/data/check.py'
        )
