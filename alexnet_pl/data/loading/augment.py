"""Data augmentation on the device (§5.1; §4.1 of 2012) and test views, from uint8 images."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from alexnet_pl.runtime.compiler import compiled
from alexnet_pl.runtime.precision import autocast_to

NOISE_SCALES = ("stdev", "eigenvalue", "eigenvalue255")
MEANS = ("center", "per_position")
CROP_POSITIONS = {  # (row, column) of the top left corner of each view, in units of (size − crop) / 2
    "center": ((1, 1),),
    "ten": ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2)),
    "nine": tuple((down, right) for down in range(3) for right in range(3)),
}


def suitable_crop(size: int) -> int:
    """Crop of images of `size` pixels: 224 of 256 in §5.1; 64 is the least for the paper's layers."""
    return max(size * 7 // 8, 64) if size >= 64 else size * 7 // 8


class Draws(NamedTuple):
    """Random numbers for augmenting N images."""

    offsets: Tensor  # (N, 2) int64: top and left edge of the crop in pixels
    flips: Tensor  # (N,) bool: whether to reflect left to right
    noise: Tensor  # (N, 3) float32, standard normal: one per principal component of color


class Batch(NamedTuple):
    """Batch: stored images (N, 3, size, size) uint8, class indices (N,) int64, and in training the random draws."""

    images: Tensor
    labels: Tensor
    draws: Draws | None = None


class Augment(nn.Module):
    """Augmentation (§5.1): uint8 images (N, 3, size, size) → network input (N, 3, crop, crop), 0 … 255 minus the mean.

    Pixels keep the scale 0 … 255, for which norms and initial weights are tuned.

      noise         standard deviation of the factor α of the color noise; 0: none
      random_crop   crop each image at a random position; false: its center
      flip          reflect each image left to right with probability 1/2

    Arguments for differences between the authors' program (the default) and the printed text:

      noise_scale   factor of α along each principal component of RGB. "stdev": the standard deviation (convdata.py:40),
                    12 gray levels of noise along the first component. "eigenvalue": the printed λ for pixels in 0 … 1,
                    6 gray levels. "eigenvalue255": λ for pixels in 0 … 255, 1,483 gray levels
      rescale       divide the noisy image by 1 + noise (convdata_jpeg.py:155), which roughly keeps its variance
      mean          "center": subtract the center of the mean image from every crop. "per_position": subtract the mean
                    image at the position of the crop, as in "the mean activity … from each pixel"
      include_last_offset  also start crops at the last of the size − crop + 1 offsets: 33 × 33 × 2 variants, not 2048
      images_per_crop  consecutive images that share crop and reflection; 32 in the program, 1 here by default

    Argument for OverFeat:

      pixel_mean    one number subtracted from all pixels and colors, in place of the mean image

    Raises ValueError, naming the argument, for values out of range.
    """

    mean_image: Tensor
    components: Tensor

    def __init__(
        self,
        size: int = 256,
        crop: int = 224,
        noise: float = 0.1,
        flip: bool = True,
        noise_scale: str = "stdev",
        rescale: bool = True,
        mean: str = "center",
        include_last_offset: bool = True,
        images_per_crop: int = 1,
        pixel_mean: float | None = None,
        random_crop: bool = True,
    ) -> None:
        super().__init__()
        if not 0 < crop <= size:
            raise ValueError(f"crop={crop}: at most the stored size, {size} pixels, such as {suitable_crop(size)}")
        if noise_scale not in NOISE_SCALES:
            raise ValueError(f"noise_scale={noise_scale}: one of {', '.join(NOISE_SCALES)}")
        if mean not in MEANS:
            raise ValueError(f"mean={mean}: one of {', '.join(MEANS)}")
        if images_per_crop < 1:
            raise ValueError(f"images_per_crop={images_per_crop}: at least 1")
        if noise < 0:
            raise ValueError(f"noise={noise}: at least 0")
        if pixel_mean is not None and not 0 <= pixel_mean <= 255:
            raise ValueError(f"pixel_mean={pixel_mean}: from 0 to 255, or null for the mean image")
        self.size, self.crop, self.noise, self.noise_scale, self.rescale = size, crop, noise, noise_scale, rescale
        self.mean, self.images_per_crop, self.flip, self.pixel_mean = mean, images_per_crop, flip, pixel_mean
        self.random_crop = random_crop
        self.image_by_image = False  # faster on a CPU
        self.fused = False  # one compiled kernel, faster on a GPU
        self.include_last_offset = include_last_offset
        self.num_offsets = size - crop + 1 if include_last_offset or size == crop else size - crop
        self.register_buffer("mean_image", torch.zeros(3, size, size))
        self.register_buffer("components", torch.zeros(3, 3))

    def set_statistics(self, mean_image: np.ndarray, covariance: np.ndarray) -> None:
        """Set mean image (3, size, size) and RGB covariance (3, 3) of the training split, for pixels in 0 … 255."""
        if self.pixel_mean is not None:
            mean_image = np.full_like(mean_image, self.pixel_mean)
        variances, vectors = np.linalg.eigh(covariance)
        scales = {
            "stdev": np.sqrt(variances.clip(0)),
            "eigenvalue": variances / 255,  # for pixels in 0 … 1, converted back to gray levels
            "eigenvalue255": variances,
        }
        self.mean_image.copy_(torch.from_numpy(mean_image))
        self.components.copy_(torch.from_numpy(vectors * scales[self.noise_scale]))

    def draw(self, seed: int, epoch: int, batch: int, count: int) -> Draws:
        """Draw random numbers for the `count` images of a batch, over all devices, from (seed, epoch, batch) alone."""
        generator = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, batch, 1]))
        groups = -(-count // self.images_per_crop)
        offsets = generator.integers(self.num_offsets, size=(groups, 2)).repeat(self.images_per_crop, 0)[:count]
        if not self.random_crop:
            offsets[:] = (self.size - self.crop) // 2
        flips = generator.integers(2, size=groups).astype(bool).repeat(self.images_per_crop)[:count] & self.flip
        noise = generator.standard_normal((count, 3), dtype=np.float32)
        return Draws(torch.from_numpy(offsets), torch.from_numpy(flips), torch.from_numpy(noise))

    def forward(self, images: Tensor, draws: Draws) -> Tensor:
        """Augment images for training: (N, 3, crop, crop).

        Under autocast, the image-by-image and fused versions return the precision to which conv1 would round its input.
        """
        if self.image_by_image:
            return self.augment_image_by_image(images, draws, autocast_to(images.device.type))
        per_position = self.mean == "per_position"
        if self.fused:
            mean, dtype = self.mean_image if per_position else self.center_mean, autocast_to(images.device.type)
            return compiled(gather_pixels)(
                images, draws, mean, self.noise_colors(draws), self.divisor, self.crop, per_position, dtype
            )
        view = self.view(images, draws.offsets, draws.flips)
        if self.noise:
            view += self.noise_colors(draws)[:, :, None, None]
            if self.rescale:
                view /= self.divisor
        return view

    def noise_colors(self, draws: Draws) -> Tensor:
        """Colors (N, 3) that the noise adds to all pixels of each image.

        Not a matrix product, which autocast or TF32 would round to 8 or 11 bits.
        """
        return (draws.noise[:, None] * self.components).sum(2) * self.noise

    @property
    def divisor(self) -> float:
        return 1 + self.noise if self.rescale else 1

    def augment_image_by_image(self, images: Tensor, draws: Draws, dtype: torch.dtype) -> Tensor:
        """Augment image by image, so that each stays in a core's cache through all operations.

        Same numbers as the batched version; the result is channels-last, as the network reads it.
        """
        out = torch.empty((len(images), self.crop, self.crop, 3), dtype=dtype)
        exact = out if dtype == torch.float32 else torch.empty((1, *out.shape[1:])).expand(out.shape)
        colors = self.noise_colors(draws).repeat(1, self.crop)  # one row of pixels
        mean, center_mean = (m.permute(1, 2, 0).contiguous() for m in (self.mean_image, self.center_mean))
        crops = zip(draws.offsets.tolist(), draws.flips.tolist(), strict=True)
        for image, ((top, left), flip), color, row, target in zip(images, crops, colors, exact, out, strict=True):
            area = slice(top, top + self.crop), slice(left, left + self.crop)
            view = image.permute(1, 2, 0)[area].contiguous()
            if self.mean == "per_position":
                view = view - mean[area]
            view = view.flip(1) if flip else view
            if self.mean == "per_position":
                row.copy_(view)
            else:
                torch.sub(view, center_mean, out=row)
            if self.noise:
                rows = row.view(self.crop, -1)
                rows += color
                if self.rescale:
                    rows /= self.divisor
            if row.dtype != dtype:
                target.copy_(row)
        return out.permute(0, 3, 1, 2)

    @property
    def center_mean(self) -> Tensor:
        return self.center(self.mean_image)

    def center(self, images: Tensor) -> Tensor:
        """The pixels of the center view: (..., size, size) → (..., crop, crop)."""
        edge = (self.size - self.crop) // 2
        return images[..., edge : edge + self.crop, edge : edge + self.crop]

    @property
    def color_mean(self) -> Tensor:
        """Mean of each color over the mean image's center, (3, 1, 1), for images of another size than the store's."""
        return self.center_mean.mean((1, 2))[:, None, None]

    def view(self, images: Tensor, offsets: Tensor, flips: Tensor) -> Tensor:
        """Crop, reflect and subtract the mean: (N, 3, crop, crop) float32."""
        if self.mean == "per_position":
            return crop_windows(images - self.mean_image, offsets, flips, self.crop)
        return crop_windows(images, offsets, flips, self.crop) - self.center_mean

    def views(self, images: Tensor, view_set: str) -> Iterator[Tensor]:
        """Yield test views of uint8 images, each (N, 3, crop, crop).

        `view_set`: "center": the center crop. "ten": "the four corner patches and the center patch" and their
        reflections (§5.1). "nine": a grid of 3 × 3 crops without reflections, as the program tests its CIFAR-10 nets.

        Views come one at a time, since ten of a batch of 128 take 0.8 GB. Raises ValueError for images of another size.
        """
        if images.shape[-2:] != (self.size, self.size):
            raise ValueError(f"images of shape {tuple(images.shape)}: expected {self.size} × {self.size} pixels (size)")
        margin = self.size - self.crop
        for flip in (False, True) if view_set == "ten" else (False,):
            for corner in CROP_POSITIONS[view_set]:
                down, right = (slice(half * margin // 2, half * margin // 2 + self.crop) for half in corner)
                view, mean = images[..., down, right], self.mean_image[..., down, right]
                view = view - mean if self.mean == "per_position" else view
                view = view.flip(3) if flip else view
                yield view if self.mean == "per_position" else view - self.center_mean


def gather_pixels(
    images: Tensor,
    draws: Draws,
    mean: Tensor,
    colors: Tensor,
    divisor: float,
    crop: int,
    per_position: bool,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Augment by gathering each output pixel, which compiles to one kernel: (N, 3, crop, crop), channels-last.

    `mean`: the center of the mean image, or with `per_position` the whole image.
    """
    rows, columns = (axis[:, None] for axis in source_lines(draws.offsets, draws.flips, crop))
    rows, columns = rows[..., None], columns[:, :, None]
    number = torch.arange(len(images), device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[:, None, None]
    mean_of_pixel = mean[channel, rows, columns] if per_position else mean
    view = (images[number, channel, rows, columns] - mean_of_pixel + colors[:, :, None, None]) / divisor
    return view.to(dtype, memory_format=torch.channels_last)


def source_lines(offsets: Tensor, flips: Tensor, crop: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of the stored image that make up each view, (N, crop) each."""
    steps = torch.arange(crop, device=offsets.device)
    return offsets[:, :1] + steps, offsets[:, 1:] + torch.where(flips[:, None], steps.flip(0), steps)


def crop_windows(images: Tensor, offsets: Tensor, flips: Tensor, crop: int) -> Tensor:
    """Crop and reflect: (N, C, S, S), (N, 2), (N,) → (N, C, crop, crop). Gathers whole rows, then their columns."""
    count, channels, size, _ = images.shape
    rows, columns = source_lines(offsets, flips, crop)
    planes = torch.arange(count * channels, device=images.device).view(count, channels, 1) * size
    strips = (
        images.reshape(-1, size).index_select(0, (planes + rows[:, None]).flatten()).view(count, channels * crop, size)
    )
    pixels = strips.gather(2, columns[:, None].expand(count, channels * crop, crop))
    return pixels.view(count, channels, crop, crop)
