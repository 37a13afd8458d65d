"""Detections of one image: its annotations, moved and scaled, as lines of a result file."""

import json
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as mask_api

HIT, NEAR, FEDERATED, FOREIGN = range(4)
"""Kinds of detections: well placed with the right category; badly placed with it; with any
category that is evaluated in the image; with any category at all."""

SHARES = (0.12, 0.3, 0.11, 0.47)
"""Of the kinds; about 53 % of the detections survive the federated filter of LVIS."""


@dataclass(frozen=True)
class MaskStock:
    """Detections of an image, of which each copy of the image shows some.

    Args:
        kind: int (N,), what each is.
        category: int (N,), id of the annotation each was made from.
        segmentation: N compressed run-length codes as JSON text.
        evaluated: int (E,), ids of the categories that are evaluated in the image.
    """

    kind: np.ndarray
    category: np.ndarray
    segmentation: list[str]
    evaluated: np.ndarray

    @classmethod
    def of_image(cls, data: dict, image: dict, count: int, rng: np.random.Generator) -> 'MaskStock':
        """Make detections for an image.

        Args:
            data: The annotation file of the image.
            image: Its record. One without annotations borrows the shapes of all others.
            count: How many detections.
            rng: Source of all that is random.
        """
        own = [a for a in data['annotations'] if a['image_id'] == image['id']]
        shapes = own or data['annotations']
        kind = rng.choice(len(SHARES), size=count, p=SHARES)
        source = rng.integers(len(shapes), size=count)
        evaluated = {a['category_id'] for a in own} | set(image['neg_category_ids'])
        return cls(
            kind=kind,
            category=np.array([shapes[s]['category_id'] for s in source], np.int64),
            segmentation=[
                _moved_mask(shapes[s], image, k == HIT, rng)
                for s, k in zip(source.tolist(), kind.tolist(), strict=True)
            ],
            evaluated=np.array(sorted(evaluated), np.int64),
        )

    def draw(
        self, count: int, image_id: int, categories: np.ndarray, rng: np.random.Generator
    ) -> list[str]:
        """Detections of one copy of the image, one JSON object each.

        Args:
            count: How many, at most as many as there are.
            image_id: Id of the copy.
            categories: int (K,), all category ids.
            rng: Source of all that is random.
        """
        chosen = rng.permutation(len(self.kind))[:count]
        kind, category = self.kind[chosen], self.category[chosen].copy()
        category[kind == FOREIGN] = rng.choice(categories, size=np.sum(kind == FOREIGN))
        if len(self.evaluated):
            guessed = kind == FEDERATED
            category[guessed] = rng.choice(self.evaluated, size=np.sum(guessed))
        score = np.where(kind == HIT, rng.beta(2, 2, count), rng.beta(0.6, 4, count))
        # Nothing below a usual threshold; as a detector writes it, rounded to single precision.
        score = (1e-4 + (1 - 1e-4) * score).astype(np.float32).astype(np.float64)
        return [
            f'{{"image_id": {image_id}, "score": {value!r}, "category_id": {label}, '
            f'"segmentation": {self.segmentation[index]}}}'
            for index, label, value in zip(
                chosen.tolist(), category.tolist(), score.tolist(), strict=True
            )
        ]


def _moved_mask(annotation: dict, image: dict, is_hit: bool, rng: np.random.Generator) -> str:
    """Move and scale an annotation; the centre stays in the image, the mask is never empty."""
    size = np.array([image['width'], image['height']], np.float64)
    corner, sides = np.split(np.array(annotation['bbox'], np.float64), 2)
    spread, growth = (0.06, 0.08) if is_hit else (0.8, 0.3)
    middle = corner + sides / 2
    scale = np.exp(rng.normal(0, growth, 2))
    target = np.clip(middle + rng.normal(0, spread, 2) * sides, 0.05 * size, 0.95 * size)
    rings = [np.reshape(ring, (-1, 2)) for ring in annotation['segmentation']]
    moved = [((ring - middle) * scale + target).round(2).ravel().tolist() for ring in rings]
    code = _rasterised(moved, image)
    if not mask_api.area(code):
        # Peers disagree about empty masks, which are no matter of speed.
        (x, y), side = target, 2
        code = _rasterised([[x - side, y - side, x + side, y - side, x, y + side]], image)
    return json.dumps({'size': code['size'], 'counts': code['counts'].decode()})


def _rasterised(rings: list[list[float]], image: dict) -> dict:
    return mask_api.merge(mask_api.frPyObjects(rings, image['height'], image['width']))
