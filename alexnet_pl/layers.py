"""The layers that PyTorch lacks: response normalisation (§4.3; §3.3 of 2012) and the dropout of §5.2 (§4.2 of 2012)."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Rule(NamedTuple):
    """b = a / (k + α · Σ a²)^β, summed over `n` neighbours: maps of the same tower, or n × n pixels of the same map."""

    n: int
    k: float
    alpha: float
    beta: float
    towers: int
    spatial: bool


def window(squares: Tensor, rule: Rule) -> Tensor:
    """(N, C, H, W) → the same: sums over the rule's neighbours, clipped at a tower's ends or a map's edges."""
    half = rule.n // 2
    if rule.spatial:
        rows = shifted(F.pad(squares, (0, 0, half, half)), rule.n, 2)
        return shifted(F.pad(rows, (half, half)), rule.n, 3)
    maps = squares.unflatten(1, (rule.towers, -1))
    return shifted(F.pad(maps, (0, 0, 0, 0, half, half)), rule.n, 2).flatten(1, 2)


def shifted(padded: Tensor, n: int, dim: int) -> Tensor:
    """The sum of n neighbours along `dim`, which shrinks by n − 1. Plain additions: the same to the bit every time."""
    size = padded.shape[dim] - n + 1
    return functools.reduce(torch.add, (padded.narrow(dim, i, size) for i in range(n)))


def inverse_power(s: Tensor, beta: float) -> Tensor:
    """s^−β; for β = 3/4 by two square roots, several times as fast as a power."""
    if beta != 0.75:
        return s.pow(-beta)
    root = s.rsqrt()
    return root * root.sqrt()


def widen(a: Tensor) -> Tensor:
    """float32 for the half precisions, whose eight or eleven bits a sum of squares would exhaust; else as it is."""
    return a.float() if a.dtype in (torch.float16, torch.bfloat16) else a


def normalise(a: Tensor, rule: Rule) -> Tensor:
    wide = widen(a)
    s = rule.k + rule.alpha * window(wide.square(), rule)
    return (wide * inverse_power(s, rule.beta)).to(a.dtype)


def gradient(a: Tensor, grad: Tensor, rule: Rule) -> Tensor:
    """∂L/∂a from g = ∂L/∂b:  g · s^−β − 2αβ · a · Σ (g · a · s^(−β−1)), the same sum again since it is symmetric."""
    wide, g = widen(a), widen(grad)
    s = rule.k + rule.alpha * window(wide.square(), rule)
    direct = g * inverse_power(s, rule.beta)
    return (direct - 2 * rule.alpha * rule.beta * wide * window(direct * wide / s, rule)).to(a.dtype)


@functools.cache
def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """One fused kernel where the plain function makes a dozen passes over memory."""
    return torch.compile(function, dynamic=False)


BLOCK = 1 << 18  # values of which a core's cache holds a few sets


def in_blocks(function: Callable[..., Tensor], a: Tensor, *rest: Any) -> Tensor:
    """The plain function on a CPU, a few images after the others: its dozen intermediate results then stay in a cache
    instead of going through memory, which is twice as fast."""
    count = max(1, BLOCK // max(1, a[:1].numel()))
    if a.device.type != "cpu" or count >= len(a):
        return function(a, *rest)
    out = torch.empty_like(a)
    for start in range(0, len(a), count):
        part = slice(start, start + count)
        out[part] = function(a[part], *(each[part] if isinstance(each, Tensor) else each for each in rest))
    return out


class Norm(torch.autograd.Function):
    """`normalise` and its `gradient`, which need nothing kept but a."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, rule: Rule, fast: bool) -> Tensor:
        ctx.save_for_backward(a)
        ctx.rule, ctx.fast = rule, fast
        return compiled(normalise)(a, rule) if fast else in_blocks(normalise, a, rule)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (a,) = ctx.saved_tensors
        found = compiled(gradient)(a, grads[0], ctx.rule) if ctx.fast else in_blocks(gradient, a, grads[0], ctx.rule)
        return found, None, None


class NormLayer(nn.Module):
    """(N, C, H, W) → (N, C, H, W), no parameters. `fast` compiles it: the same sums in one pass over memory."""

    rule: Rule
    fast = False

    def forward(self, a: Tensor) -> Tensor:
        return Norm.apply(a, self.rule, self.fast)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value:g}" for name, value in self.rule._asdict().items())


class ResponseNorm(NormLayer):
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
        self.rule = Rule(n, k, alpha / n if alpha_over_n else alpha, beta, towers, spatial=False)


class SpatialNorm(NormLayer):
    """The third normalisation of the program, which the paper does not mention (`cnorm2`, layers-145.cfg:107):

    b[x, y] = a[x, y] / (1 + 0.001/25 · Σ a[x', y']²)^0.75      over 5 × 5 pixels of the same map
    """

    def __init__(self, n: int = 5, k: float = 1.0, alpha: float = 1e-3, beta: float = 0.75) -> None:
        super().__init__()
        self.rule = Rule(n, k, alpha / n**2, beta, towers=1, spatial=True)


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
