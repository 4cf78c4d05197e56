"""Layers that PyTorch lacks: response normalization (§4.3; §3.3 of 2012), dropout of §5.2, locally connected layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.models.local_response_norm import NormFunction, NormSpec, normalize


class NormLayer(nn.Module):
    """Base of the normalization layers: (N, C, H, W) → (N, C, H, W), no parameters.

    `compiled`: run through torch.compile, which computes the same sums in fewer passes over memory.
    """

    spec: NormSpec
    compiled = False

    def forward(self, a: Tensor) -> Tensor:
        grouped = a.unflatten(1, (self.spec.towers, -1))
        # While compiling, which an export does too, and under torch.func, a custom autograd.Function is not allowed.
        if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
            return normalize(grouped, self.spec).flatten(1, 2)
        return NormFunction.apply(grouped, self.spec, self.compiled).flatten(1, 2)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value:g}" for name, value in self.spec._asdict().items())


class LocalResponseNorm(NormLayer):
    """Local response normalization across neighboring maps (§4.3):

        b[i] = a[i] / (k + α · Σ_j a[j]²)^β      j from max(0, i − n/2) to min(C − 1, i + n/2)

    C is the number of maps of one tower: in the authors' program no sum crosses from one GPU to the other.
    `alpha_over_n` divides α by n, as the program (layer.py:1183), `F.local_response_norm` and Caffe do; the printed
    formula does not. `nn.CrossMapLRN2d` is not a reference: it does not subtract the square of the first map. Raises
    ValueError for an even `n`.
    """

    def __init__(
        self,
        n: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        towers: int = 1,
        alpha_over_n: bool = True,
    ) -> None:
        super().__init__()
        if n % 2 == 0:
            raise ValueError(f"n={n}: an odd number of maps")
        self.spec = NormSpec(n, k, alpha / n if alpha_over_n else alpha, beta, towers, spatial=False)


class SpatialNorm(NormLayer):
    """Normalization over pixels, in the authors' program but not in the paper (`cnorm2`, layers-145.cfg:107):

    b[x, y] = a[x, y] / (1 + 0.001/25 · Σ a[x', y']²)^0.75      over 5 × 5 pixels of the same map
    """

    def __init__(self, n: int = 5, k: float = 1.0, alpha: float = 1e-3, beta: float = 0.75) -> None:
        super().__init__()
        self.spec = NormSpec(n, k, alpha / n**2, beta, towers=1, spatial=True)


class Dropout(nn.Module):
    """Dropout of 2012 (§5.2): zero outputs with probability p and do *not* rescale; in evaluation multiply by 1 − p.

    `nn.Dropout` instead multiplies by 1/(1 − p) in training. With the same initial weights, learning rate and decay the
    two train differently.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training) * (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class LocallyConnected(nn.Module):
    """Locally connected layer: a same-size convolution whose kernels and biases differ at every pixel.

    (N, inputs, side, side) → (N, outputs, side, side). `weight`: (side², kernel² · inputs, outputs), where the inputs
    of a window run pixel by pixel, row by row, all maps of a pixel together. `bias`: (side², 1, outputs), one per unit
    as in the program (LocalUnsharedLayerParser). Raises ValueError for an even `kernel`.

    Computed as one matrix product per pixel, over the minibatch, after one copy that gathers the windows. On two cores,
    with the shapes of `cifar.LocalNet.local3`, forward and backward take 7 ms; `F.unfold` with `baddbmm` or `einsum`
    takes 24 ms, nine products of shifted maps 13 ms, `Tensor.unfold` 13 ms, a grouped convolution 18 ms.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, side: int) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"kernel={kernel}: an odd number of pixels")
        self.kernel, self.side = kernel, side
        self.weight = nn.Parameter(torch.empty(side**2, kernel**2 * inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(side**2, 1, outputs))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        side, padding = self.side, self.kernel // 2
        padded = F.pad(
            x.permute(2, 3, 0, 1), (0, 0, 0, 0, padding, padding, padding, padding)
        )  # pixels first, maps last
        shifts = [(i, j) for i in range(self.kernel) for j in range(self.kernel)]
        windows = torch.cat([padded[i : i + side, j : j + side] for i, j in shifts], dim=3)
        products = torch.baddbmm(self.bias, windows.flatten(0, 1), self.weight)
        return products.unflatten(0, (side, side)).permute(2, 3, 0, 1)

    def extra_repr(self) -> str:
        pixels, inputs, outputs = self.weight.shape
        return f"{inputs // self.kernel**2}, {outputs}, kernel={self.kernel}, pixels={pixels}"
