"""Response normalization (§4.3) and the program's spatial norm against loops in float64."""

import shutil
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet_pl.models import local_response_norm
from alexnet_pl.models.layers import LocalResponseNorm, NormLayer, SpatialNorm
from alexnet_pl.models.local_response_norm import NormSpec
from alexnet_pl.runtime.compiler import compiled

HALF_BF16 = 2**-8  # maximum relative rounding error of bfloat16, which has eight significant bits


def maps(*shape: int, seed: int = 0, size: float = 100.0) -> Tensor:
    """Responses as large as conv1's, so that the norm has an effect."""
    return size * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def written_out(
    a: Tensor, n: int = 5, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, towers: int = 1
) -> Tensor:
    """§4.3's formula, one number at a time; `alpha` multiplies the plain sum; windows stay within towers."""
    source = a.double().numpy()
    b = np.empty_like(source)
    count = source.shape[1] // towers
    for place in np.ndindex(source.shape):
        image, i, *xy = place
        first = i // count * count
        window = range(max(first, i - n // 2), min(first + count - 1, i + n // 2) + 1)
        total = sum(float(source[(image, j, *xy)]) ** 2 for j in window)
        b[place] = source[place] / (k + alpha * total) ** beta
    return torch.from_numpy(b)


def written_out_in_space(a: Tensor, n: int = 5, k: float = 1.0, alpha: float = 1e-3, beta: float = 0.75) -> Tensor:
    """SOURCE_FACTS §2, cnorm2: α over n², pixels beyond the edge count as zero."""
    source = a.double().numpy()
    b = np.empty_like(source)
    reach, (height, width) = n // 2, source.shape[2:]
    for image, i, y, x in np.ndindex(source.shape):
        rows = slice(max(0, y - reach), min(height, y + reach + 1))
        columns = slice(max(0, x - reach), min(width, x + reach + 1))
        total = float((source[image, i, rows, columns] ** 2).sum())
        b[image, i, y, x] = source[image, i, y, x] / (k + alpha / n**2 * total) ** beta
    return torch.from_numpy(b)


def gradient(function, a: Tensor, g: Tensor) -> Tensor:
    a = a.detach().clone().requires_grad_()
    return torch.autograd.grad(function(a), a, g)[0]


@pytest.mark.parametrize("channels", [2, 4, 6, 14])
@pytest.mark.parametrize("towers", [1, 2])
def test_response_norm_matches_the_printed_formula(channels: int, towers: int) -> None:
    """§4.3, including the first and last maps, and towers with fewer maps than the window."""
    a = maps(2, channels, 3, 2)
    norm = LocalResponseNorm(towers=towers, alpha_over_n=False)
    torch.testing.assert_close(norm(a), written_out(a, alpha=1e-4, towers=towers), rtol=1e-12, atol=0)


@pytest.mark.parametrize("towers", [1, 2])
def test_response_norm_divides_alpha_by_the_window_as_run(towers: int) -> None:
    """layer.py:1183: 1e-4 / 5 = 2e-5 per term is the default."""
    a = maps(2, 14, 3, 2)
    torch.testing.assert_close(
        LocalResponseNorm(towers=towers)(a), written_out(a, alpha=2e-5, towers=towers), rtol=1e-12, atol=0
    )
    assert not torch.allclose(LocalResponseNorm(towers=towers)(a), written_out(a, alpha=1e-4, towers=towers), rtol=1e-3)


def test_response_norm_accepts_other_constants() -> None:
    a = maps(1, 9, 2, 2, size=3.0)
    norm = LocalResponseNorm(n=3, k=0.5, alpha=0.3, beta=1.25, alpha_over_n=False)
    torch.testing.assert_close(norm(a), written_out(a, n=3, k=0.5, alpha=0.3, beta=1.25), rtol=1e-12, atol=0)


def halves(a: Tensor) -> Tensor:
    """torch's norm divides α by n too, so on each GPU's half it equals the program's norm (SOURCE_FACTS §2)."""
    return torch.cat([F.local_response_norm(half, 5, 1e-4, 0.75, 2.0) for half in a.chunk(2, 1)], 1)


def pooled(a: Tensor) -> Tensor:
    """SOURCE_FACTS §2: x · (1 + 1e-3 · avg_pool(x², 5, stride 1, pad 2, count_include_pad))^−0.75."""
    mean = F.avg_pool2d(a.square(), 5, stride=1, padding=2, count_include_pad=True)
    return a * (1 + 1e-3 * mean) ** -0.75


def test_response_norm_and_gradient_match_torch_in_each_half() -> None:
    a, g = maps(2, 20, 5, 4), maps(2, 20, 5, 4, seed=1, size=1.0)
    norm = LocalResponseNorm(towers=2)
    torch.testing.assert_close(norm(a), halves(a), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient(norm, a, g), gradient(halves, a, g), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "reference"),
    [(NormSpec(5, 2.0, 1e-4 / 5, 0.75, 2, False), halves), (NormSpec(5, 1.0, 1e-3 / 25, 0.75, 1, True), pooled)],
    ids=["maps", "space"],
)
def test_gradient_in_two_functions_as_on_gpus(spec: NormSpec, reference: Callable[[Tensor], Tensor]) -> None:
    a, g = maps(2, 20, 9, 8), maps(2, 20, 9, 8, seed=1, size=1.0)
    towers = [one.unflatten(1, (spec.towers, -1)) for one in (a, g)]
    terms = local_response_norm.neighbor_terms(*towers, spec)
    found = local_response_norm.gradient_from_terms(*towers, terms, spec).flatten(1, 2)
    torch.testing.assert_close(found, gradient(reference, a, g), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_response_norm_windows_do_not_cross_towers(first: bool) -> None:
    """SOURCE_FACTS §2: channels 47|48 are not neighbors. Each half is independent of the other's content."""
    a = maps(1, 96, 3, 3)
    silenced, kept = a.clone(), slice(0, 48) if first else slice(48, 96)
    silenced[:, slice(48, 96) if first else slice(0, 48)] = 0
    norm = LocalResponseNorm(towers=2)
    assert torch.equal(norm(silenced)[:, kept], norm(a)[:, kept])

    whole = LocalResponseNorm(towers=1)
    changed = (whole(silenced) != whole(a))[0, kept].any(dim=(1, 2)).nonzero().flatten()
    assert changed.tolist() == ([46, 47] if first else [0, 1]), "of one tower, only two maps lie near the border"


def test_response_norm_gradient_does_not_cross_towers() -> None:
    a = maps(1, 12, 2, 2)
    g = torch.zeros_like(a)
    g[:, :6] = 1
    assert (gradient(LocalResponseNorm(towers=2), a, g)[:, 6:] == 0).all()
    assert (gradient(LocalResponseNorm(towers=1), a, g)[:, 6:8] != 0).all()


@pytest.mark.parametrize("shape", [(2, 3, 7, 6), (1, 2, 13, 13), (1, 2, 2, 3), (1, 1, 1, 1)])
def test_spatial_norm_matches_the_programs_formula(shape: tuple[int, ...]) -> None:
    """k = 1, 0.001 / 25 = 4e-5 per term, 5 × 5 pixels of one map, at edges and on maps smaller than the window."""
    a = maps(*shape)
    torch.testing.assert_close(SpatialNorm()(a), written_out_in_space(a), rtol=1e-12, atol=0)


def test_spatial_norm_and_gradient_match_average_pooling() -> None:
    a, g = maps(2, 4, 9, 8), maps(2, 4, 9, 8, seed=1, size=1.0)
    torch.testing.assert_close(SpatialNorm()(a), pooled(a), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient(SpatialNorm(), a, g), gradient(pooled, a, g), rtol=1e-10, atol=1e-12)


def test_spatial_norm_keeps_maps_apart() -> None:
    a = maps(1, 3, 6, 6)
    silenced = a.clone()
    silenced[:, 1:] = 0
    assert torch.equal(SpatialNorm()(a)[:, :1], SpatialNorm()(silenced)[:, :1])


@pytest.mark.parametrize(
    "norm",
    [
        LocalResponseNorm(alpha=0.5),
        LocalResponseNorm(n=3, k=1.0, alpha=0.5, beta=1.5, towers=2, alpha_over_n=False),
        SpatialNorm(alpha=2.0),
        SpatialNorm(n=3, k=0.5, alpha=1.0, beta=1.5),
    ],
    ids=["maps", "maps of two towers", "space", "space 3×3"],
)
def test_norm_gradients_match_finite_differences(norm: torch.nn.Module) -> None:
    """α is large, so that the norm's own part of the gradient matters."""
    a = maps(2, 8, 4, 3, size=1.0).requires_grad_()
    assert torch.autograd.gradcheck(norm, a)


NORMS = [
    pytest.param(LocalResponseNorm(towers=2), lambda a: written_out(a, alpha=2e-5, towers=2), id="maps"),
    pytest.param(SpatialNorm(), written_out_in_space, id="space"),
]


@pytest.mark.parametrize(("norm", "reference"), NORMS)
def test_norms_do_not_depend_on_the_memory_format(norm, reference) -> None:
    a, g = maps(2, 12, 6, 5).float(), maps(2, 12, 6, 5, seed=1, size=1.0).float()
    last = a.to(memory_format=torch.channels_last)
    torch.testing.assert_close(norm(last), reference(a).float(), rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient(norm, last, g), gradient(norm, a, g), rtol=1e-5, atol=1e-6)
    turned = g.to(memory_format=torch.channels_last)
    torch.testing.assert_close(gradient(norm, a, turned), gradient(norm, a, g), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("norm", "reference"), NORMS)
def test_norms_in_bfloat16_round_only_the_result(norm, reference) -> None:
    """Squares are summed in float32, so a window of 25 equal squares loses no precision."""
    a, g = maps(2, 12, 6, 5).bfloat16(), maps(2, 12, 6, 5, seed=1, size=1.0).bfloat16()
    b = norm(a)
    assert b.dtype == torch.bfloat16
    torch.testing.assert_close(b.double(), reference(a), rtol=1.01 * HALF_BF16, atol=0)
    found, wanted = gradient(norm, a, g), gradient(norm, a.double(), g.double())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), wanted, rtol=1.01 * HALF_BF16, atol=1e-6)


@pytest.mark.parametrize(("norm", "reference"), NORMS)
def test_norms_are_deterministic_and_leave_their_input_unchanged(norm, reference) -> None:
    a, g = maps(4, 32, 13, 13).float(), maps(4, 32, 13, 13, seed=1).float()
    kept = a.clone()
    first, second = norm(a), norm(a)
    assert torch.equal(first, second)
    assert torch.equal(gradient(norm, a, g), gradient(norm, a, g))
    assert torch.equal(a, kept)
    assert not torch.equal(first, a)


@pytest.mark.parametrize("norm", [LocalResponseNorm(towers=2), SpatialNorm()], ids=["maps", "space"])
def test_gradients_per_image_match_a_loop(norm: NormLayer) -> None:
    """torch.func transforms no custom autograd.Function without rules of its own."""
    a, g = maps(3, 4, 5, 6), maps(3, 4, 5, 6, seed=1)

    def loss(image: Tensor, weight: Tensor) -> Tensor:
        return (norm(image[None])[0] * weight).sum()

    found = torch.func.vmap(torch.func.grad(loss))(a, g)
    pairs = zip(a.split(1), g.split(1), strict=True)
    torch.testing.assert_close(found, torch.cat([gradient(norm, image, weight) for image, weight in pairs]))


@pytest.mark.parametrize("norm", [LocalResponseNorm(towers=2), SpatialNorm()], ids=["maps", "space"])
def test_norms_have_no_parameters_or_buffers(norm) -> None:
    assert list(norm.parameters()) == []
    assert norm.state_dict() == {}


@pytest.mark.parametrize("fast", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("norm", [LocalResponseNorm(towers=2), SpatialNorm()], ids=["across maps", "across space"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_norms_of_chunks_match_the_whole_batch(
    norm: NormLayer,
    layout: torch.memory_format,
    fast: bool,
    precision: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    shape = (6, 12, 9, 9)
    a, upstream = (40 * torch.randn(shape).to(precision).contiguous(memory_format=layout) for _ in range(2))
    monkeypatch.setitem(
        local_response_norm.VALUES_PER_BLOCK, fast, 4 * 12 * 81
    )  # blocks of four would leave a remainder, so there are two blocks of three
    assert [part.stop for part in local_response_norm.block_slices(a, fast)] == [3, 6]
    a, upstream = (each.unflatten(1, (norm.spec.towers, -1)) for each in (a, upstream))
    found = local_response_norm.normalize_in_blocks(a, norm.spec, fast)
    back = local_response_norm.gradient_in_blocks(a, upstream, norm.spec, fast)
    assert found.stride() == back.stride() == a.stride()
    torch.testing.assert_close(found, local_response_norm.normalize(a, norm.spec))
    torch.testing.assert_close(back, local_response_norm.gradient(a, upstream, norm.spec))


@pytest.mark.parametrize(("threads", "images"), [(1, 8), (2, 16), (4, 32), (64, 32)])
def test_blocks_of_norms_grow_with_the_threads(threads: int, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    slices = local_response_norm.block_slices(torch.empty(64, 1 << 16, device="meta"), use_compile=True)
    assert slices == [slice(start, start + images) for start in range(0, 64, images)]


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on the CPU")
def test_fused_gradient_matches_the_gradient() -> None:
    """The gradient is computed as on a GPU, but compiled for the CPU."""
    rule = LocalResponseNorm(towers=2).spec
    a, upstream = torch.randn(2, 2, 2, 24, 5, 5).mul(20).unbind()
    wanted = local_response_norm.gradient(a.double(), upstream.double(), rule)
    torch.testing.assert_close(compiled(local_response_norm.gradient, whole=True)(a, upstream, rule), wanted.float())


def test_norm_over_an_even_number_of_maps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^n=4: an odd number of maps"):
        LocalResponseNorm(n=4)


@pytest.mark.parametrize("norm", [LocalResponseNorm(), SpatialNorm()])
def test_norms_compute_where_their_input_is(norm: NormLayer) -> None:
    a = maps(2, 6, 4, 4).float().requires_grad_()
    wanted = torch.autograd.grad(norm(a).sum(), a)[0]
    with torch.device("meta"):
        torch.testing.assert_close(torch.autograd.grad(norm(a).sum(), a)[0], wanted)
