"""torch.compile, with settings for the few kernels of this package."""

import functools
from collections.abc import Callable
from typing import Any

import torch

WHOLE: dict[str, Any] = {  # above these limits, torch's compiler writes intermediate results to memory
    "realize_reads_threshold": 64,
    "realize_acc_reads_threshold": 256,
    "realize_opcount_threshold": 100_000,
}
RECOMPILE_LIMIT = 64  # beyond the default of eight, torch falls back to eager mode


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


@functools.cache
def compile_once(function: Callable[..., Any], whole: bool) -> Callable[..., Any]:
    return torch.compile(function, dynamic=False, options=WHOLE if whole else None)
