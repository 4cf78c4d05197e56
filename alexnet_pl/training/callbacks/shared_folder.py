"""Callback that warns of a run folder that not all machines share."""

import time
from pathlib import Path

import lightning as L

from alexnet_pl.console import print_warning
from alexnet_pl.locks import lock_path
from alexnet_pl.training.callbacks.saved_state import gather
from alexnet_pl.training.strategies.peers import PeerWatch

PATIENCE = 90.0  # seconds; NFS may remember for a minute that a folder did not exist
INTERVAL = 1.0  # seconds between looks


class SharedFolder(L.Callback):
    """Warns at the start of a fit on several machines if one does not see the first one's run folder. The processes
    there could not read the checkpoint to continue from or to test, which would be found out after days of training.

    A warning, since the fit itself succeeds, and one process can test its checkpoint.
    """

    def __init__(self, run: Path) -> None:
        self.run = run

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if trainer.num_nodes == 1:
            return
        first = Path(gather(str(self.run))[0])  # under torchrun, each process names the folder by its own clock
        watch = PeerWatch.current  # its group waits, also if distributed.timeout is short
        seen = gather(trainer.is_global_zero or self.sees(first), watch.group if watch else None)
        if trainer.is_global_zero and not all(seen):
            print_warning(
                f"hydra.run.dir: rank {seen.index(False)} does not see {first}, so this fit can be neither continued "
                "nor tested by all processes; start it in a folder that all machines share"
            )

    def sees(self, first: Path) -> bool:
        """Whether the lock that the first process holds is visible here."""
        paths = [lock_path(run, "fit") for run in (first, self.run)]  # the same folder may have another path here
        until = time.monotonic() + PATIENCE
        while not (seen := any(path.exists() for path in paths)) and time.monotonic() < until:
            time.sleep(INTERVAL)
        return seen
