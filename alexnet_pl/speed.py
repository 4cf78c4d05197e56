"""What makes a run faster without changing what it computes beyond rounding, and the switch for each."""

import contextlib
import ctypes
import platform
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from alexnet_pl.errors import UserError
from alexnet_pl.layers import NormLayer

TOGETHER = {"cuda": 1280, "cpu": 128}  # images that are no slower each than fewer; 1280 views are 0.8 GB in float32
PRECISIONS = ("auto", "32-true", "tf32", "bf16-mixed")


@dataclass(frozen=True)
class Speed:
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
                layer.fast = self.compiles(device)
        if self.retain_memory and device.type == "cpu":
            keep_freed_memory()

    def compiles(self, device: torch.device) -> bool:
        """torch.compile needs a C++ compiler for the CPU, a C compiler for its GPU launchers, and for both Python's
        headers, which some systems have in a package of their own."""
        if self.compile != "auto":
            return bool(self.compile)
        compilers = ("gcc", "clang") if device.type == "cuda" else ("c++", "g++", "clang++")
        headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
        return self.optimized and headers and any(map(shutil.which, compilers))

    def graphs(self, device: torch.device, alone: bool) -> bool:
        """`alone`: no other process, and no strategy for several either, which keeps what a capture must make anew."""
        return self.cuda_graph and device.type == "cuda" and alone

    def views_together(self, images: Tensor) -> int:
        """How many of the views to test with go through the network at once, of all these images each."""
        return max(1, TOGETHER.get(images.device.type, 1) // len(images)) if self.optimized else 1

    def lay_out(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.optimized else images


PLAIN = Speed(optimized=False, compile=False, cache_on_gpu=False, retain_memory=False, readahead=False)


def precision(wanted: str, device: str) -> str:
    """Lightning's name of the precision; `auto` is bf16-mixed on hardware that computes in bfloat16. `tf32` is 32-true
    where `use_tf32` has been told."""
    if wanted not in PRECISIONS:
        raise UserError(f"trainer.precision={wanted}: one of {', '.join(PRECISIONS)}")
    if wanted == "tf32":
        return "32-true"
    if wanted != "auto":
        return wanted
    return "bf16-mixed" if computes_bf16(device) else "32-true"


def use_tf32(wanted: bool) -> None:
    """Products of float32 from eleven bits of each number on a GPU, several times as fast. PyTorch alone would have it
    so for convolutions and not for the fully connected layers."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = wanted


def computes_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and torch.cpu._is_avx512_bf16_supported()


def keep_freed_memory() -> None:
    """Tell glibc not to give large blocks back to the kernel: a step is 1.3 to 2.3 times as fast without the faults."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def uncached_autocast(device: str) -> contextlib.AbstractContextManager:
    """The surrounding autocast without its cache of cast weights, which a captured graph must not take as given."""
    on = torch.is_autocast_enabled(device)
    return torch.autocast(device, torch.get_autocast_dtype(device), enabled=on, cache_enabled=False)
