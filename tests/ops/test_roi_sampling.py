import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from plugins.ops.roi_sampling import (
    BinPoints,
    bag_starts,
    bilinear_taps,
    bins_to_maps,
    largest_in_bags,
    maps_to_bins,
    ragged_ranges,
    sample_bags,
)


def test_ragged_ranges_number_the_elements_of_each_bag():
    owner, place = ragged_ranges(torch.tensor([2, 0, 3]))
    assert owner.tolist() == [0, 0, 2, 2, 2]
    assert place.tolist() == [0, 1, 0, 1, 2]
    assert bag_starts(torch.tensor([2, 0, 3])).tolist() == [0, 2, 2]


def test_weights_of_the_taps_sum_to_one_inside_and_to_zero_outside():
    y = torch.tensor([-1.01, -1.0, -0.3, 2.4, 3.0, 3.9, 4.0, 4.01, float('nan'), float('inf')])
    index, weight = bilinear_taps(y, torch.full_like(y, 1.25), 4, 3)
    assert weight.sum(dim=0).tolist() == [0, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert index.min() >= 0 and index.max() < 12


def test_samples_are_grid_samples_with_a_clamped_border():
    torch.manual_seed(0)
    features = torch.randn(1, 3, 5, 6, dtype=torch.float64)
    y = torch.rand(40, dtype=torch.float64) * 5.9 - 0.95
    x = torch.rand(40, dtype=torch.float64) * 6.9 - 0.95
    points = BinPoints(torch.zeros(40, dtype=torch.long), y, x, torch.ones(40, dtype=torch.long))
    grid = torch.stack([x / 2.5 - 1, y / 2 - 1], dim=1)[None, None]
    expected = F.grid_sample(features, grid, padding_mode='border', align_corners=True)[0, :, 0].t()
    torch.testing.assert_close(sample_bags(features, points, points.bin_sizes), expected)


def test_samples_have_gradients_in_values_and_positions():
    torch.manual_seed(0)
    features = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    y = (torch.rand(6, dtype=torch.float64) * 4).requires_grad_()
    x = (torch.rand(6, dtype=torch.float64) * 5).requires_grad_()
    sizes = torch.tensor([1, 0, 3, 2])

    def sample(features, y, x):
        points = BinPoints(torch.tensor([0, 1, 0, 1, 0, 1]), y, x, sizes)
        return sample_bags(features, points, sizes)

    assert gradcheck(sample, (features, y, x))


def test_largest_row_of_each_bag():
    rows = torch.tensor([[1.0, 9.0], [3.0, 9.0], [-2.0, -1.0]])
    values, holder = largest_in_bags(rows, torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1]))
    assert values.tolist() == [[3, 9], [0, 0], [-2, -1]]
    assert holder.tolist() == [[1, 0], [-1, -1], [2, 2]]


def test_maps_and_bins_are_inverse():
    maps = torch.randn(3, 4, 2, 5)
    assert torch.equal(bins_to_maps(maps_to_bins(maps), 3, (2, 5)), maps)
