"""Triton kernels that torch.compile generates for a GPU, and their machine code, on a machine without a GPU.

Inductor reads the device's properties and Triton its architecture from the driver; both are simulated. The functions
below use internals of both compilers, and report a torch whose internals differ.
"""

import contextlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from alexnet_pl.data.loading.augment import Draws, gather_pixels
from alexnet_pl.models.local_response_norm import NormSpec, gradient_from_terms, neighbor_terms, normalize
from alexnet_pl.runtime.compiler import WHOLE

BLOCKS = {"XBLOCK": 256, "YBLOCK": 16, "ZBLOCK": 1}  # sizes among those that the autotuner tries


def device_properties(capability: int) -> SimpleNamespace:
    """Properties of an A100 (80) or an H100 (90) that the compilers read."""
    return SimpleNamespace(
        name="GPU",
        major=capability // 10,
        minor=capability % 10,
        multi_processor_count={80: 108, 90: 132}[capability],
        total_memory=80 << 30,
        max_threads_per_multi_processor=2048,
        regs_per_multiprocessor=65536,
        warp_size=32,
        max_threads_per_block=1024,
        shared_memory_per_block=48 << 10,
        shared_memory_per_block_optin={80: 163 << 10, 90: 227 << 10}[capability],
        L2_cache_size={80: 40 << 20, 90: 50 << 20}[capability],
    )


@contextlib.contextmanager
def pretended_gpu(capability: int) -> Iterator[None]:
    """Simulate a GPU whose properties can be read, but which cannot run anything."""
    from torch._dynamo.device_interface import CudaInterface
    from triton.backends.compiler import GPUTarget
    from triton.runtime.driver import driver

    properties = device_properties(capability)
    answers = {
        "get_device_properties": properties,
        "get_device_capability": (properties.major, properties.minor),
        "is_available": True,
        "current_device": 0,
        "device_count": 1,
    }
    target = SimpleNamespace(get_current_target=lambda: GPUTarget("cuda", capability, properties.warp_size))
    with contextlib.ExitStack() as stack:
        for name, value in answers.items():
            stack.enter_context(mock.patch(f"torch.cuda.{name}", lambda *_, value=value: value))
        for owner in (CudaInterface, CudaInterface.Worker):
            stack.enter_context(mock.patch.object(owner, "get_device_properties", staticmethod(lambda _=0: properties)))
        stack.enter_context(mock.patch.object(driver, "_active", target))
        yield


def generate(
    function: Callable[..., Tensor], capability: int, *arguments: Tensor, options: Mapping[str, Any] | None = None
) -> str:
    """Source that torch.compile generates from `function` on a GPU for arguments of these shapes and types."""
    from torch._inductor import config
    from torch._inductor.debug import DebugContext
    from torch._inductor.decomposition import select_decomp_table
    from torch._inductor.graph import GraphLowering
    from torch._inductor.virtualized import V
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    with config.patch(dict(options or {})), FakeTensorMode() as mode:
        fake = [torch.empty_strided(one.shape, one.stride(), dtype=one.dtype, device="cuda") for one in arguments]
        traced = make_fx(function, decomposition_table=select_decomp_table(), tracing_mode="fake")(*fake)
        with pretended_gpu(capability):
            graph = GraphLowering(traced, example_inputs=fake)
            with V.set_graph_handler(graph), V.set_fake_mode(mode), V.set_debug_handler(DebugContext()):
                graph.run(*fake)
                return str(graph.codegen()[0].value)


def kernels(program: str) -> dict[str, str]:
    """Name → source of a program's Triton kernels."""
    return dict(re.findall(r"async_compile\.triton\('(\w+)', '''\n(.*?)'''", program, re.DOTALL))


def assemble(source: str, capability: int, folder: Path) -> str:
    """Compile a kernel to machine code. Returns its PTX."""
    import triton
    from torch._inductor.runtime import triton_helpers, triton_heuristics
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    made: dict[str, Any] = {}

    def keep(**options: Any) -> Callable[[Any], Any]:
        return lambda function: made.update(function=function, signature=options["triton_meta"]["signature"])

    def keep_sized(size_hints: object = None, **options: Any) -> Callable[[Any], Any]:
        return keep(**options)

    path = folder / "kernel.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("kernel", path)
    assert spec is not None
    assert spec.loader is not None
    with (
        pretended_gpu(capability),
        mock.patch.object(triton_helpers, "set_driver_to_gpu"),
        mock.patch.object(triton_heuristics, "pointwise", keep_sized),
    ):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        sizes = {name: BLOCKS[name] for name, kind in made["signature"].items() if kind == "constexpr"}
        built = triton.compile(
            ASTSource(made["function"], made["signature"], constexprs=sizes),
            target=GPUTarget("cuda", capability, 32),
            options={"num_warps": 4, "enable_fp_fusion": True},
        )
    assert built.asm["cubin"]
    return str(built.asm["ptx"])


def responses(maps: int, side: int, towers: int) -> Tensor:
    """Tensor like a layer's responses: bfloat16, channels last, separate towers."""
    made = torch.empty(128, maps, side, side, dtype=torch.bfloat16, device="meta")
    return made.contiguous(memory_format=torch.channels_last).unflatten(1, (towers, -1))


def augment(images: Tensor, offsets: Tensor, flips: Tensor, noise: Tensor, mean: Tensor, colors: Tensor) -> Tensor:
    return gather_pixels(images, Draws(offsets, flips, noise), mean, colors, 1.1, 224, False, torch.bfloat16)


def cases() -> dict[str, tuple[Callable[..., Tensor], list[Tensor], Mapping[str, Any] | None]]:
    """Name → (function that the package compiles on a GPU, arguments of the paper's sizes, compiler options)."""
    maps = NormSpec(n=5, k=2, alpha=2e-5, beta=0.75, towers=2, spatial=False)
    pixels = NormSpec(n=5, k=1, alpha=4e-5, beta=0.75, towers=1, spatial=True)
    conv1, conv2, whole = responses(96, 55, 2), responses(256, 27, 2), responses(256, 27, 1)
    batch = [
        torch.empty(128, 3, 256, 256, dtype=torch.uint8, device="meta"),
        torch.empty(128, 2, dtype=torch.int64, device="meta"),
        torch.empty(128, dtype=torch.bool, device="meta"),
        torch.empty(128, 3, device="meta"),
        torch.empty(3, 224, 224, device="meta"),
        torch.empty(128, 3, device="meta"),
    ]
    return {
        "norm1": (partial(normalize, spec=maps), [conv1], None),
        "norm2": (partial(normalize, spec=maps), [conv2], None),
        "neighbor terms of norm1": (partial(neighbor_terms, spec=maps), [conv1, conv1], WHOLE),
        "gradient of norm1": (partial(gradient_from_terms, spec=maps), [conv1, conv1, conv1.float()], WHOLE),
        "spatial2": (partial(normalize, spec=pixels), [whole], None),
        "neighbor terms of spatial2": (partial(neighbor_terms, spec=pixels), [whole, whole], None),
        "gradient of spatial2": (partial(gradient_from_terms, spec=pixels), [whole, whole, whole.float()], None),
        "augmentation": (augment, batch, None),
    }


def targets(folder: Path, capability: int) -> dict[str, list[str]]:
    """Name → architecture of each kernel generated and assembled for the case."""
    found = {}
    for name, (function, arguments, options) in cases().items():
        sources = kernels(generate(function, capability, *arguments, options=options)).values()
        ptx = [assemble(source, capability, folder) for source in sources]
        found[name] = [re.findall(r"\.target (\w+)", text)[0] for text in ptx]
    return found


def main() -> None:
    """Print the targets as JSON, or why they cannot be determined. Runs in its own process, since torch and Triton
    cache properties of the simulated GPU."""
    folder, capability = Path(sys.argv[1]), int(sys.argv[2])
    try:
        (source,) = kernels(generate(lambda x: x + 1, 90, torch.empty(8, device="meta"))).values()
        assemble(source, 90, folder)
    except (ImportError, AttributeError) as error:
        print(json.dumps(f"this torch generates kernels in another way: {error}"))
        return
    print(json.dumps(targets(folder, capability)))


if __name__ == "__main__":
    main()
