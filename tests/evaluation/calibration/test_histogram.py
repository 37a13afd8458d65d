import numpy as np

from plugins.evaluation.calibration.histogram import fit_histogram


def test_a_bin_takes_the_share_of_matched_results():
    scores = np.array([0.01, 0.02, 0.04, 0.22, 0.23])
    model = fit_histogram(scores, np.array([1, 0, 0, 1, 1], bool), bins=5)
    np.testing.assert_allclose(model.values, [1 / 3, 1.0, 0.5, 0.7, 0.9])


def test_an_edge_is_fitted_in_the_upper_and_looked_up_in_the_lower_bin():
    model = fit_histogram(np.array([0.25, 0.5]), np.array([True, False]), bins=4)
    np.testing.assert_array_equal(model.values, [0.125, 1.0, 0.0, 0.875])
    np.testing.assert_array_equal(model(np.array([0.25, 0.5, 0.500001])), [0.125, 1.0, 0.0])


def test_zero_and_one_fall_into_the_outer_bins():
    model = fit_histogram(np.array([0.0, 1.0, 1.0]), np.array([True, False, True]), bins=10)
    np.testing.assert_array_equal(model(np.array([0.0, 1.0, -3.0, 7.0])), [1.0, 0.5, 1.0, 0.5])
