"""Limit on open files (`ulimit -n`, often 1,024): each memory-mapped shard counts as one, and ILSVRC-2012 has 1,301."""

import os
import resource
import sys
from pathlib import Path

from alexnet_pl.errors import UserError

SPARE = 64  # files that the rest of the process opens
ENOUGH = 10_240  # a soft limit for several stores, which macOS allows too


def allow_open_files(first: Path, shards: int) -> None:
    """Raise the soft limit of this process so that `shards` more files can be open.

    Raises UserError, naming the shard `first`, if the hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = sys.maxsize if hard == resource.RLIM_INFINITY else hard
    needed = len(os.listdir("/dev/fd")) + shards + SPARE
    if needed > most:
        problem = f"one of {shards:,} shards that are open at once, but this process may open only {most:,} files"
        raise UserError(f"{first}: {problem}; raise the limit with `ulimit -n {needed}`")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(needed, min(most, ENOUGH)), hard))
