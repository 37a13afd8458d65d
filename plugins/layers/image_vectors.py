"""What belongs to an image, given to all of its RoIs."""

from torch import Tensor


def add_image_vectors(feats: Tensor, vectors: Tensor, rois: Tensor) -> Tensor:
    """Add to the features of RoIs the vector of the image that each lies in.

    Args:
        feats: Float (R, C, h, w).
        vectors: Float (N, C), of every image.
        rois: Float (R, 5), image index and box.

    Returns:
        Float (R, C, h, w), of the type of the features.
    """
    own = vectors.to(feats.dtype)[rois[:, 0].long()]
    return feats + own[:, :, None, None]
