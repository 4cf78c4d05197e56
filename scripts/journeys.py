"""Count the files of the package that four values pass through; write the table of docs/development/architecture.md.

    python scripts/journeys.py          # a minute or two on two CPU cores, with images that it draws

A file counts if one of its functions is called (`sys.setprofile`); importing a module does not count. Each journey runs
in its own process, so that none affects another.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

HOME = Path(__file__).resolve().parents[1]
PACKAGE = str(HOME / "alexnet_pl")
PAGE = HOME / "docs/development/architecture.md"
START, END = "<!-- journeys: written by scripts/journeys.py -->", "<!-- end -->"
STORE = ("data.name=drawn", "data.root=store", "model.num_classes=2")
FIT = ("fit", "-c", "demo", *STORE, "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "hydra.run.dir=runs/demo/a")


class Recorder:
    """Records the files of the package whose functions are called."""

    def __init__(self) -> None:
        self.files: set[str] = set()

    def profile(self, frame: FrameType, event: str, _argument: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(PACKAGE) and not is_import(frame):
            self.files.add(str(Path(path).relative_to(PACKAGE)))

    def start(self) -> None:
        threading.setprofile(self.profile)
        sys.setprofile(self.profile)

    def stop(self) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


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


def photograph_to_batch(recorder: Recorder) -> None:
    """`prepare` from listing the images; then `fit` until the first batch, counting only the data packages' files."""
    from lightning import Trainer

    from alexnet_pl.commands import prepare
    from alexnet_pl.training.classifier import Classifier

    before(prepare, "make_store", recorder.start)
    before(prepare, "report_nonstandard", recorder.stop)
    run_command(("prepare", "-c", "demo", *STORE[:2], "prepare.source=photographs", "prepare.workers=1"))
    loading = Recorder()
    before(Trainer, "fit", loading.start)
    before(Classifier, "training_step", lambda: end(loading))
    run_command(FIT)
    recorder.files |= {path for path in loading.files if path.startswith("data/")}


def argv_to_fit(recorder: Recorder) -> None:
    """`fit` until Lightning has trainer, module and data."""
    from lightning import Trainer

    before(Trainer, "fit", lambda: end(recorder))
    recorder.start()
    run_command(FIT)


def batch_to_metric(recorder: Recorder) -> None:
    """A training step that logs: from `training_step` with the batch until the next batch arrives."""
    from alexnet_pl.training.classifier import Classifier

    steps = iter((lambda: None, recorder.start, lambda: end(recorder)))
    before(Classifier, "training_step", lambda: next(steps)())
    run_command(FIT)


def run_to_row(recorder: Recorder) -> None:
    """`report` on the folder of a trained and tested run."""
    run_command(("reproduce", *FIT[1:]))
    recorder.start()
    run_command(("report", "hydra.run.dir=report"))
    recorder.stop()


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


def count_journeys() -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory() as name:
        draw_photographs(Path(name) / "photographs")
        return {title: trace(title, Path(name)) for title in JOURNEYS}


def trace(title: str, folder: Path) -> list[str]:
    """Files of one journey, recorded in a new process; the first leaves the store for the others in `folder`."""
    command = [sys.executable, __file__, title, str(folder / "files.json")]
    environment = {**os.environ, "PYTHONPATH": str(HOME)}  # use this checkout, whatever version is installed
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "files.json").read_text())


def table(files: dict[str, list[str]]) -> str:
    lines = ["| journey | files | packages |", "| --- | ---: | --- |"]
    for title, paths in files.items():
        counts: dict[str, int] = {}
        for path in paths:
            counts[path.partition("/")[0]] = counts.get(path.partition("/")[0], 0) + 1
        lines.append(f"| {title} | {len(paths)} | {', '.join(f'{name} {count}' for name, count in counts.items())} |")
    return "\n".join(lines)


def main() -> None:
    if len(sys.argv) == 3:
        title, output = sys.argv[1:]  # `run_command` replaces sys.argv
        recorder = Recorder()
        JOURNEYS[title](recorder)
        Path(output).write_text(json.dumps(sorted(recorder.files)))
        return
    files = count_journeys()
    for title, paths in files.items():
        print(f"{title}: {len(paths)}", *paths, sep="\n  ")
    head, rest = PAGE.read_text().split(START)
    PAGE.write_text(f"{head}{START}\n\n{table(files)}\n\n{END}{rest.split(END, 1)[1]}")


if __name__ == "__main__":
    main()
