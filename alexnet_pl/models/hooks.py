"""Hooks on the forward passes of layers, removed when a block ends."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

Hook = Callable[[Any, Any, Any], Any]
"""Function of (module, inputs, output), as for `register_forward_hook`; a value that it returns replaces the output."""


@contextmanager
def forward_hooks(pairs: Iterable[tuple[nn.Module, Hook]]) -> Iterator[None]:
    """Call the hook of each (module, hook) after the module's forward passes, until the block ends."""
    handles = [module.register_forward_hook(hook) for module, hook in pairs]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
