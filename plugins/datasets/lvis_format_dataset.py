"""Any data set in LVIS format: LVIS v1 and v0.5, the built-in set, converted custom data."""

import logging
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from mmengine.dist import is_main_process
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from mmdet.datasets.base_det_dataset import BaseDetDataset
from mmdet.registry import DATASETS
from plugins.annotations import (
    AnnotationError,
    find_unreadable,
    image_path,
    read_annotations,
    verify_annotations,
)
from plugins.datasets.class_draw import ClassDraw, images_of_labels
from plugins.datasets.random_subset import random_subset
from plugins.errors import UserError


@DATASETS.register_module()
class LVISFormatDataset(BaseDetDataset):
    """Images and instances of an annotation file in LVIS format.

    The categories come from the file, so the same class serves LVIS v1, v0.5, the built-in set and
    everything ``tools/data/coco_to_lvis.py`` makes. Unlike mmdet's LVIS data sets it keeps the
    federated lists of every image, as labels: ``neg_labels`` (verified absent) and
    ``not_exhaustive_labels`` (present, not all instances annotated).

    Everything that would stop a run halfway is checked before it starts: the structure of the file,
    ids, boxes, polygons, categories, and that every image is there and complete.

    Args:
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
        **kwargs: As in mmdet's ``BaseDetDataset``; ``filter_cfg`` takes ``filter_empty_gt`` and
            ``min_size`` (pixels).
    """

    def __init__(
        self,
        *args,
        verify_images: bool = True,
        keep_other_categories: bool = False,
        random_subset: int | None = None,
        subset_seed: int = 0,
        tolerated_problems: Sequence[str] = (),
        **kwargs,
    ) -> None:
        self.verify_images = verify_images
        self.keep_other_categories = keep_other_categories
        self.random_subset = random_subset
        self.subset_seed = subset_seed
        self.tolerated_problems = tuple(tolerated_problems)
        self._images_of_labels: list[np.ndarray] | None = None
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check the annotation file; return one record per image, in the file's order.

        Raises:
            AnnotationError: Names the file, the id and what to do.
        """
        with get_local_path(self.ann_file, backend_args=self.backend_args) as local_path:
            data = read_annotations(local_path)
        for problem in verify_annotations(data, self.ann_file, allow=self.tolerated_problems):
            print_log(f'{self.ann_file}: {problem}', logger='current', level=logging.WARNING)
        self._choose_categories(data)
        instances_of_image = defaultdict(list)
        for annotation in data['annotations']:
            instances_of_image[annotation['image_id']].append(annotation)
        records = [self._record(i, instances_of_image[i['id']]) for i in data['images']]
        self._count_images_of_category(records)
        if self.verify_images and is_main_process():
            self._check_images(records)
        return records

    def filter_data(self) -> list[dict]:
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
    ) -> list[dict]:
        kept = [
            record
            for record in self.data_list
            if min(record['width'], record['height']) >= min_size
            and (record['instances'] or not filter_empty_gt)
        ]
        if not kept:
            raise AnnotationError(
                f'{self.ann_file}: none of the {len(self.data_list)} images is left after '
                f'filtering (filter_empty_gt={filter_empty_gt}, min_size={min_size}); check it '
                'with tools/data/check.py or relax filter_cfg'
            )
        return kept

    def _choose_subset(self, records: list[dict]) -> list[dict]:
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
        chosen = random_subset(len(records), self.random_subset, self.subset_seed)
        subset = [records[i] for i in chosen]
        self._count_images_of_category(subset)
        return subset

    def get_data_info(self, idx: int | ClassDraw) -> dict:
        """Return the record of image ``idx``; of a ``ClassDraw`` the label does not matter."""
        return super().get_data_info(idx.index if isinstance(idx, ClassDraw) else idx)

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

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the labels of the instances of image ``idx``; crowd regions are not instances."""
        instances = self.get_data_info(idx)['instances']
        return [i['bbox_label'] for i in instances if not i['ignore_flag']]

    def _choose_categories(self, data: dict) -> None:
        """Settle ``classes``, ``cat_ids`` and ``cat2label`` from the file and the metainfo."""
        categories = sorted(data['categories'], key=lambda category: category['id'])
        names = [category['name'] for category in categories]
        classes = self._metainfo.get('classes')
        if classes is None:
            classes = names
            self._metainfo['classes'] = tuple(names)
        unknown = [name for name in classes if name not in set(names)]
        if unknown:
            raise AnnotationError(
                f'{self.ann_file} has no category {unknown[0]!r}, which the config names in '
                f'metainfo.classes ({len(unknown)} such); its categories start with {names[:5]}'
            )
        chosen = set(classes)
        self.cat_ids = [category['id'] for category in categories if category['name'] in chosen]
        self.cat2label = {cat_id: label for label, cat_id in enumerate(self.cat_ids)}
        # Labels follow the order of ids, as in mmdet; the class names must do the same.
        self._metainfo['classes'] = tuple(name for name in names if name in chosen)
        if not self.keep_other_categories:
            self._refuse_other_categories(data['annotations'])

    def _refuse_other_categories(self, annotations: list[dict]) -> None:
        others = [a for a in annotations if a['category_id'] not in self.cat2label]
        if others:
            raise AnnotationError(
                f'{self.ann_file}: annotation {others[0]["id"]} has category id '
                f'{others[0]["category_id"]}, which is not in the classes of the config '
                f'({len(others)} such annotations); add the class or set keep_other_categories=True'
            )

    def _record(self, image: dict, annotations: list[dict]) -> dict:
        """Return mmdet's record of one image, with its federated lists."""
        width, height = image['width'], image['height']
        instances = (self._instance(a, width, height) for a in annotations)
        return dict(
            img_id=image['id'],
            img_path=image_path(image, self.data_prefix.get('img') or ''),
            height=height,
            width=width,
            instances=[instance for instance in instances if instance is not None],
            neg_labels=self._labels(image.get('neg_category_ids', ())),
            not_exhaustive_labels=self._labels(image.get('not_exhaustive_category_ids', ())),
        )

    def _labels(self, category_ids: list[int]) -> list[int]:
        return [self.cat2label[i] for i in category_ids if i in self.cat2label]

    def _instance(self, annotation: dict, width: int, height: int) -> dict | None:
        """Return mmdet's record of one instance, or None for those that stock leaves out too."""
        label = self.cat2label.get(annotation['category_id'])
        x, y, w, h = annotation['bbox']
        inside = min(x + w, width) > max(x, 0) and min(y + h, height) > max(y, 0)
        too_small = annotation['area'] <= 0 or w < 1 or h < 1
        if label is None or annotation.get('ignore') or not inside or too_small:
            return None
        return dict(
            bbox=[x, y, x + w, y + h],
            bbox_label=label,
            ignore_flag=int(bool(annotation.get('iscrowd'))),
            mask=annotation.get('segmentation') or [],
        )

    def _count_images_of_category(self, records: list[dict]) -> None:
        """Fill ``cat_img_map`` (category id to image ids), which mmdet's samplers read."""
        self.cat_img_map = defaultdict(list)
        for record in records:
            labels = {instance['bbox_label'] for instance in record['instances']}
            for label in sorted(labels):
                self.cat_img_map[self.cat_ids[label]].append(record['img_id'])

    def _check_images(self, records: list[dict]) -> None:
        unusable = find_unreadable(
            [record['img_path'] for record in records],
            [(record['width'], record['height']) for record in records],
        )
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
