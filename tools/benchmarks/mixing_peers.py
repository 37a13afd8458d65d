"""What the benchmarks of mixing transforms need to give both sides the same data and draws."""

import copy

import numpy as np

from mmdet.datasets import BaseDetDataset
from mmdet.datasets.transforms import CopyPaste
from plugins.annotations import ImageCategories, rows_from_lists
from plugins.datasets.partners import ServesPartners
from plugins.transforms.balanced_copy_paste import BalancedCopyPaste, Source


class Records(BaseDetDataset):
    """A data set of given records.

    Args:
        samples: Records as `draw_samples` gives them.
        pipeline: As in any data set.
    """

    def __init__(self, samples: list[dict], pipeline: list) -> None:
        self.samples = samples
        super().__init__(pipeline=pipeline, metainfo=dict(classes=class_names(samples)))

    def load_data_list(self) -> list[dict]:
        """Return the records; loading changes them, so not the given ones."""
        return copy.deepcopy(self.samples)


class ServingRecords(ServesPartners, Records):
    """The same for pipelines with our mixing transforms."""

    def full_init(self) -> None:
        """Load the records and bind the transforms, once."""
        if not self._fully_initialized:
            super().full_init()
            self._bind_transforms()

    def image_categories(self) -> ImageCategories:
        """Labels of every image."""
        return rows_from_lists(
            [instance['bbox_label'] for instance in sample['instances']] for sample in self.samples
        )


class StockCopyPasteDraws(BalancedCopyPaste):
    """Our copy-paste with the random choices of mmdet's, from the same random numbers."""

    def is_due(self) -> bool:
        """Paste into every sample."""
        return True

    def choose_objects(self, source: Source, label: int | None, most: int) -> np.ndarray:
        """Choose as `CopyPaste(selected=True)` does: any objects, in any order."""
        stock = CopyPaste(max_num_pasted=most)  # a name keeps it alive: mmcv holds it weakly
        return stock._get_selected_inds(len(source.labels))


def class_names(samples: list[dict]) -> tuple[str, ...]:
    """Names for all labels of the records."""
    labels = (i['bbox_label'] for sample in samples for i in sample['instances'])
    return tuple(f'category {label}' for label in range(1 + max(labels, default=0)))
