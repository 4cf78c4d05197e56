"""Device, precision, torch.compile, memory and processes."""

import contextlib
import ctypes
import functools
import math
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from alexnet_pl.errors import UserError

WHOLE: dict[str, Any] = {  # above these limits, torch's compiler writes intermediate results to memory
    "realize_reads_threshold": 64,
    "realize_acc_reads_threshold": 256,
    "realize_opcount_threshold": 100_000,
}


def compiled(function: Callable[..., Any], whole: bool = False) -> Callable[..., Any]:
    """torch.compile of a function, specialized for each shape and each value of its other arguments.

    `whole`: compile to one kernel, which recomputes shared intermediate results instead of writing them to memory.

    Compiles in this process: there are few kernels, and torch's worker processes cost more time than they save. With
    torch 2.11 they may also keep the process from ending for five minutes. Since torch 2.12 such settings hold for one
    thread, and the backward pass has its own, so every call checks them.
    """
    from torch._inductor import config  # takes a second to import

    if torch._dynamo.config.recompile_limit != RECOMPILE_LIMIT:
        torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    if config.compile_threads != 1:
        config.compile_threads = 1
    return compile_once(function, whole)


RECOMPILE_LIMIT = 64  # beyond the default of eight, torch falls back to eager mode


@functools.cache
def compile_once(function: Callable[..., Any], whole: bool) -> Callable[..., Any]:
    return torch.compile(function, dynamic=False, options=WHOLE if whole else None)


SWITCH = "THP_MEM_ALLOC_ENABLE"  # PyTorch's variable, read when the first tensor is created


def ask_for_large_pages() -> None:
    """Ask PyTorch for large memory pages, unless the variable is already set."""
    os.environ.setdefault(SWITCH, "1")


def autocast_to(device: str) -> torch.dtype:
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32


GPUS = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}


def device(cfg: DictConfig) -> torch.device:
    """Device of the recipe's accelerator.

    Of several devices, the first one, or the first that `trainer.devices` lists. Raises UserError if there is none.
    """
    wanted = cfg.trainer.accelerator
    available = [kind for kind, is_available in GPUS.items() if is_available()]
    kinds = {"auto": [*available, "cpu"], "gpu": available, "cpu": ["cpu"], **{kind: [kind] for kind in available}}
    if not kinds.get(wanted):
        raise UserError(
            f"trainer.accelerator={wanted}: not available; one of {', '.join(kind for kind in kinds if kinds[kind])}"
        )
    kind = kinds[wanted][0]
    index = first_listed(cfg.trainer.get("devices")) if kind == "cuda" else None
    return torch.device(kind) if index is None else torch.device(kind, index)


def first_listed(devices: Any) -> int | None:
    """First number of a list of GPUs, as Lightning reads it ([3], "3,4" or "3,"); None for a number of devices.

    Raises UserError if there is no such GPU.
    """
    listed = devices.split(",") if isinstance(devices, str) and "," in devices else devices
    if isinstance(listed, str | int | None) or not len(listed):
        return None
    number, count = str(listed[0]).strip(), torch.cuda.device_count()
    if not number.isdecimal() or int(number) >= count:
        raise UserError(f"trainer.devices={devices}: a list of GPUs from 0 to {count - 1}")
    return int(number)


PRECISIONS = ("auto", "32-true", "tf32", "bf16-mixed")


def precision(wanted: str, device: str) -> str:
    """Lightning's name of a precision. `auto` is bf16-mixed if the hardware computes in bfloat16. `tf32` is 32-true, to
    be used with `set_tf32`."""
    if wanted not in PRECISIONS:
        raise UserError(f"trainer.precision={wanted}: one of {', '.join(PRECISIONS)}")
    if wanted == "tf32":
        return "32-true"
    if wanted != "auto":
        return wanted
    return "bf16-mixed" if computes_bf16(device) else "32-true"


def precision_in_use(lightning_name: str, device: str) -> str:
    """Precision of a trainer on `device` as `trainer.precision` names it: 32-true with TF32 allowed is tf32."""
    tf32 = device == "cuda" and torch.backends.cuda.matmul.allow_tf32
    return "tf32" if lightning_name == "32-true" and tf32 else lightning_name


def set_tf32(cfg: DictConfig) -> None:
    """Allow TF32 only if `trainer.precision=tf32`. To be called before a network is run, in every process."""
    use_tf32(cfg.trainer.precision == "tf32")


def use_tf32(wanted: bool) -> None:
    """Allow or forbid TF32 (products with 11-bit mantissas) on a GPU, which is several times as fast as float32. By
    default, PyTorch allows it for convolutions but not for fully connected layers."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = wanted


def computes_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and torch.cpu._is_avx512_bf16_supported()


def keep_freed_memory() -> None:
    """Keep glibc from returning large blocks to the kernel: a step is 1.3 to 2.3 times as fast without page faults."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


CGROUPS = Path("/sys/fs/cgroup")  # of this container, in Linux


def cores() -> int:
    """Number of CPU cores this process may use: by its affinity (none on macOS) and by its container's limit."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(usable, cgroup_cores())))


def cgroup_cores() -> float:
    """Processor time that cgroups of version 2 or 1 allow, in cores; infinite without a limit."""
    version1 = [CGROUPS / f"cpu/cpu.cfs_{name}_us" for name in ("quota", "period")]
    for paths in ([CGROUPS / "cpu.max"], version1):
        try:
            quota, period = " ".join(path.read_text() for path in paths).split()
            return int(quota) / int(period) if quota not in ("max", "-1") else math.inf
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return math.inf


def uncached_autocast(device: str) -> contextlib.AbstractContextManager:
    """The surrounding autocast without its cache of cast weights, which a captured graph must not reuse."""
    on = torch.is_autocast_enabled(device)
    return torch.autocast(device, torch.get_autocast_dtype(device), enabled=on, cache_enabled=False)
