"""Feature visualization: images that maximize a unit, by gradient ascent from noise (Erhan et al. 2009; Olah et al.
2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.models.activations import layer_outputs
from alexnet_pl.models.receptive_field import receptive_fields

STEPS, RATE = 64, 0.2  # rate: length of a step as a share of the length of the coefficients
CONTRAST = 1.2  # standard deviation before the sigmoid: pixels reach black and white, but few saturate
JITTER = 16  # images move by up to a sixteenth of their side in each step, so that single pixels cannot overfit


class NoiseImages(nn.Module):
    """Images (count, 3, side, side), pixels in 0 … 255 with fixed contrast, parametrised by Fourier coefficients whose
    scale falls with frequency, so that ascent favors large structures over small ones."""

    scale: Tensor
    colors: Tensor

    def __init__(self, count: int, side: int, colors: Tensor, seed: int) -> None:
        """`colors`: (3, 3), with the principal directions of color in photographs as columns."""
        super().__init__()
        rows, columns = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
        generator = torch.Generator().manual_seed(seed)
        self.spectrum = nn.Parameter(torch.randn(count, 3, side, side // 2 + 1, 2, generator=generator))
        self.register_buffer("scale", torch.hypot(rows, columns).clamp_min(1 / side).rsqrt())
        self.register_buffer("colors", colors.clone())
        self.side = side

    def forward(self) -> Tensor:
        waves = torch.view_as_complex(self.spectrum) * self.scale
        planes = torch.einsum("dc,nchw->ndhw", self.colors, torch.fft.irfft2(waves, s=(self.side, self.side)))
        spread = planes.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
        return 255 * torch.sigmoid(CONTRAST * planes / spread)

    @torch.no_grad()
    def climb(self, gradient: Tensor) -> None:
        """Step along the gradient; the step length is a fixed share of the coefficients' length."""
        step, length = (part.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1) for part in (gradient, self.spectrum))
        self.spectrum += RATE * length * gradient / step.clamp_min(1e-12)


def central_outputs(net: nn.Module, views: Tensor, layer: str, units: Sequence[int]) -> Tensor:
    """Output of unit `units[i]` for view i, before the activation function, at the center of its map: (N,)."""
    (found,) = layer_outputs(net, views, [layer]).values()
    chosen = found[torch.arange(len(units)), list(units)]
    return chosen[:, chosen.shape[1] // 2, chosen.shape[2] // 2] if chosen.dim() == 3 else chosen


def maximize_units(
    net: nn.Module, augment: Augment, layer: str, units: Sequence[int], steps: int = STEPS, seed: int = 0
) -> Tensor:
    """Optimize one image per unit of a layer: (units, 3, side, side) float32 pixels in 0 … 255; `side` is the side of
    the unit's receptive field, at most the crop. The rest of the view is the mean image.

    The network must be in evaluation mode. Raises UserError for an unknown layer.
    """
    top, side = central_field(net, augment.crop, layer)
    images = NoiseImages(len(units), side, color_directions(augment), seed).to(augment.mean_image.device)
    generator = torch.Generator().manual_seed(seed)
    reach = side // JITTER
    with torch.enable_grad():
        for _ in range(steps):
            down, right = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
            views = surround(images(), augment, top).roll((down, right), (2, 3))
            images.climb(*torch.autograd.grad(central_outputs(net, views, layer, units).sum(), images.spectrum))
        return images().detach()


def central_field(net: nn.Module, crop: int, layer: str) -> tuple[int, int]:
    """Receptive field of a layer's center unit in the view, clipped to the view: (first row and column, side)."""
    field = receptive_fields(net, crop).get(layer)
    if field is None or field.size >= crop:
        return 0, crop
    with torch.inference_mode():
        like = next(net.parameters())
        maps = layer_outputs(net, torch.zeros(1, 3, crop, crop, dtype=like.dtype, device=like.device), [layer])[layer]
    return min(max(field.first_pixel(maps.shape[2] // 2), 0), crop - field.size), field.size


def surround(images: Tensor, augment: Augment, top: int) -> Tensor:
    """Place pixels (N, 3, side, side) at row and column `top` of the mean image: (N, 3, crop, crop), minus the mean."""
    side = images.shape[-1]
    below = augment.crop - side - top
    mean = augment.center_mean[:, top : top + side, top : top + side]
    return F.pad(images - mean, (top, below, top, below))


def color_directions(augment: Augment) -> Tensor:
    """Principal components of RGB in the training images as columns, scaled by their standard deviations: (3, 3)."""
    return augment.components if augment.components.any() else torch.eye(3)
