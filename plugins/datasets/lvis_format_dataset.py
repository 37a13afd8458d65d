"""Any data set in LVIS format: LVIS v1 and v0.5, the built-in set, converted custom data."""

import logging
from collections import defaultdict
from collections.abc import Sequence

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
        tolerated_problems: Sequence[str] = (),
        **kwargs,
    ) -> None:
        self.verify_images = verify_images
        self.keep_other_categories = keep_other_categories
        self.tolerated_problems = tuple(tolerated_problems)
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
        """Drop images without instances or below ``min_size``, as ``filter_cfg`` says.

        Raises:
            AnnotationError: No image is left.
        """
        if self.test_mode or self.filter_cfg is None:
            return self.data_list
        skip_empty = self.filter_cfg.get('filter_empty_gt', False)
        min_size = self.filter_cfg.get('min_size', 0)
        kept = [
            record
            for record in self.data_list
            if min(record['width'], record['height']) >= min_size
            and (record['instances'] or not skip_empty)
        ]
        if not kept:
            raise AnnotationError(
                f'{self.ann_file}: none of the {len(self.data_list)} images is left after '
                f'filtering (filter_empty_gt={skip_empty}, min_size={min_size}); check it with '
                'tools/data/check.py or relax filter_cfg'
            )
        return kept

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
