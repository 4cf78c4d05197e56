"""fit.json: whether a fit is finished and with which settings, so that a half-trained network is never a result (§7).

A fit writes `"finished": false` when it starts or goes on, and `true`, with the step of `last.ckpt`, once the trainer
has come to the end that the schedule or `max_epochs` sets. A run that was stopped or killed never gets there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from alexnet_pl.config.migration import SCHEMA, migrate_record
from alexnet_pl.errors import UserError
from alexnet_pl.files import Count, NonNegative, read_record, write_json
from alexnet_pl.runs.layout import FIT, LAST


@dataclass
class FitStatus:
    """fit.json. `training`: settings that decide the network; `store`: images trained on; `changed`: whether another
    setting than max_epochs changed when the fit was resumed; `images`: seen in training, repetitions counted."""

    finished: bool
    training: dict[str, Any]
    store: dict[str, Any]
    changed: bool = False
    seconds: NonNegative = 0.0
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


def start_fit(run: Path, training: dict[str, Any], store: dict[str, Any]) -> None:
    """`training`: what decides the network besides images and seed; `store`: the images it is trained on."""
    before = read_fit_status(run)
    other = bool(before) and first_difference(before["training"], training) not in ("", "trainer.max_epochs")
    facts = {
        "schema": SCHEMA,
        "finished": False,
        "training": training,
        "store": store,
        "changed": other or before.get("changed", False),
        "seconds": before.get("seconds", 0.0),
    }
    write_fit_status(run, facts)


def mark_finished(run: Path, steps: int, epochs: int, images: int, seconds: float) -> None:
    """`images`: seen in training, repetitions counted; `seconds`: of this session, validation included."""
    facts = read_fit_status(run)
    spent = round(facts["seconds"] + seconds, 1)
    write_fit_status(
        run, {**facts, "finished": True, "steps": steps, "epochs": epochs, "images": images, "seconds": spent}
    )


def write_fit_status(run: Path, facts: dict[str, Any]) -> None:
    write_json(run / FIT, facts)


def finished_fit(checkpoint: Path, step: int) -> dict[str, Any]:
    """fit.json of the finished run whose last checkpoint this is; {} otherwise."""
    if checkpoint.parts[-2:] != Path(LAST).parts:
        return {}
    facts = read_fit_status(checkpoint.parent.parent)
    return facts if facts.get("finished") and facts.get("steps") == step else {}


def first_difference(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> str:
    """The first key, dotted, in which two settings differ, or ""."""
    for key in sorted({*one, *other}):
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            if found := first_difference(a, b, f"{prefix}{key}."):
                return found
        elif a != b:
            return prefix + key
    return ""


def resume_point(run: Path, training: dict[str, Any]) -> tuple[bool, Path | None]:
    """`ckpt_path=auto`: (whether the fit is at its end, the checkpoint to go on from).

    Raises UserError where the folder holds a run by other settings.
    """
    facts, last = read_fit_status(run), run / LAST
    if facts and (key := first_difference(facts["training"], training)) and key != "trainer.max_epochs":
        raise UserError(f"{key}: the run in {run} was begun with another value; give another hydra.run.dir")
    finished = facts.get("finished", False) and facts["training"] == training and last.is_file()
    return finished, last if last.is_file() else None
