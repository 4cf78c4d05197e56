"""A run of a study: trained in ROOT/runs, tested, and its small files kept in docs/data/evidence."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kept_runs import KEPT, keep_run

PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """One network: trained by `recipe` with `overrides` on a store below the root, tested as the recipe says and with
    each of `tests`. `is_tested`: false if the run only tunes a rate."""

    part: str
    name: str
    seed: int
    recipe: str
    store: str
    overrides: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    is_tested: bool = True

    @property
    def folder(self) -> Path:
        return Path(self.part, self.name, f"seed{self.seed}")

    @property
    def is_done(self) -> bool:
        return (KEPT / self.folder / "metrics.csv").is_file()

    def execute(self, root: Path) -> None:
        folder = Path("runs") / self.folder
        words = [f"data.root={self.store}", f"seed={self.seed}", "logger=csv", *self.overrides]
        command = ["reproduce"] if self.is_tested else ["fit", "ckpt_path=auto"]
        alexnet_pl(root, command[0], "-c", self.recipe, *words, *command[1:], f"hydra.run.dir={folder}")
        for test in self.tests:
            alexnet_pl(root, "test", folder, test)
        keep_run(root / folder, KEPT / self.folder)


@dataclass(frozen=True)
class Script:
    """Runs of a shell script that keeps its own runs in docs/data/evidence, in `count` folders below `part`.

    `words`: arguments, below the root or absolute.
    """

    part: str
    script: str
    words: tuple[str, ...]
    count: int

    @property
    def is_done(self) -> bool:
        return len(list(kept_folders(self.part))) >= self.count

    def execute(self, root: Path) -> None:
        environment = environment_of(PACKAGE) | {"KEEP": "1", "PYTHON": sys.executable}
        subprocess.run(["bash", PACKAGE / "scripts" / self.script, *self.words], check=True, cwd=root, env=environment)


@dataclass(frozen=True)
class Study:
    """Runs on one data set. `source`: name of the option with its images, None if it needs none; `prepare`: makes the
    stores from the source; `finish`: called after the runs."""

    name: str
    source: str | None
    help: str
    parts: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: Callable[[Sequence[int]], Iterable[Run | Script]]
    prepare: Callable[[Path | None, Path], None]
    finish: Callable[[Path], None] = lambda root: None


def alexnet_pl(root: Path, *words: str | Path) -> None:
    """Run a command in `root`, so that its records contain no other folder."""
    subprocess.run(
        [sys.executable, "-m", "alexnet_pl", *map(str, words)], check=True, cwd=root, env=environment_of(PACKAGE)
    )


def environment_of(package: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(package)}


def kept_folders(part: str) -> Iterator[Path]:
    return (path.parent for path in (KEPT / part).glob("**/fit.json"))


def median_hours(part: str) -> float | None:
    """Median duration of the kept runs of a part in hours; None if there are none."""
    records = [json.loads((folder / "fit.json").read_text()) for folder in kept_folders(part)]
    seconds = [record["seconds"] for record in records if record.get("seconds")]
    return statistics.median(seconds) / 3600 if seconds else None
