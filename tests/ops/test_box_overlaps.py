import pytest
import torch
import torchvision
from mmcv.ops import bbox_overlaps


@pytest.fixture
def boxes(device):
    corner = torch.rand(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    side = torch.rand(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return torch.cat([corner, corner + side + 0.1], dim=1).to(device)


def test_iou_is_torchvisions(boxes):
    expected = torchvision.ops.box_iou(boxes[:4], boxes)
    torch.testing.assert_close(bbox_overlaps(boxes[:4], boxes), expected)
    aligned = bbox_overlaps(boxes[:4], boxes[4:8], aligned=True)
    torch.testing.assert_close(aligned, torchvision.ops.box_iou(boxes[:4], boxes[4:8]).diag())


def test_overlap_over_foreground_divides_by_the_first_area(boxes):
    iou = torchvision.ops.box_iou(boxes[:4], boxes)
    area1, area2 = (torchvision.ops.box_area(b) for b in (boxes[:4], boxes))
    inside = iou * (area1[:, None] + area2) / (1 + iou) / area1[:, None]
    torch.testing.assert_close(bbox_overlaps(boxes[:4], boxes, mode='iof'), inside)


def test_offset_counts_pixels():
    one = torch.tensor([[0.0, 0, 9, 9]])
    half = torch.tensor([[0.0, 0, 9, 4]])
    assert bbox_overlaps(one, half, offset=1).item() == 0.5
    point = torch.tensor([[3.0, 3, 3, 3]])
    assert bbox_overlaps(point, point, offset=1).item() == 1
    assert bbox_overlaps(point, point).isnan().item()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_rounds_only_the_result(boxes, dtype):
    small = boxes.to(dtype)
    expected = bbox_overlaps(small.float(), small.float()).to(dtype)
    assert torch.equal(bbox_overlaps(small, small), expected)


def test_result_carries_no_gradient_and_empty_sets_are_fine(boxes):
    assert not bbox_overlaps(boxes.requires_grad_(), boxes).requires_grad
    assert bbox_overlaps(boxes[:0], boxes).shape == (0, 9)
