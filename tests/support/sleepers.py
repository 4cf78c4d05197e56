"""Candidates for tests of `bench`, in a module that a new process imports quickly."""

import time
from collections.abc import Callable


def slow_and_quick(name: str) -> Callable[[], None]:
    return lambda: time.sleep(0.05 if name == "slow" else 0.0)


def failing(name: str) -> Callable[[], None]:
    raise SystemExit(3)


def second_raises(name: str, *args: object) -> Callable[[], None]:
    if name == "second":
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")
    return lambda: None
