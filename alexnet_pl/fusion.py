"""Functions as fused kernels, where a plain one makes a pass over memory for each of its operations."""

import functools
from collections.abc import Callable
from typing import Any

import torch

WHOLE: dict[str, Any] = {  # beyond which torch's compiler would write a result to memory for others to read
    "realize_reads_threshold": 64,
    "realize_acc_reads_threshold": 256,
    "realize_opcount_threshold": 100_000,
}


@functools.cache
def compiled(function: Callable[..., Any], whole: bool = False) -> Callable[..., Any]:
    """The same function, compiled anew for each shape and each value of its other arguments.

    `whole`: as one kernel, which computes again what several others need instead of writing it to memory.
    """
    torch._dynamo.config.recompile_limit = 64  # past its default, eight, a function would be left plain
    return torch.compile(function, dynamic=False, options=WHOLE if whole else None)
