"""Memory that a computation may use: of a GPU, of the machine, of a container."""

import os

import torch

from alexnet_pl.runtime import cores

LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of cgroups of version 2 and 1


def available_memory(device: torch.device) -> int:
    """Bytes of a GPU that are free or cached by PyTorch; on other devices `host_memory`."""
    if device.type != "cuda":
        return host_memory()
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + cached


def host_memory() -> int:
    """Bytes of this machine's memory, or those that its container may use, if they are fewer."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([whole, *container_limits()])


def container_limits() -> list[int]:
    """Limits in bytes of this container's cgroups; version 1 has a huge number if there is none."""
    texts = [path.read_text(encoding="utf-8").strip() for name in LIMITS if (path := cores.CGROUPS / name).is_file()]
    return [int(text) for text in texts if text.isdecimal()]
