"""Callbacks that write fit.json and provenance.json."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only

from alexnet_pl.evaluation import predictions
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.layout import PROVENANCE, link_latest
from alexnet_pl.runs.provenance import append_session, describe_session, git
from alexnet_pl.training.media import log_summary


class FitStarted(L.Callback):
    """Write fit.json when training starts, and point `latest` of the recipe at the run."""

    def __init__(self, run: Path, training: dict[str, Any]) -> None:
        self.run, self.training = run, training

    @rank_zero_only
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        fit_status.start_fit(self.run, self.training, predictions.dataset_info(trainer.datamodule.store, "train"))  # type: ignore[attr-defined]
        link_latest(self.run)


class Provenance(L.Callback):
    """Appends a session to the run folder's `provenance.json`; a fit also keeps what its commit does not hold."""

    def __init__(self, run: Path, command: str) -> None:
        self.run, self.command = run, command

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if not trainer.is_global_zero:
            return
        store = trainer.datamodule.store  # type: ignore[attr-defined]
        facts = describe_session(self.command, {"name": store.name, "fingerprint": store.fingerprint})
        append_session(self.run, facts)
        if self.command == "fit":
            log_summary(trainer.loggers, {"provenance": facts}, [self.run / PROVENANCE])
        if facts["changed_files"] and self.command == "fit":
            changes = self.run / "changes.diff"
            changes.write_text((git("diff", "--no-ext-diff", "--no-textconv", "HEAD") or "") + "\n")
            log_summary(trainer.loggers, {}, [changes])
