"""fit.json: whether a fit is finished and its settings, so that a half-trained network is never a result (§7).

A fit writes `"finished": false` at its first step, also when it is resumed. It writes `true`, with the step of
`last.ckpt`, once the trainer reaches the end set by the schedule, `max_epochs` or `max_steps`; `ended_by` says which. A
run that was stopped, killed or ended otherwise is not finished, and only one that the schedule ended matches a row of
the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.migration import SCHEMA, migrate_record, present_settings
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import Count, NonNegative, parse_record, read_record, to_json, write_json
from alexnet_pl.runs.layout import FIT, LAST, run_of_checkpoint
from alexnet_pl.runs.records import DatasetInfo, Schema


@dataclass(frozen=True, kw_only=True)
class FitStatus:
    """Content of fit.json. `training`: settings that decide the network; `store`: images trained on; `changed`: whether
    a setting other than max_epochs changed when the fit was resumed; `changed_settings`: which ones; `seconds`:
    training time over all sessions; `joules`: energy by counter, empty if not measured; `images`: images seen in
    training, including repetitions."""

    schema: Schema = 1  # missing in the oldest files
    finished: bool
    training: Settings
    store: DatasetInfo
    changed: bool = False
    changed_settings: list[str] = field(default_factory=list)  # missing in older files
    seconds: NonNegative = 0.0
    joules: dict[str, NonNegative] = field(default_factory=dict)
    ended_by: str | None = None  # schedule, max_epochs, max_steps or other; missing in older files
    steps: Count | None = None
    epochs: Count | None = None
    images: Count | None = None


@dataclass(frozen=True, kw_only=True)
class FitState:
    """State of the callback `FitRecord` in a checkpoint, which outlives fit.json."""

    training: Settings
    changed_settings: list[str]
    seconds: NonNegative
    joules: dict[str, NonNegative] = field(default_factory=dict)  # missing in older checkpoints


def read_fit_status(run: Path) -> FitStatus | None:
    """Read fit.json; None if it does not exist. Raises UserError if it is corrupt."""
    path = run / FIT
    if not path.is_file():
        return None
    return read_record(path, FitStatus, "remove it and fit again with ckpt_path=last", migrate_record)


def start_fit(
    run: Path, training: Settings, store: DatasetInfo, changed: list[str] | None = None, *, resumed: bool = False
) -> FitStatus:
    """Write fit.json at the first step of a fit or a resumed one, and return its content.

    `training`: settings that decide the network, besides images and seed; `store`: images trained on; `changed`: keys
    whose values differed when the checkpoint in use was trained, in addition to those named in fit.json; `resumed`:
    whether a checkpoint is in use, without which an earlier fit.json describes another network.
    """
    before = read_fit_status(run) if resumed else None
    differing = changed_settings(before.training, training) if before else []
    earlier = before.changed_settings if before else []
    keys: list[str] = sorted({*earlier, *(changed or []), *differing})
    status = FitStatus(
        schema=SCHEMA,
        finished=False,
        training=training,
        store=store,
        changed=bool(keys) or (before is not None and before.changed),
        changed_settings=keys,
        seconds=before.seconds if before else 0.0,
    )
    write_json(run / FIT, to_json(status))
    return status


def mark_finished(
    run: Path,
    steps: int,
    epochs: int,
    images: int,
    seconds: float,
    ended_by: str,
    joules: Mapping[str, float] | None = None,
) -> None:
    """Record in fit.json how the fit ended. `images`: seen in training, with repetitions; `seconds`, `joules`: over all
    sessions, including validation. A fit that ended for another reason than its limits is not marked as finished."""
    status = read_fit_status(run)
    assert status, "start_fit comes first"
    counts = {"steps": steps, "epochs": epochs, "images": images, "seconds": round(seconds, 1)}
    energy = {name: round(used, 1) for name, used in (joules or {}).items()}
    ended = replace(status, finished=ended_by != "other", ended_by=ended_by, joules=energy, **counts)  # type: ignore[arg-type]
    write_json(run / FIT, to_json(ended))


def finished_fit(path: Path, checkpoint: Mapping[str, Any]) -> FitStatus | None:
    """Content of fit.json if the checkpoint at `path` is the last one of a finished run, else None.

    `checkpoint`: content of the file. If it contains settings, as newer ones do, they must equal those in fit.json;
    settings that it lists as changed count as changed. Raises UserError if they are corrupt.
    """
    run = run_of_checkpoint(path)
    status = read_fit_status(run) if run and path == run / LAST else None
    if status is None or not status.finished or status.steps != checkpoint["global_step"]:
        return None
    saved = checkpoint.get("callbacks", {}).get("FitRecord")
    if saved is None:
        return status
    try:
        state = parse_record(saved, FitState)
        same = not changed_settings(state.training, status.training)
    except ValueError as error:
        raise UserError(f"{path}: the settings of its fit are corrupt ({error}); use another checkpoint") from error
    return replace(status, changed=bool(state.changed_settings) or status.changed) if same else None


def differences(before: Settings, now: Settings, prefix: str = "") -> list[str]:
    """Dotted keys whose values differ between two settings."""
    differing: list[str] = []
    for key in sorted({*before, *now}):
        a, b = before.get(key), now.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            differing += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            differing.append(prefix + key)
    return differing


def changed_settings(before: Settings, now: Settings) -> list[str]:
    """Dotted keys that differ, except limits of a classifier's training, since training longer does not change the
    settings; the rates of codes and boxes decay over all epochs. `before` may be of an older version."""
    ignored = () if {"codes", "boxes"} & {*now} else ("trainer.max_epochs", "trainer.max_steps")
    return [key for key in differences(present_settings(before), now) if key not in ignored]


def resume_point(run: Path, training: Settings, fingerprint: str = "") -> tuple[bool, Path | None]:
    """State of a run for `ckpt_path=auto`: (whether the fit is finished, the checkpoint to resume from).

    Raises UserError if the folder holds a run with other settings, or on other images than those of the store with this
    `fingerprint`; "": not known.
    """
    status, last = read_fit_status(run), run / LAST
    if status and (keys := changed_settings(status.training, training)):
        raise UserError(
            f"{', '.join(keys)}: the run in {run} was started with other values; choose another hydra.run.dir"
        )
    started = status.store.fingerprint if status else ""
    if started and fingerprint not in ("", started):
        raise UserError(
            f"data.root: the run in {run} was started with other images ({started[:12]}) than this store's "
            f"({fingerprint[:12]}); give that store or choose another hydra.run.dir"
        )
    finished = status is not None and status.finished and status.training == training and last.is_file()
    return finished, last if last.is_file() else None
