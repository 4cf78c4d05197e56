"""Provenance: callback that appends the present session to provenance.json of the run folder."""

from dataclasses import replace
from pathlib import Path

import lightning as L

from alexnet_pl.data.loading.datamodule import image_share
from alexnet_pl.json_records import JsonObject, to_json
from alexnet_pl.runs.layout import PROVENANCE
from alexnet_pl.runs.provenance import append_session, describe_session, read_changes
from alexnet_pl.runs.records import StoreIdentity
from alexnet_pl.runtime.precision import precision_in_use
from alexnet_pl.training.media import log_summary, upload_file


def describe_processes(trainer: L.Trainer) -> dict[str, int | str]:
    """Describe the processes of a fit. `per_process`: images that each process reads per step."""
    kind = getattr(trainer.strategy, "kind", "single")
    size: int = trainer.datamodule.batch_size  # type: ignore[attr-defined]
    return {
        "world_size": trainer.world_size,
        "nodes": trainer.num_nodes,
        "strategy": kind,
        "batch_size": size,
        "per_process": size // image_share(trainer)[1],
    }


def print_shares(processes: JsonObject) -> None:
    print(
        f"{processes['world_size']} processes ({processes['strategy']}): a step has {processes['batch_size']} images "
        f"(data.batch_size), {processes['per_process']} on each",
        flush=True,
    )


class Provenance(L.Callback):
    """Appends the current session to provenance.json: command, store, machine, commit, uncommitted changes."""

    def __init__(self, run: Path, command: str) -> None:
        self.run, self.command = run, command

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if not trainer.is_global_zero:
            return
        store = trainer.datamodule.store  # type: ignore[attr-defined]
        identity = StoreIdentity(name=store.name, fingerprint=store.fingerprint)
        session = replace(
            describe_session(self.command, identity),
            precision=precision_in_use(str(trainer.precision), trainer.strategy.root_device.type),
            processes=describe_processes(trainer),
        )
        if self.command == "fit" and trainer.world_size > 1:
            print_shares(session.processes)
        append_session(self.run, session)
        if self.command == "fit":
            log_summary(trainer.loggers, "provenance", {"provenance": to_json(session)})
            upload_file(trainer.loggers, self.run / PROVENANCE)
        if session.changed_files and self.command == "fit":
            changes = self.run / "changes.diff"
            changes.write_text(read_changes(), encoding="utf-8")
            upload_file(trainer.loggers, changes)
