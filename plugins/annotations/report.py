"""What a conversion changed, one line per class of change."""

from collections import defaultdict

from plugins.annotations.problems import SHOWN, Problem, problem

_CHANGES = {
    'crowd-moved': ('crowd region', 'moved to `crowd_annotations`'),
    'broken-crowd': ('crowd region', 'with an unusable run-length mask dropped'),
    'repeated-image': ('image', 'listed again and dropped'),
    'nameless-image': ('image', 'without `file_name` or `coco_url` dropped'),
    'unknown-image': ('annotation', 'of unknown or dropped images dropped'),
    'unknown-category': ('annotation', 'of unknown categories dropped'),
    'flat-polygon': ('annotation', 'with one bare polygon put into a list'),
    'polygon-type-dropped': ('annotation', 'had polygons dropped that are no lists of numbers'),
    'short-polygon-dropped': ('annotation', 'had polygons of fewer than three points dropped'),
    'odd-polygon-dropped': ('annotation', 'had polygons of an odd number of coordinates dropped'),
    'nan-polygon-dropped': ('annotation', 'had polygons with NaN or infinite numbers dropped'),
    'rle-dropped': ('annotation', 'had an unusable run-length mask dropped'),
    'rle-compressed': ('run-length mask', 'compressed'),
    'degenerate': ('annotation', 'dropped: nothing of the mask lies in the image'),
    'nothing-usable': ('annotation', 'dropped: neither a mask nor a box of positive size'),
    'box-as-mask': ('annotation', 'without a segmentation given its box as polygon'),
    'box-clipped': ('box', 'clipped to the image'),
    'box-recomputed': ('box', 'computed anew from the mask'),
    'area-recomputed': ('area', 'computed anew from the mask'),
    'ids-shifted': ('annotation id', 'raised, because lvis-api takes id 0 for unmatched'),
    'id-repeated': ('annotation id', 'used before and replaced'),
    'negative-removed': ('image and category pair', 'taken out of `neg_category_ids`'),
    'unknown-listed': ('image', 'whose federated lists named unknown categories'),
}


class Report:
    """Collects changes by class, keeping the first places and the count of each."""

    def __init__(self) -> None:
        self._count: dict[str, int] = defaultdict(int)
        self._places: dict[str, list[str]] = defaultdict(list)

    def add(self, code: str, place: str, count: int = 1) -> None:
        """Record a change.

        Args:
            code: Class of the change.
            place: Where, such as ``annotation 17 (image 3)``.
            count: Records concerned.
        """
        self._count[code] += count
        if len(self._places[code]) < SHOWN:
            self._places[code].append(place)

    def problems(self) -> list[Problem]:
        """One entry per class that occurred, in a fixed order."""
        found = (
            problem(code, self._places[code], noun, what, count=self._count[code], fatal=False)
            for code, (noun, what) in _CHANGES.items()
            if code in self._count
        )
        return [one for one in found if one is not None]
