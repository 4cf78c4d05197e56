"""The layers that PyTorch lacks: response normalisation (§4.3; §3.3 of 2012) and the dropout of §5.2 (§4.2 of 2012)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Window = Callable[[Tensor], Tensor]


class Norm(torch.autograd.Function):
    """b = a · s^−β with s = k + α · Σ a² over a symmetric window, and its gradient, in three passes.

    With g = ∂L/∂b:  ∂L/∂a = g · s^−β − 2αβ · a · Σ (g · a · s^(−β−1)), the same window again because it is symmetric.
    Keeps a alone for the backward pass; sums in float32 at least, whatever the dtype of a.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, window: Window, k: float, alpha: float, beta: float) -> Tensor:
        ctx.save_for_backward(a)
        ctx.rule = window, k, alpha, beta
        wide = widen(a)
        return (wide * scale(wide, window, k, alpha).pow_(-beta)).to(a.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (a,) = ctx.saved_tensors
        window, k, alpha, beta = ctx.rule
        wide, grad = widen(a), widen(grads[0])
        s = scale(wide, window, k, alpha)
        direct = grad * s.pow(-beta)
        inhibited = window(direct * wide / s).mul_(wide).mul_(-2 * alpha * beta)
        return (direct + inhibited).to(a.dtype), None, None, None, None


def widen(a: Tensor) -> Tensor:
    """float32 for the half precisions, whose eight or eleven bits a sum of squares would exhaust; else as it is."""
    return a.float() if a.dtype in (torch.float16, torch.bfloat16) else a


def scale(a: Tensor, window: Window, k: float, alpha: float) -> Tensor:
    return window(a.square()).mul_(alpha).add_(k)


def across_maps(squares: Tensor, n: int, towers: int) -> Tensor:
    """(N, C, H, W) → the same: each map's sum with its n − 1 neighbours in channel order, clipped at a tower's ends."""
    maps = squares.unflatten(1, (towers, -1))
    total = maps.clone()
    for step in range(1, min(n // 2, maps.shape[2] - 1) + 1):
        total[:, :, step:] += maps[:, :, :-step]
        total[:, :, :-step] += maps[:, :, step:]
    return total.flatten(1, 2)


def across_space(squares: Tensor, n: int) -> Tensor:
    """(N, C, H, W) → the same: each pixel's sum over n × n pixels of its own map, clipped at the edges."""
    return F.avg_pool2d(squares, n, stride=1, padding=n // 2) * n**2


class ResponseNorm(nn.Module):
    """Response normalisation across neighbouring maps (§4.3):

        b[i] = a[i] / (k + α · Σ_j a[j]²)^β      j from max(0, i − n/2) to min(C − 1, i + n/2)

    (N, C, H, W) → (N, C, H, W), no parameters. C is a tower's number of maps: in the authors' program no sum crosses
    from one GPU to the other. `alpha_over_n` divides α by n, as the program does (layer.py:1183) and as
    `F.local_response_norm` and Caffe do; the printed formula does not.
    `nn.CrossMapLRN2d` must not serve as a reference: it forgets to subtract the first map's square.
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
        self.n, self.k, self.alpha, self.beta, self.towers = n, k, alpha / n if alpha_over_n else alpha, beta, towers

    def window(self, squares: Tensor) -> Tensor:
        return across_maps(squares, self.n, self.towers)

    def forward(self, a: Tensor) -> Tensor:
        return Norm.apply(a, self.window, self.k, self.alpha, self.beta)

    def extra_repr(self) -> str:
        return f"n={self.n}, k={self.k}, alpha={self.alpha:g}, beta={self.beta}, towers={self.towers}"


class SpatialNorm(nn.Module):
    """The third normalisation of the program, which the paper does not mention (`cnorm2`, layers-145.cfg:107):

        b[x, y] = a[x, y] / (1 + 0.001/25 · Σ a[x', y']²)^0.75      over 5 × 5 pixels of the same map

    (N, C, H, W) → (N, C, H, W), no parameters.
    """

    def __init__(self, n: int = 5, k: float = 1.0, alpha: float = 1e-3, beta: float = 0.75) -> None:
        super().__init__()
        self.n, self.k, self.alpha, self.beta = n, k, alpha / n**2, beta

    def window(self, squares: Tensor) -> Tensor:
        return across_space(squares, self.n)

    def forward(self, a: Tensor) -> Tensor:
        return Norm.apply(a, self.window, self.k, self.alpha, self.beta)

    def extra_repr(self) -> str:
        return f"n={self.n}, k={self.k}, alpha={self.alpha:g}, beta={self.beta}"


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
