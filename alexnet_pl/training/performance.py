"""Performance options of a run, which change its numbers by no more than rounding."""

import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils._triton import has_triton

from alexnet_pl.config.schema import instantiate
from alexnet_pl.models.layers import NormLayer
from alexnet_pl.runtime.allocator import keep_freed_memory

IMAGES_PER_PASS = {"cuda": 1280, "cpu": 128}  # in a test; more are no faster. 1280 take about 5 GB in float32
UNCOMPILED_PER_PASS = 320  # on a GPU without compiled norms, whose intermediate results take several times as much


@dataclass(frozen=True)
class Performance:
    """Section `performance`; its keys are described in configs/_base.yaml."""

    optimized: bool = True
    compile: bool | str = "auto"
    cuda_graph: bool = False
    cache_on_gpu: bool = True
    retain_memory: bool = True
    readahead: bool = True
    jpeg_decoder: str = "cpu"
    checkpoint_minutes: float = 5

    def __post_init__(self) -> None:
        if self.compile not in (True, False, "auto"):
            raise ValueError(f"compile={self.compile}: true, false or auto")
        if self.jpeg_decoder not in ("cpu", "gpu"):
            raise ValueError(f"jpeg_decoder={self.jpeg_decoder}: cpu or gpu")
        if self.checkpoint_minutes < 0:
            raise ValueError(f"checkpoint_minutes={self.checkpoint_minutes}: minutes, at least 0")

    @property
    def memory_format(self) -> torch.memory_format:
        """Memory format of the network's weights and of the images that it gets."""
        return torch.channels_last if self.optimized else torch.contiguous_format

    def apply(self, net: nn.Module, device: torch.device) -> None:
        """Set memory format, compiled norms and allocator for a network that runs on `device`."""
        net.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        for layer in net.modules():
            if isinstance(layer, NormLayer):
                layer.compiled = self.uses_compile(device)
        if self.retain_memory and device.type == "cpu":
            keep_freed_memory()

    def uses_compile(self, device: torch.device) -> bool:
        """Whether to use torch.compile on `device`, by default on CPUs and NVIDIA's GPUs only.

        It needs a C++ compiler for the CPU; for a GPU, Triton, which needs compute capability 7.0, and a C compiler for
        launchers; and the Python headers for both, which some systems ship in a separate package.
        """
        if self.compile != "auto":
            return bool(self.compile)
        if device.type not in ("cpu", "cuda"):
            return False
        compilers = ("gcc", "clang") if device.type == "cuda" else ("c++", "g++", "clang++")
        headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
        generator = device.type != "cuda" or has_triton()
        return self.optimized and headers and generator and any(map(is_compiler, compilers))

    def rounds_images(self, device: torch.device) -> bool:
        """Whether the augmentation on `device` gives autocast's precision, rather than float32."""
        return self.optimized if device.type == "cpu" else device.type == "cuda" and self.uses_compile(device)

    def uses_cuda_graph(self, device: torch.device, single_device: bool) -> bool:
        """Whether to replay steps as a CUDA graph. `single_device`: whether the strategy is Lightning's for one device;
        other strategies keep tensors that a capture must allocate itself."""
        return self.cuda_graph and device.type == "cuda" and single_device

    def views_per_pass(self, images: Tensor) -> int:
        """Number of test views per forward pass, for a batch of `images`."""
        most = IMAGES_PER_PASS.get(images.device.type, 1)
        if images.device.type == "cuda" and not self.uses_compile(images.device):
            most = UNCOMPILED_PER_PASS
        return max(1, most // len(images)) if self.optimized else 1


def is_compiler(name: str) -> bool:
    """Whether a compiler is installed. On macOS, the name may belong to a program that offers to install one."""
    if not shutil.which(name):
        return False
    return sys.platform != "darwin" or subprocess.run([name, "--version"], capture_output=True).returncode == 0


UNOPTIMIZED = Performance(optimized=False, compile=False, cache_on_gpu=False, retain_memory=False, readahead=False)


def make_performance(cfg: DictConfig) -> Performance:
    return instantiate(Performance, cfg.performance, "performance")
