"""Shape of a network's input."""

from torch import Tensor


def check_input_shape(images: Tensor, crop: int) -> None:
    """Raise ValueError unless the images are (N, 3, crop, crop)."""
    if images.shape[1:] != (3, crop, crop):
        found = ", ".join(map(str, images.shape))
        raise ValueError(f"images of shape ({found}): the network was built for (N, 3, {crop}, {crop})")
