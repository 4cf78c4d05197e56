"""Options that make a run faster and change its numbers by no more than rounding."""

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from alexnet_pl.models.layers import NormLayer
from alexnet_pl.runtime import keep_freed_memory

TOGETHER = {"cuda": 1280, "cpu": 128}  # images that are no slower each than fewer; 1280 views are 0.8 GB in float32


@dataclass(frozen=True)
class Performance:
    """Options that change the speed of a run and nothing else beyond rounding.

    optimized: channels-last layout and the update in one pass over memory.
    compile: the norms, and on a GPU the augmentation, as fused kernels; `auto` where a compiler is found.
    cuda_graph: on one GPU, replay each step as a CUDA graph.
    cache_on_gpu: hold a split that fits in the GPU's memory.
    retain_memory: keep freed CPU memory for the next batch.
    readahead: ask the disk early for what later batches will read.
    jpeg_decoder: decode JPEGs on the `cpu` or the `gpu`.
    """

    optimized: bool = True
    compile: bool | str = "auto"
    cuda_graph: bool = False
    cache_on_gpu: bool = True
    retain_memory: bool = True
    readahead: bool = True
    jpeg_decoder: str = "cpu"

    def __post_init__(self) -> None:
        if self.compile not in (True, False, "auto"):
            raise ValueError(f"compile={self.compile}: true, false or auto")
        if self.jpeg_decoder not in ("cpu", "gpu"):
            raise ValueError(f"jpeg_decoder={self.jpeg_decoder}: cpu or gpu")

    def apply(self, net: nn.Module, device: torch.device) -> None:
        """Set up a network that runs on `device`."""
        net.to(memory_format=torch.channels_last if self.optimized else torch.contiguous_format)
        for layer in net.modules():
            if isinstance(layer, NormLayer):
                layer.compiled = self.uses_compile(device)
        if self.retain_memory and device.type == "cpu":
            keep_freed_memory()

    def uses_compile(self, device: torch.device) -> bool:
        """torch.compile needs a C++ compiler for the CPU, a C compiler for its GPU launchers, and for both Python's
        headers, which some systems have in a package of their own."""
        if self.compile != "auto":
            return bool(self.compile)
        compilers = ("gcc", "clang") if device.type == "cuda" else ("c++", "g++", "clang++")
        headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
        return self.optimized and headers and any(map(shutil.which, compilers))

    def uses_cuda_graph(self, device: torch.device, alone: bool) -> bool:
        """`alone`: no other process, and no strategy for several either, which keeps what a capture must make anew."""
        return self.cuda_graph and device.type == "cuda" and alone

    def views_together(self, images: Tensor) -> int:
        """How many of the views to test with go through the network at once, of all these images each."""
        return max(1, TOGETHER.get(images.device.type, 1) // len(images)) if self.optimized else 1

    def to_memory_format(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.optimized else images


UNOPTIMIZED = Performance(optimized=False, compile=False, cache_on_gpu=False, retain_memory=False, readahead=False)
