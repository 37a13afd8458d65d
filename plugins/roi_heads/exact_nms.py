"""RoI heads whose detections are those of exact class-wise suppression."""

from mmengine.structures import InstanceData
from torch import Tensor

from plugins.errors import UserError
from plugins.layers.classwise_nms import classwise_nms
from plugins.layers.nms_options import read_max_per_img, read_nms, read_score_thr
from plugins.roi_heads.stages import stages_of


class SuppressesExactly:
    """Put before a RoI head of mmdet among the bases: its boxes go through ``classwise_nms``.

    What ``test_cfg.rcnn`` says about boxes:

    - ``score_thr``: a number, 0 included, or a list with one for each class;
    - ``nms``: ``dict(type='nms', iou_threshold=0.5)``, or ``dict(type='soft_nms',
      iou_threshold=0.3, method='linear', sigma=0.5, min_score=1e-3)`` with ``method`` linear,
      gaussian or naive; either with ``class_agnostic=True``; None for no suppression. Other types
      and keys are an error;
    - ``max_per_img``: detections to keep of an image, -1 for all.

    The detections are stock's in number, order and value, but for these: from 10,000 candidates on
    stock takes equal scores in any order. Before it suppresses it shifts boxes by a multiple of
    their class, and the shifted float32 coordinates are rounded, beyond class 1000 to 1/8 pixel:
    boxes whose IoU is near the threshold fare differently, depending on their class. A box that is
    not finite switches its suppression off for the whole image, here it is left out. And Soft-NMS
    below 10,000 candidates drops the best detection of a class too, if it is below ``min_score``.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.with_bbox and self.test_cfg is not None:
            # A mistake shall not wait for the first validation.
            self._suppression(self.test_cfg)

    def predict_bbox(
        self,
        x: tuple[Tensor, ...],
        batch_img_metas: list[dict],
        rpn_results_list: list[InstanceData],
        rcnn_test_cfg: dict | None,
        rescale: bool = False,
        **kwargs,
    ) -> list[InstanceData]:
        """Detect boxes as stock does; without ``rcnn_test_cfg``, all boxes and scores of all RoIs.

        Args:
            x: Feature pyramid.
            batch_img_metas: Metainfo of the images.
            rpn_results_list: Proposals of the images.
            rcnn_test_cfg: The options above, or None.
            rescale: Whether boxes are in pixels of the original image.
            **kwargs: What else the RoI head takes.

        Returns:
            ``bboxes`` float (K, 4), ``scores`` float (K,) and ``labels`` int64 (K,) of each image.
        """
        every_pair = super().predict_bbox(
            x, batch_img_metas, rpn_results_list, rcnn_test_cfg=None, rescale=rescale, **kwargs
        )
        if rcnn_test_cfg is None:
            return every_pair
        options = self._suppression(rcnn_test_cfg)
        return [_suppress(pairs, options) for pairs in every_pair]

    def _suppression(self, test_cfg: dict) -> dict:
        """Return the arguments of ``classwise_nms`` that the options stand for."""
        address = 'test_cfg.rcnn'
        for key in ('score_thr', 'nms'):
            if key not in test_cfg:
                raise UserError(f'{address} needs {key}')
        num_classes = stages_of(self.bbox_head)[-1].num_classes
        return dict(
            score_thr=read_score_thr(test_cfg['score_thr'], num_classes, f'{address}.score_thr'),
            max_per_img=read_max_per_img(test_cfg, address),
            **read_nms(test_cfg['nms'], f'{address}.nms'),
        )


def _suppress(pairs: InstanceData, options: dict) -> InstanceData:
    found = classwise_nms(pairs.bboxes, pairs.scores[:, :-1], **options)
    return InstanceData(bboxes=found.boxes, scores=found.scores, labels=found.labels)
