"""Local response normalisation (§4.3; §3.3 of 2012), forward and backward, in few passes over memory."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.runtime import compiled


class NormSpec(NamedTuple):
    """b = a / (k + α · Σ a²)^β, summed over `n` neighbours: maps of the same tower, or n × n pixels of the same map."""

    n: int
    k: float
    alpha: float
    beta: float
    towers: int
    spatial: bool

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes of (N, towers, maps, H, W) along which neighbors lie."""
        return (3, 4) if self.spatial else (2,)


def window(padded: Tensor, rule: NormSpec) -> Tensor:
    """Sums over the rule's neighbours; each axis shrinks by n − 1. Plain additions: the same to the bit every time."""
    for axis in rule.axes:
        size = padded.shape[axis] - rule.n + 1
        padded = functools.reduce(torch.add, (padded.narrow(axis, i, size) for i in range(rule.n)))
    return padded


def pad(x: Tensor, rule: NormSpec) -> Tensor:
    """Zeros beyond a tower's ends or a map's edges, so that sums are clipped there."""
    sides = [rule.n // 2 if axis in rule.axes else 0 for axis in (4, 3, 2)]
    return F.pad(x, [side for side in sides for _ in range(2)])


def inverse_power(s: Tensor, beta: float) -> Tensor:
    """s^−β; for β = 3/4 by two square roots, several times as fast as a power."""
    if beta != 0.75:
        return s.pow(-beta)
    root = s.rsqrt()
    return root * root.sqrt()


def at_least_float32(a: Tensor) -> Tensor:
    """float32 for the half precisions, whose eight or eleven bits a sum of squares would exhaust; else as it is."""
    return a.float() if a.dtype in (torch.float16, torch.bfloat16) else a


def square(a: Tensor) -> Tensor:
    return at_least_float32(a).square()


def apply_norm(a: Tensor, squares: Tensor, rule: NormSpec) -> Tensor:
    """b, from a and its padded squares."""
    s = rule.k + rule.alpha * window(squares, rule)
    return (at_least_float32(a) * inverse_power(s, rule.beta)).to(a.dtype)


def gradient_terms(a: Tensor, grad: Tensor, squares: Tensor, rule: NormSpec) -> tuple[Tensor, Tensor]:
    """Terms of the gradient: g · s^−β, and g · a · s^(−β−1), which is summed over neighbors."""
    s = rule.k + rule.alpha * window(squares, rule)
    direct = at_least_float32(grad) * inverse_power(s, rule.beta)
    return direct, direct * at_least_float32(a) / s


def combine_gradient(a: Tensor, direct: Tensor, others: Tensor, rule: NormSpec) -> Tensor:
    """The gradient from both terms, the second padded."""
    return (direct - 2 * rule.alpha * rule.beta * at_least_float32(a) * window(others, rule)).to(a.dtype)


def normalize(a: Tensor, rule: NormSpec) -> Tensor:
    return apply_norm(a, pad(square(a), rule), rule)


def gradient(a: Tensor, grad: Tensor, rule: NormSpec) -> Tensor:
    """∂L/∂a from g = ∂L/∂b:  g · s^−β − 2αβ · a · Σ (g · a · s^(−β−1)), the same sum again since it is symmetric."""
    direct, others = gradient_terms(a, grad, pad(square(a), rule), rule)
    return combine_gradient(a, direct, pad(others, rule), rule)


# On a CPU the same steps go a few images at a time, through padded memory that stays in a cache. A compiler left with
# the whole would test of each neighbour whether there is one, and take the roots of all five again for each value.


def square_into(squares: Tensor, a: Tensor) -> None:
    squares.copy_(square(a))


def apply_norm_into(out: Tensor, a: Tensor, squares: Tensor, rule: NormSpec) -> None:
    out.copy_(apply_norm(a, squares, rule))


def gradient_terms_into(
    direct: Tensor, others: Tensor, a: Tensor, grad: Tensor, squares: Tensor, rule: NormSpec
) -> None:
    for out, found in zip((direct, others), gradient_terms(a, grad, squares, rule), strict=True):
        out.copy_(found)


def combine_gradient_into(out: Tensor, a: Tensor, direct: Tensor, others: Tensor, rule: NormSpec) -> None:
    out.copy_(combine_gradient(a, direct, others, rule))


class PaddedBuffer(NamedTuple):
    """Memory for float32 values of some images with zeros around them, in the order in which those lie in theirs."""

    padded: Tensor
    middle: Tensor

    @classmethod
    def around(cls, a: Tensor, rule: NormSpec) -> "PaddedBuffer":
        shape = [size + (rule.n - 1) * (axis in rule.axes) for axis, size in enumerate(a.shape)]
        order = sorted(range(a.dim()), key=lambda axis: (-a.stride(axis), axis))
        stored = torch.zeros([shape[axis] for axis in order], dtype=at_least_float32(a[:0]).dtype)
        middle = padded = stored.permute([order.index(axis) for axis in range(a.dim())])
        for axis in rule.axes:
            middle = middle.narrow(axis, rule.n // 2, a.shape[axis])
        return cls(padded, middle)


BLOCK = {True: 1 << 21, False: 1 << 18}  # values at a time, of compiled steps and of plain ones


def blocks(a: Tensor, fast: bool) -> list[slice]:
    """Equal ones, as each size would be compiled for itself."""
    count = max(1, min(len(a), BLOCK[fast] // max(1, a[:1].numel())))
    while len(a) % count:
        count -= 1
    return [slice(start, start + count) for start in range(0, max(1, len(a)), count)]


def normalize_in_blocks(a: Tensor, rule: NormSpec, fast: bool) -> Tensor:
    parts = blocks(a, fast)
    out, squares = torch.empty_like(a), PaddedBuffer.around(a[parts[0]], rule)
    for part in parts:
        step(square_into, fast)(squares.middle, a[part])
        step(apply_norm_into, fast)(out[part], a[part], squares.padded, rule)
    return out


def gradient_in_blocks(a: Tensor, grad: Tensor, rule: NormSpec, fast: bool) -> Tensor:
    parts = blocks(a, fast)
    out, squares, others = torch.empty_like(a), *(PaddedBuffer.around(a[parts[0]], rule) for _ in range(2))
    direct = torch.empty_like(squares.middle)
    for part in parts:
        step(square_into, fast)(squares.middle, a[part])
        step(gradient_terms_into, fast)(direct, others.middle, a[part], grad[part], squares.padded, rule)
        step(combine_gradient_into, fast)(out[part], a[part], direct, others.padded, rule)
    return out


def step(function: Callable[..., Any], fast: bool) -> Callable[..., Any]:
    return compiled(function) if fast else function


class Norm(torch.autograd.Function):
    """`normalise` and its `gradient` of (N, towers, maps, H, W), which need nothing kept but a."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, rule: NormSpec, fast: bool) -> Tensor:
        ctx.save_for_backward(a)
        ctx.rule, ctx.fast = rule, fast
        if a.device.type == "cpu":
            return normalize_in_blocks(a.detach(), rule, fast)
        return step(normalize, fast)(a.detach(), rule)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (a,) = ctx.saved_tensors
        if a.device.type == "cpu":
            return gradient_in_blocks(a, grads[0], ctx.rule, ctx.fast), None, None
        one = compiled(gradient, whole=not ctx.rule.spatial) if ctx.fast else gradient
        return one(a, grads[0], ctx.rule), None, None
