"""fit.json: whether a fit is finished and with which settings, so that a half-trained network is never a result (§7).

A fit writes `"finished": false` when it starts or is resumed, and `true`, with the step of `last.ckpt`, once the
trainer has reached the end that the schedule, `max_epochs` or `max_steps` sets; `ended_by` says which. A run that was
stopped, killed or ended by `max_time` is not finished, and only one that the schedule ended answers a row of the paper.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from alexnet_pl.config.migration import SCHEMA, migrate_record
from alexnet_pl.errors import UserError
from alexnet_pl.files import Count, NonNegative, read_record, write_json
from alexnet_pl.runs.layout import FIT, LAST


@dataclass
class FitStatus:
    """fit.json. `training`: settings that decide the network; `store`: images trained on; `changed`: whether a setting
    other than max_epochs changed when the fit was resumed, `changed_settings` which; `seconds`: of training, over all
    sessions; `images`: seen in training, repetitions counted."""

    finished: bool
    training: dict[str, Any]
    store: dict[str, Any]
    changed: bool = False
    changed_settings: list[str] = field(default_factory=list)  # absent in older files
    seconds: NonNegative = 0.0
    ended_by: str | None = None  # schedule, max_epochs, max_steps or max_time; absent in older files
    schema: Annotated[int, (1, SCHEMA)] = 1  # absent in files written before there was a number
    steps: Count | None = None
    epochs: Count | None = None
    images: Count | None = None


def read_fit_status(run: Path) -> dict[str, Any]:
    """Content of fit.json; {} if there is none."""
    path = run / FIT
    if not path.is_file():
        return {}
    return migrate_record(read_record(path, FitStatus, "remove it and fit again with ckpt_path=last"))


def start_fit(run: Path, training: dict[str, Any], store: dict[str, Any], changed: list[str] | None = None) -> None:
    """`training`: what decides the network besides images and seed; `store`: the images it is trained on; `changed`:
    settings that the checkpoint in use was trained with other values of, beside what fit.json says."""
    before = read_fit_status(run)
    known = {*before.get("changed_settings", []), *(changed or [])}
    keys = sorted({*known, *(changed_settings(before["training"], training) if before else ())})
    facts = {
        "schema": SCHEMA,
        "finished": False,
        "training": training,
        "store": store,
        "changed": bool(keys) or before.get("changed", False),
        "changed_settings": keys,
        "seconds": before.get("seconds", 0.0),
    }
    write_fit_status(run, facts)


def mark_finished(run: Path, steps: int, epochs: int, images: int, seconds: float, ended_by: str) -> None:
    """`images`: seen in training, repetitions counted; `seconds`: of all sessions, validation included."""
    facts = {**read_fit_status(run), "finished": ended_by != "max_time", "ended_by": ended_by}
    counts = {"steps": steps, "epochs": epochs, "images": images, "seconds": round(seconds, 1)}
    write_fit_status(run, {**facts, **counts})


def write_fit_status(run: Path, facts: dict[str, Any]) -> None:
    write_json(run / FIT, facts)


def finished_fit(checkpoint: Path, step: int) -> dict[str, Any]:
    """fit.json of the finished run whose last checkpoint this is; {} otherwise."""
    if checkpoint.parts[-2:] != Path(LAST).parts:
        return {}
    facts = read_fit_status(checkpoint.parent.parent)
    return facts if facts.get("finished") and facts.get("steps") == step else {}


def differences(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> list[str]:
    """The dotted keys in which two settings differ."""
    found: list[str] = []
    for key in sorted({*one, *other}):
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(prefix + key)
    return found


def changed_settings(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The settings that differ, but for `trainer.max_epochs`: more of the same training is no other training."""
    return [key for key in differences(before, now) if key != "trainer.max_epochs"]


def resume_point(run: Path, training: dict[str, Any]) -> tuple[bool, Path | None]:
    """`ckpt_path=auto`: (whether the fit is finished, the checkpoint to resume from).

    Raises UserError where the folder holds a run with other settings.
    """
    facts, last = read_fit_status(run), run / LAST
    if facts and (keys := changed_settings(facts["training"], training)):
        raise UserError(
            f"{', '.join(keys)}: the run in {run} was started with another value; choose another hydra.run.dir"
        )
    finished = facts.get("finished", False) and facts["training"] == training and last.is_file()
    return finished, last if last.is_file() else None
