"""Limit on open files (`ulimit -n`, often 1,024): each memory-mapped shard counts as one, and ILSVRC-2012 has 1,301."""

import os
import resource
import sys
import weakref
from pathlib import Path
from typing import Protocol

from alexnet_pl.errors import UserError

SPARE = 64  # files that the rest of the process opens
ENOUGH = 10_240  # a soft limit for several stores, which macOS allows too


class LateOpener(Protocol):
    """Reader that opens its shards as they are read."""

    @property
    def unopened(self) -> int: ...


LATE: "weakref.WeakSet[LateOpener]" = weakref.WeakSet()
"""Readers of this process, while they are used; one in a forked process counts there too."""


def allow_late_opening(reader: LateOpener, first: Path) -> None:
    """Like `allow_open_files`, for a reader whose shards are opened later: it counts for those opened after it."""
    allow_open_files(first, reader.unopened)
    LATE.add(reader)


def allow_open_files(first: Path, shards: int) -> None:
    """Raise the soft limit of this process so that `shards` more files can be open, and those that `LATE` will open.

    Raises UserError, naming the shard `first`, if the hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    promised = shards + sum(reader.unopened for reader in LATE)
    needed = len(os.listdir("/dev/fd")) + promised + SPARE
    if needed > most:
        problem = f"one of {promised:,} shards that are open at once, but this process may open only {most:,} files"
        raise UserError(f"{first}: {problem}; raise the limit with `ulimit -n {needed}`")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(needed, min(most, ENOUGH)), hard))
