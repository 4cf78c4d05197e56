"""What a store is made with."""

import os
from typing import Any, NamedTuple

from alexnet_pl.data.encoding import Encoding

SHARD = 1024  # images a file: as many as the program's own batch files held


class Settings(NamedTuple):
    """What a store is made with. `how`: the making of the squares, in words, kept in store.json.

    `shard`: images a file; `workers`: threads, one more than cores where not given.
    """

    name: str
    size: int
    how: dict[str, Any]
    encoding: Encoding = Encoding()
    shard: int = SHARD
    workers: int | None = None

    @property
    def threads(self) -> int:
        """One more than there are cores, as one of them waits for the disk."""
        return self.workers or len(os.sched_getaffinity(0)) + 1
