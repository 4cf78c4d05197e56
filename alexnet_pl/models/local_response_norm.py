"""Local response normalization (§4.3; §3.3 of 2012), forward and backward, in few passes over memory.

`normalize` and `gradient` are the reference, in plain tensor operations. GPUs run them compiled; CPUs run the same
operations block by block, so that intermediate results stay in cache.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.runtime.compiler import compiled


class NormSpec(NamedTuple):
    """Constants of b = a / (k + α · Σ a²)^β, with the sum over `n` maps of the same tower, or n × n pixels of a map."""

    n: int
    k: float
    alpha: float
    beta: float
    towers: int
    spatial: bool

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes of (N, towers, maps, H, W) that sums run along."""
        return (3, 4) if self.spatial else (2,)


def window_sum(padded: Tensor, spec: NormSpec) -> Tensor:
    """Sum over neighbors; each summed axis shrinks by n − 1. Plain additions, so that results are reproducible."""
    for axis in spec.axes:
        size = padded.shape[axis] - spec.n + 1
        padded = functools.reduce(torch.add, (padded.narrow(axis, i, size) for i in range(spec.n)))
    return padded


def zero_pad(x: Tensor, spec: NormSpec) -> Tensor:
    """Pad with zeros beyond the first and last map, or beyond a map's edges, where sums are clipped."""
    sides = [spec.n // 2 if axis in spec.axes else 0 for axis in (4, 3, 2)]
    return F.pad(x, [side for side in sides for _ in range(2)])


def inverse_power(s: Tensor, beta: float) -> Tensor:
    """Compute s^−β; for β = 3/4 with two square roots, several times as fast as a power."""
    if beta != 0.75:
        return s.pow(-beta)
    root = s.rsqrt()
    return root * root.sqrt()


def at_least_float32(a: Tensor) -> Tensor:
    """Convert float16 and bfloat16, which are too imprecise for sums of squares, to float32; keep other types."""
    return a.float() if a.dtype in (torch.float16, torch.bfloat16) else a


def square(a: Tensor) -> Tensor:
    return at_least_float32(a).square()


def apply_norm(a: Tensor, squares: Tensor, spec: NormSpec) -> Tensor:
    """Compute b from a and its padded squares."""
    s = spec.k + spec.alpha * window_sum(squares, spec)
    return (at_least_float32(a) * inverse_power(s, spec.beta)).to(a.dtype)


def gradient_terms(a: Tensor, grad: Tensor, squares: Tensor, spec: NormSpec) -> tuple[Tensor, Tensor]:
    """Compute the two terms of the gradient: g · s^−β, and g · a · s^(−β−1), which is summed over neighbors."""
    s = spec.k + spec.alpha * window_sum(squares, spec)
    direct = at_least_float32(grad) * inverse_power(s, spec.beta)
    return direct, direct * at_least_float32(a) / s


def combine_gradient(a: Tensor, direct: Tensor, terms: Tensor, spec: NormSpec) -> Tensor:
    """Compute the gradient from its two terms. `terms`: those that are summed over neighbors, padded."""
    return (direct - 2 * spec.alpha * spec.beta * at_least_float32(a) * window_sum(terms, spec)).to(a.dtype)


def normalize(a: Tensor, spec: NormSpec) -> Tensor:
    """Normalize (N, towers, maps, H, W)."""
    return apply_norm(a, zero_pad(square(a), spec), spec)


def gradient(a: Tensor, grad: Tensor, spec: NormSpec) -> Tensor:
    """Compute ∂L/∂a from g = ∂L/∂b:  g · s^−β − 2αβ · a · Σ (g · a · s^(−β−1)).

    The sum runs over the same neighbors as in `normalize`, because being neighbors is symmetric.
    """
    direct, terms = gradient_terms(a, grad, zero_pad(square(a), spec), spec)
    return combine_gradient(a, direct, zero_pad(terms, spec), spec)


# GPU: compiled as two functions. In one, each value would compute the roots and sums of squares of all its neighbors,
# in more than twice the instructions and so many registers that few of a GPU's threads run at once.


def neighbor_terms(a: Tensor, grad: Tensor, spec: NormSpec) -> Tensor:
    """Compute the term of the gradient that is summed over neighbors."""
    return gradient_terms(a, grad, zero_pad(square(a), spec), spec)[1]


def gradient_from_terms(a: Tensor, grad: Tensor, terms: Tensor, spec: NormSpec) -> Tensor:
    """Compute the gradient from the result of `neighbor_terms`; the other term is computed again."""
    direct, _ = gradient_terms(a, grad, zero_pad(square(a), spec), spec)
    return combine_gradient(a, direct, zero_pad(terms, spec), spec)


def compiled_gradient(a: Tensor, grad: Tensor, spec: NormSpec) -> Tensor:
    whole = not spec.spatial
    terms = compiled(neighbor_terms, whole)(a, grad, spec)
    return compiled(gradient_from_terms, whole)(a, grad, terms, spec)


# CPU: cache-blocked. The operations run on a few images at a time, in padded buffers that stay in cache. If `normalize`
# were compiled as a whole, it would test for each neighbor whether it exists, and compute all five roots per value.


def square_into(squares: Tensor, a: Tensor) -> None:
    squares.copy_(square(a))


def apply_norm_into(out: Tensor, a: Tensor, squares: Tensor, spec: NormSpec) -> None:
    out.copy_(apply_norm(a, squares, spec))


def gradient_terms_into(
    direct: Tensor, terms: Tensor, a: Tensor, grad: Tensor, squares: Tensor, spec: NormSpec
) -> None:
    for out, term in zip((direct, terms), gradient_terms(a, grad, squares, spec), strict=True):
        out.copy_(term)


def combine_gradient_into(out: Tensor, a: Tensor, direct: Tensor, terms: Tensor, spec: NormSpec) -> None:
    out.copy_(combine_gradient(a, direct, terms, spec))


class PaddedBuffer(NamedTuple):
    """float32 buffer for a block of images, padded with zeros, in the memory order of the images.

    `interior`: view of `padded` without the padding.
    """

    padded: Tensor
    interior: Tensor

    @classmethod
    def around(cls, a: Tensor, spec: NormSpec) -> "PaddedBuffer":
        shape = [size + (spec.n - 1) * (axis in spec.axes) for axis, size in enumerate(a.shape)]
        order = sorted(range(a.dim()), key=lambda axis: (-a.stride(axis), axis))
        dtype = at_least_float32(a[:0]).dtype
        stored = torch.zeros([shape[axis] for axis in order], dtype=dtype, device=a.device)
        interior = padded = stored.permute([order.index(axis) for axis in range(a.dim())])
        for axis in spec.axes:
            interior = interior.narrow(axis, spec.n // 2, a.shape[axis])
        return cls(padded, interior)


VALUES_PER_BLOCK = {True: 1 << 21, False: 1 << 18}  # at most, by whether the operations are compiled
VALUES_PER_THREAD = 1 << 19  # at most, for what each core's caches hold


def block_slices(a: Tensor, use_compile: bool) -> list[slice]:
    """Slices over the images, all of equal length because each length would be compiled separately."""
    values = min(VALUES_PER_BLOCK[use_compile], VALUES_PER_THREAD * torch.get_num_threads())
    count = max(1, min(len(a), values // max(1, a[:1].numel())))
    while len(a) % count:
        count -= 1
    return [slice(start, start + count) for start in range(0, max(1, len(a)), count)]


def normalize_in_blocks(a: Tensor, spec: NormSpec, use_compile: bool) -> Tensor:
    slices = block_slices(a, use_compile)
    out, squares = torch.empty_like(a), PaddedBuffer.around(a[slices[0]], spec)
    for part in slices:
        maybe_compile(square_into, use_compile)(squares.interior, a[part])
        maybe_compile(apply_norm_into, use_compile)(out[part], a[part], squares.padded, spec)
    return out


def gradient_in_blocks(a: Tensor, grad: Tensor, spec: NormSpec, use_compile: bool) -> Tensor:
    slices = block_slices(a, use_compile)
    out, squares, terms = torch.empty_like(a), *(PaddedBuffer.around(a[slices[0]], spec) for _ in range(2))
    direct = torch.empty_like(squares.interior)
    for part in slices:
        maybe_compile(square_into, use_compile)(squares.interior, a[part])
        maybe_compile(gradient_terms_into, use_compile)(
            direct, terms.interior, a[part], grad[part], squares.padded, spec
        )
        maybe_compile(combine_gradient_into, use_compile)(out[part], a[part], direct, terms.padded, spec)
    return out


def maybe_compile(function: Callable[..., Any], use_compile: bool) -> Callable[..., Any]:
    return compiled(function) if use_compile else function


class NormFunction(torch.autograd.Function):
    """`normalize` and `gradient` of (N, towers, maps, H, W); saves only `a` for the backward pass."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, spec: NormSpec, use_compile: bool) -> Tensor:
        ctx.save_for_backward(a)
        ctx.spec, ctx.use_compile = spec, use_compile
        if a.device.type == "cpu":
            return normalize_in_blocks(a.detach(), spec, use_compile)
        return maybe_compile(normalize, use_compile)(a.detach(), spec)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (a,) = ctx.saved_tensors
        if a.device.type == "cpu":
            return gradient_in_blocks(a, grads[0], ctx.spec, ctx.use_compile), None, None
        compute_gradient = compiled_gradient if ctx.use_compile else gradient
        return compute_gradient(a, grads[0], ctx.spec), None, None
