"""A run of a study: trained in ROOT/runs, tested, and its small files kept in docs/data/evidence."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kept_runs import KEPT, keep_run

PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """One network: trained by `recipe` with `overrides` on a store below the root, tested as the recipe says and with
    each of `tests`.

    `is_tested`: false if the run only tunes a rate; `needs`: the run whose network it uses.
    """

    part: str
    name: str
    seed: int
    recipe: str
    store: str
    overrides: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    is_tested: bool = True
    needs: "Run | None" = None

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
    """Runs of a shell script that keeps its own runs in docs/data/evidence: `names`, folders below `part`.

    `words`: arguments, below the root or absolute; `needs`: as in `Run`.
    """

    part: str
    script: str
    words: tuple[str, ...]
    names: tuple[str, ...]
    needs: Run | None = None

    @property
    def missing(self) -> list[str]:
        return [name for name in self.names if not (KEPT / self.part / name / "fit.json").is_file()]

    @property
    def is_done(self) -> bool:
        return not self.missing

    def execute(self, root: Path) -> None:
        command = ["bash", str(PACKAGE / "scripts" / self.script), *self.words]
        subprocess.run(command, check=True, cwd=root, env=environment() | {"KEEP": "1", "PYTHON": sys.executable})


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
    subprocess.run([sys.executable, "-m", "alexnet_pl", *map(str, words)], check=True, cwd=root, env=environment())


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PACKAGE)}


def median_hours(part: str) -> float | None:
    """Median duration of the kept runs of a part in hours; None if there are none."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (KEPT / part).glob("**/fit.json")]
    seconds = [record["seconds"] for record in records if record.get("seconds")]
    return statistics.median(seconds) / 3600 if seconds else None
