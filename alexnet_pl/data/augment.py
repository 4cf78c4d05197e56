"""The two kinds of data augmentation of §5.1 (§4.1 of 2012) and the ten test views, on the device, from uint8."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

NOISE_SCALES = ("stdev", "eigenvalue", "eigenvalue255")
MEANS = ("centre", "place")


class Draws(NamedTuple):
    """What chance decides about N training images."""

    offsets: Tensor  # (N, 2) int64, pixels: top and left edge of the crop
    flips: Tensor  # (N,) bool: reflected left to right
    noise: Tensor  # (N, 3) float32, standard normal: one number per principal component of colour


class Batch(NamedTuple):
    """Images as stored, (N, 3, size, size) uint8, class indices (N,) int64, and in training what chance decides."""

    images: Tensor
    labels: Tensor
    draws: Draws | None = None


class Augment(nn.Module):
    """uint8 images (N, 3, size, size) → what the first layer reads (N, 3, crop, crop), 0 … 255 minus the mean.

    The pixels keep their scale: norms and initial weights are tuned to it.

      noise         standard deviation of the colour noise's factor α; 0: none
    Where program and printed text differ (the program's value is the default):
      noise_scale   what α multiplies along each principal component of RGB.  stdev: the standard deviation
                    (convdata.py:40), 12 grey levels of noise along the first.  eigenvalue: the printed λ, of pixels
                    from 0 to 1, 6 grey levels.  eigenvalue255: λ of pixels from 0 to 255, 1,483 grey levels
      divide        the noisy image is divided by 1 + noise (convdata_jpeg.py:155), which keeps its variance about
      mean          centre: the mean image's centre is subtracted wherever the crop lies.  place: the mean at the
                    crop's own place, as "the mean activity … from each pixel" has it
      last_offset   a crop may also start at the last of the size − crop + 1 places: 33 × 33 × 2 variants, not 2048
      share         this many images in a row get the same crop and reflection; 32 in the program, 1 here by default
    """

    mean_image: Tensor
    components: Tensor

    def __init__(
        self,
        size: int = 256,
        crop: int = 224,
        noise: float = 0.1,
        noise_scale: str = "stdev",
        divide: bool = True,
        mean: str = "centre",
        last_offset: bool = True,
        share: int = 1,
    ) -> None:
        super().__init__()
        if not 0 < crop <= size:
            raise ValueError(f"crop={crop}: more than 0 and at most the stored size, {size} pixels")
        if noise_scale not in NOISE_SCALES:
            raise ValueError(f"noise_scale={noise_scale}: one of {', '.join(NOISE_SCALES)}")
        if mean not in MEANS:
            raise ValueError(f"mean={mean}: one of {', '.join(MEANS)}")
        if share < 1 or noise < 0:
            raise ValueError(f"share={share}, noise={noise}: at least 1, and not negative")
        self.size, self.crop, self.noise, self.noise_scale, self.divide = size, crop, noise, noise_scale, divide
        self.mean, self.share = mean, share
        self.places = size - crop + 1 if last_offset or size == crop else size - crop
        self.register_buffer("mean_image", torch.zeros(3, size, size))
        self.register_buffer("components", torch.zeros(3, 3))

    def set_statistics(self, mean_image: np.ndarray, covariance: np.ndarray) -> None:
        """Take the training split's (3, size, size) mean and (3, 3) covariance of RGB, both on 0 … 255."""
        variances, vectors = np.linalg.eigh(covariance)
        scales = {
            "stdev": np.sqrt(variances.clip(0)),
            "eigenvalue": variances / 255,  # of pixels from 0 to 1, and the shift back to grey levels
            "eigenvalue255": variances,
        }
        self.mean_image.copy_(torch.from_numpy(mean_image))
        self.components.copy_(torch.from_numpy(vectors * scales[self.noise_scale]))

    def draw(self, seed: int, epoch: int, batch: int, count: int) -> Draws:
        """What chance decides for the `count` images of a (global) batch: a function of (seed, epoch, batch) alone."""
        chance = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, batch, 1]))
        groups = -(-count // self.share)
        offsets = chance.integers(self.places, size=(groups, 2)).repeat(self.share, 0)[:count]
        flips = chance.integers(2, size=groups).astype(bool).repeat(self.share)[:count]
        noise = chance.standard_normal((count, 3), dtype=np.float32)
        return Draws(torch.from_numpy(offsets), torch.from_numpy(flips), torch.from_numpy(noise))

    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        """The training view."""
        view = self.view(images, draws.offsets, draws.flips)
        if self.noise:
            colour = (draws.noise * self.noise) @ self.components.T
            view += colour[:, :, None, None]
            if self.divide:
                view /= 1 + self.noise
        return view

    def view(self, images: Tensor, offsets: Tensor, flips: Tensor) -> Tensor:
        """Crops and reflections minus the mean: (N, 3, crop, crop) float32."""
        if self.mean == "place":
            return cropped(images - self.mean_image, offsets, flips, self.crop)
        edge = (self.size - self.crop) // 2
        centre = self.mean_image[:, edge : edge + self.crop, edge : edge + self.crop]
        return cropped(images, offsets, flips, self.crop) - centre

    def views(self, images: Tensor, ten: bool) -> Iterator[Tensor]:
        """The centre view, or "the four corner patches and the center patch" and their reflections (§5.1), one at a
        time: ten of a batch of 128 would take 0.8 GB."""
        last, half = self.size - self.crop, (self.size - self.crop) // 2
        corners = [(0, 0), (0, last), (half, half), (last, 0), (last, last)] if ten else [(half, half)]
        count, device = len(images), images.device
        for flip in (False, True) if ten else (False,):
            flips = torch.full((count,), flip, device=device)
            for corner in corners:
                yield self.view(images, torch.tensor([corner], device=device).expand(count, 2), flips)


def cropped(images: Tensor, offsets: Tensor, flips: Tensor, crop: int) -> Tensor:
    """(N, C, S, S), (N, 2), (N,) → (N, C, crop, crop): rows are gathered whole, then their columns in either order."""
    count, channels, size, _ = images.shape
    ramp = torch.arange(crop, device=images.device)
    planes = torch.arange(count * channels, device=images.device).view(count, channels, 1) * size
    rows = (planes + (offsets[:, :1] + ramp)[:, None]).flatten()
    columns = offsets[:, 1:] + torch.where(flips[:, None], ramp.flip(0), ramp)
    strips = images.reshape(-1, size).index_select(0, rows).view(count, channels * crop, size)
    picked = strips.gather(2, columns[:, None].expand(count, channels * crop, crop))
    return picked.view(count, channels, crop, crop)
