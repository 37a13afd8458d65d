"""What a data set serves, computed record by record from the parsed file: slow and plain."""

import os
from collections import defaultdict

from plugins.annotations import image_name


def former_records(data: dict, classes: set[str] | None = None, folder: str = '') -> list[dict]:
    """Records of all images, as mmdet wants them, with labels of the chosen categories."""
    categories = sorted(data['categories'], key=lambda category: category['id'])
    chosen = [c['id'] for c in categories if classes is None or c['name'] in classes]
    label_of = {category_id: label for label, category_id in enumerate(chosen)}
    annotations = defaultdict(list)
    for annotation in data['annotations']:
        annotations[annotation['image_id']].append(annotation)
    return [
        dict(
            img_id=image['id'],
            img_path=os.path.join(folder, image_name(image)),
            height=image['height'],
            width=image['width'],
            instances=[
                instance(annotation, label_of)
                for annotation in annotations[image['id']]
                if is_served(annotation, image, label_of)
            ],
            neg_labels=labels(image.get('neg_category_ids', ()), label_of),
            not_exhaustive_labels=labels(image.get('not_exhaustive_category_ids', ()), label_of),
        )
        for image in data['images']
    ]


def is_served(annotation: dict, image: dict, label_of: dict) -> bool:
    """Whether mmdet's data sets keep the annotation."""
    if annotation['category_id'] not in label_of or annotation.get('ignore'):
        return False
    x, y, w, h = annotation['bbox']
    overlap_x = min(x + w, image['width']) - max(x, 0)
    overlap_y = min(y + h, image['height']) - max(y, 0)
    if not (overlap_x > 0 and overlap_y > 0):
        return False
    return not (annotation['area'] <= 0 or w < 1 or h < 1)


def instance(annotation: dict, label_of: dict) -> dict:
    """mmdet's record of an annotation."""
    x, y, w, h = annotation['bbox']
    return dict(
        bbox=[x, y, x + w, y + h],
        bbox_label=label_of[annotation['category_id']],
        ignore_flag=1 if annotation.get('iscrowd') else 0,
        mask=annotation.get('segmentation') or [],
    )


def labels(category_ids: list[int], label_of: dict) -> list[int]:
    """Labels of those ids that have one."""
    return [label_of[i] for i in category_ids if i in label_of]
