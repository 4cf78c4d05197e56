"""Layers that PyTorch lacks: response normalisation (§4.3; §3.3 of 2012) and the dropout of §5.2 (§4.2 of 2012)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet_pl.models.local_response_norm import Norm, NormSpec, normalize


class NormLayer(nn.Module):
    """(N, C, H, W) → (N, C, H, W), no parameters. `fast` compiles it: the same sums in fewer passes over memory."""

    rule: NormSpec
    compiled = False

    def forward(self, a: Tensor) -> Tensor:
        grouped = a.unflatten(1, (self.rule.towers, -1))
        if torch.compiler.is_compiling():  # also in an export, whose graph can hold no autograd.Function of ours
            return normalize(grouped, self.rule).flatten(1, 2)
        return Norm.apply(grouped, self.rule, self.compiled).flatten(1, 2)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value:g}" for name, value in self.rule._asdict().items())


class LocalResponseNorm(NormLayer):
    """Response normalisation across neighbouring maps (§4.3):

        b[i] = a[i] / (k + α · Σ_j a[j]²)^β      j from max(0, i − n/2) to min(C − 1, i + n/2)

    C is a tower's number of maps: in the authors' program no sum crosses from one GPU to the other. `alpha_over_n`
    divides α by n, as the program does (layer.py:1183) and as `F.local_response_norm` and Caffe do; the printed formula
    does not. `nn.CrossMapLRN2d` must not serve as a reference: it forgets to subtract the first map's square.
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
        self.rule = NormSpec(n, k, alpha / n if alpha_over_n else alpha, beta, towers, spatial=False)


class SpatialNorm(NormLayer):
    """The third normalisation of the program, which the paper does not mention (`cnorm2`, layers-145.cfg:107):

    b[x, y] = a[x, y] / (1 + 0.001/25 · Σ a[x', y']²)^0.75      over 5 × 5 pixels of the same map
    """

    def __init__(self, n: int = 5, k: float = 1.0, alpha: float = 1e-3, beta: float = 0.75) -> None:
        super().__init__()
        self.rule = NormSpec(n, k, alpha / n**2, beta, towers=1, spatial=True)


class Dropout(nn.Module):
    """Dropout as of 2012 (§5.2): outputs are zeroed with probability p, and *not* scaled up; in use, all count 1 − p.

    `nn.Dropout` scales up by 1/(1 − p) in training instead. The two differ for given initial weights, rate and decay.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training) * (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class LocallyConnected(nn.Module):
    """A convolution that keeps the size and shares no weights: each pixel has kernels and biases of its own.

    (N, inputs, side, side) → (N, outputs, side, side). `weight`: (side², kernel² · inputs, outputs), a window's pixels
    row by row and all maps of one before the next; `bias`: (side², 1, outputs), as the program has one per unit
    (LocalUnsharedLayerParser).

    One matrix product per pixel, over the minibatch, after one copy that lines the windows up. With two cores and the
    shapes of `cifar.LocalNet.local3` forward and backward take 7 ms, against 24 ms by `F.unfold` and `baddbmm`, 24 ms
    by `F.unfold` and `einsum`, 13 ms by nine products of shifted maps, 13 ms by `Tensor.unfold`, 18 ms by a
    grouped convolution.
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
        side, edge = self.side, self.kernel // 2
        padded = F.pad(x.permute(2, 3, 0, 1), (0, 0, 0, 0, edge, edge, edge, edge))  # pixels first, maps last
        shifts = [(i, j) for i in range(self.kernel) for j in range(self.kernel)]
        windows = torch.cat([padded[i : i + side, j : j + side] for i, j in shifts], dim=3)
        found = torch.baddbmm(self.bias, windows.flatten(0, 1), self.weight)
        return found.unflatten(0, (side, side)).permute(2, 3, 0, 1)

    def extra_repr(self) -> str:
        pixels, reads, outputs = self.weight.shape
        return f"{reads // self.kernel**2}, {outputs}, kernel={self.kernel}, pixels={pixels}"
