"""Hooks on the forward passes of layers, removed when a block ends."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from torch import nn

Hook = Callable[[Any, Any, Any], Any]
"""Function of (module, inputs, output), as for `register_forward_hook`; a value that it returns replaces the output."""


@contextmanager
def forward_hooks(pairs: Iterable[tuple[nn.Module, Hook]]) -> Iterator[None]:
    """Call the hook of each (module, hook) after the module's forward passes in this thread, until the block ends."""
    handles = [module.register_forward_hook(in_this_thread(hook)) for module, hook in pairs]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def in_this_thread(hook: Hook) -> Hook:
    """The hook for forward passes of this thread alone: threads of a server share a network, each with its images."""
    thread = get_ident()
    return lambda module, inputs, output: hook(module, inputs, output) if get_ident() == thread else None
