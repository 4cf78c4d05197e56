"""Threads that readers of a process share."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache


def shared_threads(count: int, name: str) -> ThreadPoolExecutor:
    """Executor of this process; a forked process has none of its parent's threads, and gets its own."""
    return start_threads(os.getpid(), count, name)


@cache
def start_threads(process: int, count: int, name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, name)
