"""Kernels that torch.compile generates for compute capabilities 8.0 and 9.0, without a GPU: how many, and that they
assemble."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from gpu_kernels import assemble, generate, kernels, skip_other_compilers
from torch import Tensor

from alexnet_pl.data.loading.augment import Draws, gather_pixels
from alexnet_pl.models.local_response_norm import NormSpec, gradient, normalize
from alexnet_pl.runtime import WHOLE

pytest.importorskip("triton", reason="torch compiles for GPUs with Triton, which this platform lacks")
MAPS = NormSpec(n=5, k=2, alpha=2e-5, beta=0.75, towers=2, spatial=False)
PIXELS = NormSpec(n=5, k=1, alpha=4e-5, beta=0.75, towers=1, spatial=True)


def responses(maps: int, side: int, towers: int) -> Tensor:
    """Like a layer's responses: bfloat16, channels last, towers apart."""
    made = torch.empty(128, maps, side, side, dtype=torch.bfloat16, device="meta")
    return made.contiguous(memory_format=torch.channels_last).unflatten(1, (towers, -1))


def augment(images: Tensor, offsets: Tensor, flips: Tensor, noise: Tensor, mean: Tensor, colors: Tensor) -> Tensor:
    return gather_pixels(images, Draws(offsets, flips, noise), mean, colors, 1.1, 224, False, torch.bfloat16)


BATCH = [
    torch.empty(128, 3, 256, 256, dtype=torch.uint8, device="meta"),
    torch.empty(128, 2, dtype=torch.int64, device="meta"),
    torch.empty(128, dtype=torch.bool, device="meta"),
    torch.empty(128, 3, device="meta"),
    torch.empty(3, 224, 224, device="meta"),
    torch.empty(128, 3, device="meta"),
]
CONV1, CONV2 = responses(96, 55, 2), responses(256, 27, 2)
PIXELS2 = responses(256, 27, 1)


@pytest.fixture(scope="module")
def _known_compiler(tmp_path_factory: pytest.TempPathFactory) -> None:
    skip_other_compilers(tmp_path_factory.mktemp("kernels"))


@pytest.mark.usefixtures("_known_compiler")
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(
    ("function", "arguments", "options", "count"),
    [
        (partial(normalize, spec=MAPS), [CONV1], None, 1),
        (partial(normalize, spec=MAPS), [CONV2], None, 1),
        (partial(gradient, spec=MAPS), [CONV1, CONV1], WHOLE, 1),
        (partial(normalize, spec=PIXELS), [PIXELS2], None, 2),
        (partial(gradient, spec=PIXELS), [PIXELS2, PIXELS2], None, 4),
        (augment, BATCH, None, 1),
    ],
    ids=["norm1", "norm2", "norm1's gradient", "spatial2", "spatial2's gradient", "augmentation"],
)
def test_function_compiles_to_its_number_of_kernels(
    function: Callable[..., Tensor],
    arguments: list[Tensor],
    options: Mapping[str, Any] | None,
    count: int,
    capability: int,
    tmp_path: Path,
) -> None:
    found = kernels(generate(function, capability, *arguments, options=options))
    assert len(found) == count, list(found)
    for source in found.values():
        assert re.search(rf"\.target sm_{capability}a?\b", assemble(source, capability, tmp_path))
