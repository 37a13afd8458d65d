import torch

from plugins.layers import add_image_vectors


def test_every_roi_gets_the_vector_of_its_own_image():
    feats, vectors = torch.randn(4, 3, 2, 2), torch.randn(2, 3)
    rois = torch.tensor([[1.0, 0, 0, 9, 9], [0, 1, 1, 5, 5], [1, 2, 2, 8, 8], [0, 0, 0, 3, 3]])
    found = add_image_vectors(feats, vectors, rois)
    for roi, own, expected in zip(rois, found, feats, strict=True):
        assert torch.equal(own, expected + vectors[int(roi[0])][:, None, None])


def test_half_precision_and_no_rois_stay_what_they_are():
    rois, vectors = torch.zeros(0, 5), torch.randn(2, 3)
    found = add_image_vectors(torch.zeros(0, 3, 7, 7).bfloat16(), vectors, rois)
    assert found.shape == (0, 3, 7, 7) and found.dtype == torch.bfloat16
