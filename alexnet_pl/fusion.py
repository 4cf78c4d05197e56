"""Functions as fused kernels, where a plain one makes a pass over memory for each of its operations."""

import functools
from collections.abc import Callable
from typing import Any

import torch


@functools.cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, compiled anew for each shape and each value of its other arguments."""
    torch._dynamo.config.recompile_limit = 64  # past its default, eight, a function would be left plain
    return torch.compile(function, dynamic=False)
