"""One view of a batch of images, as a two-stage detector sees it."""

from collections.abc import Callable

from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads import HybridTaskCascadeRoIHead
from mmdet.structures import SampleList
from plugins.roi_heads.mask_maps import MaskMaps
from plugins.test_time.view_geometry import boxes_from_view, boxes_into_view, unflip_maps


class HeldFeatures:
    """Feature pyramids of the views looked at last.

    Args:
        capacity: How many may be in memory, also while another one is being computed.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._pyramids: dict[int, tuple[Tensor, ...]] = {}

    def __contains__(self, number: int) -> bool:
        """Say whether those of a view are at hand."""
        return number in self._pyramids

    def get(self, number: int, compute: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Return those of a view; room for them is made before they are computed."""
        if number not in self._pyramids:
            while len(self._pyramids) >= self._capacity:
                self._pyramids.pop(next(iter(self._pyramids)))
            self._pyramids[number] = compute()
        return self._pyramids[number]


class TwoStageView:
    """What a detector says about one view, in pixels of the original images.

    Args:
        detector: A detector whose RoI head has ``mask_maps``.
        data: ``inputs`` and ``data_samples`` of the batch, before the data preprocessor.
        number: Of the view.
        held: Of all views; what is not there when a question is asked is computed again.
    """

    def __init__(
        self, detector: TwoStageDetector, data: dict, number: int, held: HeldFeatures
    ) -> None:
        self.samples: SampleList = data['data_samples']
        self._detector = detector
        self._data = data
        self._number = number
        self._held = held

    @property
    def is_at_hand(self) -> bool:
        """Whether its features are in memory."""
        return self._number in self._held

    @property
    def metas(self) -> list[dict]:
        """Metainfo of the images."""
        return [sample.metainfo for sample in self.samples]

    def detect(self) -> list[InstanceData]:
        """Detect boxes in every image by the detector's own ``test_cfg``.

        Returns:
            ``bboxes``, ``scores``, ``labels`` and what else the box branch adds.
        """
        x = self._features()
        found = self._predict_boxes(x, self._find_proposals(x), self._detector.roi_head.test_cfg)
        self._map_back(found)
        return found

    def propose(self) -> list[InstanceData]:
        """Find proposals in every image: ``bboxes`` float (P, 4) and ``scores`` float (P,)."""
        proposals = self._find_proposals(self._features())
        self._map_back(proposals)
        return proposals

    def rate(self, proposals: list[Tensor]) -> list[InstanceData]:
        """Move and rate given boxes, without suppressing any.

        Args:
            proposals: Of every image, float (R, 4).

        Returns:
            ``bboxes`` float (R, 4) or (R, 4 C) and ``scores`` float (R, C + 1), background last.
        """
        placed = [InstanceData(bboxes=boxes) for boxes in self._place(proposals)]
        found = self._predict_boxes(self._features(), placed, None)
        self._map_back(found)
        return found

    def mask_maps(self, boxes: list[Tensor], labels: list[Tensor]) -> MaskMaps:
        """Predict the masks of boxes, each for its own label, flips undone.

        Args:
            boxes: Of every image, float (n_i, 4).
            labels: Of every image, int64 (n_i,).

        Returns:
            Those of one image after the other.
        """
        seen = self._detector.roi_head.mask_maps(self._features(), self._place(boxes), labels)
        pairs = zip(seen, self.metas, strict=True)
        return MaskMaps.cat([own._replace(maps=unflip_maps(own.maps, meta)) for own, meta in pairs])

    def _features(self) -> tuple[Tensor, ...]:
        return self._held.get(self._number, self._compute_features)

    def _compute_features(self) -> tuple[Tensor, ...]:
        data = self._detector.data_preprocessor(self._data, False)
        self.samples = data['data_samples']
        # With what the RoI head wants to know of the images: it asks twice, for boxes and masks.
        return self._detector.roi_head.with_context(self._detector.extract_feat(data['inputs']))

    def _find_proposals(self, x: tuple[Tensor, ...]) -> list[InstanceData]:
        if 'proposals' in self.samples[0]:
            return [sample.proposals[:] for sample in self.samples]
        return self._detector.rpn_head.predict(x, self.samples, rescale=False)

    def _predict_boxes(
        self, x: tuple[Tensor, ...], proposals: list[InstanceData], test_cfg: dict | None
    ) -> list[InstanceData]:
        head = self._detector.roi_head
        more = {}
        if isinstance(head, HybridTaskCascadeRoIHead):
            more['semantic_feat'] = head.semantic_head(x)[1] if head.with_semantic else None
        return head.predict_bbox(
            x=x,
            batch_img_metas=self.metas,
            rpn_results_list=proposals,
            rcnn_test_cfg=test_cfg,
            rescale=False,
            **more,
        )

    def _place(self, boxes: list[Tensor]) -> list[Tensor]:
        return [boxes_into_view(b, meta) for b, meta in zip(boxes, self.metas, strict=True)]

    def _map_back(self, found: list[InstanceData]) -> None:
        for own, meta in zip(found, self.metas, strict=True):
            own.bboxes = boxes_from_view(own.bboxes, meta)
