"""Name of a run in the demo app and in W&B: "demo, 2026-11-29 17:01", "demo, as-shipped" or "overlap/seed5"."""

import re
from pathlib import Path

from alexnet_pl.runs.layout import ROOT

STARTED = re.compile(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-\d\d(-\d+)?")  # name of a run folder by default


def name_run(run: Path) -> str:
    """Recipe or parent folder and the run; the run alone in `runs`."""
    folder = run.resolve()
    parent = folder.parent.name
    if parent in ("", ROOT.name):
        return folder.name
    if time := STARTED.fullmatch(folder.name):
        return f"{parent}, {time[1]} {time[2]}:{time[3]}"
    if parent == "reproduce":  # runs/RECIPE/reproduce/OVERRIDES
        return f"{folder.parents[1].name}, {folder.name}"
    return f"{parent}/{folder.name}"
