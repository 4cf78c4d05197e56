"""FitRecord: callback that writes fit.json into the run folder."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only

from alexnet_pl.config.identity import Settings
from alexnet_pl.json_records import parse_record
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.earlier_records import EarlierRecords
from alexnet_pl.runs.layout import link_latest
from alexnet_pl.runs.records import DatasetInfo
from alexnet_pl.runs.started_config import adopt_started_config
from alexnet_pl.training.energy import EnergyMeter
from alexnet_pl.training.schedules import count_completed_epochs, find_end_of_fit


class FitRecord(L.Callback):
    """Writes fit.json at the first step, and links the run as `latest` of its recipe. If a session fails before its
    first checkpoint, the records of the run that it continues stay as they were.

    `describe_store` is called at the first step, since the store may be prepared by the fit itself. Settings, training
    time and energy are also saved in checkpoints, so that they survive a killed session and are copied with the
    checkpoint to another folder.
    """

    def __init__(self, run: Path, training: Settings, describe_store: Callable[[], DatasetInfo]) -> None:
        self.run, self.training, self.describe_store = run, training, describe_store
        self.changed_settings: list[str] = []
        self.earlier_seconds, self.start_time = 0.0, time.perf_counter()
        self.earlier_joules: dict[str, float] | None = None  # of earlier sessions
        self.meter: EnergyMeter | None = None
        self.earlier: EarlierRecords | None = None  # of the run that a session continues
        self.processes, self.started = 1, False

    @property
    def seconds(self) -> float:
        """Training time over all sessions; a killed session counts up to its last checkpoint."""
        return self.earlier_seconds + time.perf_counter() - self.start_time

    @property
    def joules(self) -> dict[str, float]:
        """Energy over all sessions by counter, `GPU`: the one in use. Empty if a session lacked the counter, and with
        several processes, because each sees only its own GPU."""
        if self.processes > 1 or self.meter is None:
            return {}
        used, earlier = self.meter.joules(), self.earlier_joules
        return used if earlier is None else {name: earlier[name] + used[name] for name in used if name in earlier}

    @property
    def state_key(self) -> str:
        """Fixed key of the state in checkpoints, so that the class can be renamed."""
        return "FitRecord"

    def state_dict(self) -> dict[str, object]:
        return {
            "training": self.training,
            "changed_settings": self.changed_settings,
            "seconds": self.seconds,
            "joules": self.joules,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state. Raises ValueError, naming the field, if one is missing or has another type."""
        parse_record(state_dict, fit_status.FitState)
        differing = fit_status.changed_settings(state_dict["training"], self.training)
        self.changed_settings = sorted({*state_dict["changed_settings"], *differing})
        if differing:
            rank_zero_only(print)(f"resumed with other settings than before: {', '.join(differing)}", flush=True)
        self.earlier_seconds = state_dict["seconds"]
        self.earlier_joules = dict(state_dict.get("joules", {}))  # older checkpoints have none

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock and the meter: preparing the store before this is not training."""
        self.start_time, self.meter = time.perf_counter(), EnergyMeter()
        self.started, self.processes = False, trainer.world_size

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Write the start of the fit here: after `on_fit_start`, Lightning may still refuse the checkpoint or the
        intervals of validations."""
        if not self.started:
            self.write_start(trainer)
        self.started = True

    @rank_zero_only
    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Write the earlier records back if the session has saved no checkpoint."""
        if self.earlier:
            self.earlier.write_back()

    @rank_zero_only
    def write_start(self, trainer: L.Trainer) -> None:
        self.earlier = EarlierRecords(self.run) if trainer.ckpt_path else None
        adopt_started_config(self.run)
        resumed, store = trainer.ckpt_path is not None, self.describe_store()
        status = fit_status.start_fit(self.run, self.training, store, self.changed_settings, resumed=resumed)
        self.changed_settings = status.changed_settings
        link_latest(self.run)

    @rank_zero_only
    def finish(self, trainer: L.Trainer, images: int) -> None:
        """Write the reason why the fit ended to fit.json, unless it was finished and had nothing to train. `images`:
        images seen over all epochs."""
        if not self.started:
            before = fit_status.read_fit_status(self.run) if trainer.ckpt_path else None
            if before and before.finished and before.steps == trainer.global_step:
                return
            self.write_start(trainer)
        counts = (trainer.global_step, count_completed_epochs(trainer), images)
        fit_status.mark_finished(self.run, *counts, self.seconds, find_end_of_fit(trainer), self.joules)
