"""Limit on open files (`ulimit -n`, often 1,024): each memory-mapped shard counts as one, and ILSVRC-2012 has 1,301."""

import math
import os
import resource
import sys
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from alexnet_pl.errors import UserError

SPARE = 64  # files that the rest of the process opens
ENOUGH = 10_240  # a soft limit for several stores, which macOS allows too
FEWER = 8192  # images per shard, for few files: 1,734 for Fall 2011


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
    most = hard_limit()
    promised = shards + sum(reader.unopened for reader in LATE)
    needed = len(os.listdir("/dev/fd")) + promised + SPARE
    if needed > most:
        problem = f"one of {promised:,} shards that are open at once, but this process may open only {most:,} files"
        advice = f"raise the limit with `ulimit -n {needed}`, or prepare it again with prepare.images_per_shard={FEWER}"
        raise UserError(f"{first}: {problem}; {advice}")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(needed, min(most, ENOUGH)), hard))


def hard_limit() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def check_shard_number(counts: Iterable[int], per_shard: int) -> None:
    """Raise UserError if a process with this one's hard limit could not open a store of `counts` images per split."""
    counts = list(counts)

    def needed(images_per_shard: int) -> int:
        shards = sum(math.ceil(count / images_per_shard) for count in counts)
        return len(os.listdir("/dev/fd")) + shards + SPARE

    most, larger = hard_limit(), per_shard
    while needed(larger) > most and larger < max(counts):
        larger *= 2
    if larger > per_shard:
        problem = f"so many files that {needed(per_shard):,} would be open at once, but this process may open {most:,}"
        advice = f"use prepare.images_per_shard={larger}, or raise the limit with `ulimit -n {needed(per_shard)}`"
        raise UserError(f"prepare.images_per_shard={per_shard}: {problem}; {advice}")
