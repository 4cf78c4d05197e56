"""Count the files of the package that four values pass through; write the table of docs/development/architecture.md.

    python scripts/journeys.py          # a minute or two on two CPU cores, with images that it draws

A file passes the value on if one of its functions receives or returns an object that holds it, alone or in a list,
tuple or dictionary (`sys.setprofile`). A file is called if one of its functions is. Importing a module does not count.
Each journey runs in its own process, so that none affects another.
"""

import inspect
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

HOME = Path(__file__).resolve().parents[1]
PACKAGE = str(HOME / "alexnet_pl")
PAGE = HOME / "docs/development/architecture.md"
START, END = "<!-- journeys: written by scripts/journeys.py -->", "<!-- end -->"
STORE = ("data.name=drawn", "data.root=store", "model.num_classes=2")
FIT = ("fit", "-c", "demo", *STORE, "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "hydra.run.dir=runs/demo/a")
TOP1_ERROR = 43.7  # of the made-up run, which no other row has


class Recorder:
    """Records the files of the package whose functions are called, and those whose functions pass the value on.

    holds_value: whether an object holds the value of the journey.
    """

    def __init__(self, holds_value: Callable[[object], bool]) -> None:
        self.holds_value = holds_value
        self.called: set[str] = set()
        self.passing: set[str] = set()

    def profile(self, frame: FrameType, event: str, returned: object) -> None:
        path = frame.f_code.co_filename
        if event not in ("call", "return") or not path.startswith(PACKAGE) or is_import(frame):
            return
        file = str(Path(path).relative_to(PACKAGE))
        self.called.add(file)
        if any(map(self.is_passed, arguments(frame) if event == "call" else [returned])):
            self.passing.add(file)

    def is_passed(self, value: object) -> bool:
        """Whether an argument or a result holds the value; of a collection, the first items are looked at."""
        items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        return self.holds_value(value) or any(map(self.holds_value, islice(items, 5)))

    def start(self) -> None:
        threading.setprofile(self.profile)
        sys.setprofile(self.profile)

    def stop(self) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def arguments(frame: FrameType) -> list[object]:
    """Arguments of the call that has just begun, including `*args` and `**kwargs`."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return [frame.f_locals.get(name) for name in code.co_varnames[:count]]


def is_import(frame: FrameType | None) -> bool:
    """Whether a module is being imported, which also calls decorators and class bodies."""
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def run_command(words: tuple[str, ...]) -> None:
    """Run a command in this process until it ends or the journey ends it."""
    from alexnet_pl.cli.main import main

    sys.argv = ["alexnet_pl", *words]
    with suppress(SystemExit):
        main()


def before(owner: Any, name: str, then: Callable[[], None]) -> None:
    """Call `then` before each call of the method or function `name` of `owner`."""
    original = getattr(owner, name)

    def wrapper(*given: Any, **options: Any) -> Any:
        then()
        return original(*given, **options)

    setattr(owner, name, wrapper)


def end(recorder: Recorder) -> None:
    """End the command; files used during its exit do not count."""
    recorder.stop()
    raise SystemExit


def is_image(value: object) -> bool:
    """Whether the object is an image: its record, the location of its bytes, its bytes, its pixels."""
    import numpy as np
    import torch

    from alexnet_pl.data.archives.location import ByteLocation
    from alexnet_pl.data.sources.base import DatasetListing, ImageRecord, LazyRecords

    if isinstance(value, np.ndarray | torch.Tensor):
        return value.ndim >= 3
    return isinstance(value, bytes | ByteLocation | DatasetListing | ImageRecord | LazyRecords)


def is_tensor_or_metric(value: object) -> bool:
    """Whether the object is a tensor or a number made of one: images, activations, weights, gradients, metrics."""
    import torch

    return isinstance(value, torch.Tensor | float)


def is_config(value: object) -> bool:
    """Whether the object is an override of the command line, the config, or one of its sections."""
    from omegaconf import DictConfig

    return isinstance(value, DictConfig) or (isinstance(value, str) and "=" in value and value in FIT)


def is_result(value: object) -> bool:
    """Whether the object is a tested run, its result, its row, or a table that has its error."""
    from alexnet_pl.evaluation.intervals import Estimate
    from alexnet_pl.evaluation.result import TestDescription
    from alexnet_pl.paper.results import TestRun
    from alexnet_pl.paper.rows import ReportRow
    from alexnet_pl.table import Table

    if isinstance(value, Table):
        return any(f"{TOP1_ERROR:.1f}" in cell for row in value.rows for cell in row)
    return isinstance(value, TestDescription | TestRun | Estimate | ReportRow)


def photograph_to_batch() -> Recorder:
    """`prepare` from listing the images; then `fit` until the first batch, counting only the data packages' files."""
    from lightning import Trainer

    from alexnet_pl.commands import prepare
    from alexnet_pl.training.classifier import Classifier

    making, loading = Recorder(is_image), Recorder(is_image)
    before(prepare, "make_store", making.start)
    before(prepare, "report_nonstandard", making.stop)
    run_command(("prepare", "-c", "demo", *STORE[:2], "prepare.source=photographs", "prepare.workers=1"))
    before(Trainer, "fit", loading.start)
    before(Classifier, "training_step", lambda: end(loading))
    run_command(FIT)
    making.called |= {path for path in loading.called if path.startswith("data/")}
    making.passing |= {path for path in loading.passing if path.startswith("data/")}
    return making


def argv_to_fit() -> Recorder:
    """`fit` until Lightning has trainer, module and data."""
    from lightning import Trainer

    recorder = Recorder(is_config)
    before(Trainer, "fit", lambda: end(recorder))
    recorder.start()
    run_command(FIT)
    return recorder


def batch_to_metric() -> Recorder:
    """A training step that logs: from `training_step` with the batch until the next batch arrives."""
    from alexnet_pl.training.classifier import Classifier

    recorder = Recorder(is_tensor_or_metric)
    steps = iter((lambda: None, recorder.start, lambda: end(recorder)))
    before(Classifier, "training_step", lambda: next(steps)())
    run_command(FIT)
    return recorder


def run_to_row() -> Recorder:
    """`report` on the folder of a run that is described as trained and tested as a row of Table 2 asks."""
    sys.path.insert(0, str(HOME))
    from tests.support.made_results import claim_test, write_test

    write_test(Path("runs"), "alexnet", claim_test("table2.cnn"), TOP1_ERROR)
    recorder = Recorder(is_result)
    recorder.start()
    run_command(("report", "hydra.run.dir=report"))
    recorder.stop()
    return recorder


JOURNEYS = {
    "a photograph → a batch": photograph_to_batch,
    "argv → `trainer.fit`": argv_to_fit,
    "a batch → a logged metric": batch_to_metric,
    "a run → a row of the report": run_to_row,
}


def draw_photographs(folder: Path) -> None:
    """Draw two classes of images as an image folder."""
    import numpy as np
    from PIL import Image

    for number in range(120):
        split = "train" if number < 100 else "val"
        path = folder / split / f"n0000000{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (90, 100, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


def count_journeys() -> dict[str, dict[str, list[str]]]:
    with tempfile.TemporaryDirectory() as name:
        draw_photographs(Path(name) / "photographs")
        return {title: trace(title, Path(name)) for title in JOURNEYS}


def trace(title: str, folder: Path) -> dict[str, list[str]]:
    """Files of one journey, recorded in a new process; the first leaves the store for the others in `folder`."""
    command = [sys.executable, __file__, title, str(folder / "files.json")]
    environment = {**os.environ, "PYTHONPATH": str(HOME)}  # use this checkout, whatever version is installed
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "files.json").read_text(encoding="utf-8"))


def table(journeys: dict[str, dict[str, list[str]]]) -> str:
    lines = ["| journey | files that pass the value on | all files called | packages of the first |"]
    lines.append("| --- | ---: | ---: | --- |")
    for title, files in journeys.items():
        counts = Counter(path.partition("/")[0] for path in files["passing"])
        packages = ", ".join(f"{name} {count}" for name, count in counts.items())
        lines.append(f"| {title} | {len(files['passing'])} | {len(files['called'])} | {packages} |")
    return "\n".join(lines)


def main() -> None:
    if len(sys.argv) == 3:
        title, output = sys.argv[1:]  # `run_command` replaces sys.argv
        recorder = JOURNEYS[title]()
        files = {"passing": sorted(recorder.passing), "called": sorted(recorder.called)}
        Path(output).write_text(json.dumps(files), encoding="utf-8")
        return
    journeys = count_journeys()
    for title, files in journeys.items():
        marked = [f"{'*' if path in files['passing'] else ' '} {path}" for path in files["called"]]
        print(f"{title}: {len(files['passing'])} of {len(marked)}", *marked, sep="\n  ")
    head, rest = PAGE.read_text(encoding="utf-8").split(START)
    PAGE.write_text(f"{head}{START}\n\n{table(journeys)}\n\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
