"""What a store is made with."""

import os
from typing import Any, NamedTuple

from alexnet_pl.data.encoding import Encoding

SHARD = 1024  # images a file: as many as the program's own batch files held
FEW = 2048


class Settings(NamedTuple):
    """What a store is made with. `how`: the making of the squares, in words, kept in store.json.

    `shard`: images a file; `workers`: processes; None: as many as suit the machine.
    """

    name: str
    size: int
    how: dict[str, Any]
    encoding: Encoding = Encoding()
    shard: int = SHARD
    workers: int | None = None

    def crew(self, images: int) -> int:
        """Workers for so many images: one more than there are cores, as one of them waits for the disk; few images are
        made by one while others would still be starting."""
        return self.workers or min(len(os.sched_getaffinity(0)) + 1, 1 + images // FEW)
