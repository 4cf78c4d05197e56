"""Every field of every record of a run folder missing, of another type or shape, and every file cut short or gone.

Each is met by the commands that read it: exit code 0 where the field does not matter to them, or 2 and one line that
names the file; no traceback.
"""

import random
import shutil
from pathlib import Path
from typing import NamedTuple

from file_damage import Change, all_changes
from forks import run
from tally import Tally
from workload import Workplace

RESULT = "results/val-nine/result.json"
READERS: dict[str, tuple[str, ...]] = {  # commands that read each file
    RESULT: ("report", "reproduce", "curves"),
    "result.json": ("export",),
    "fit.json": ("fit", "test", "reproduce"),
    "provenance.json": ("test",),
    "metrics.csv": ("fit", "report", "figures", "curves"),
    ".hydra/config.yaml": ("fit", "test", "export"),
    "checkpoints/last.ckpt": ("fit", "test", "export"),
    "results/val-nine/probabilities.parquet": ("ensemble", "report"),
    "features/train-pixels/about.json": ("retrieve",),
    "features/train-pixels/features.npy": ("retrieve",),
    "features/train-pixels/labels.npy": ("retrieve",),
    "features/train-pixels/names.jsonl": ("retrieve",),
    "wandb_id.txt": ("fit",),
}


class Case(NamedTuple):
    file: str
    what: str
    change: Change
    reader: str


def argv(reader: str, folder: Path, place: Workplace) -> list[str]:
    beside, run_words = folder.parent / "beside", ["-c", str(folder)]
    words = {
        "report": ["report", f"report.runs={folder}", f"hydra.run.dir={beside}"],
        "reproduce": place.words("convnet", folder),
        "curves": ["curves", str(folder)],
        "export": ["export", str(folder), f"out={beside}"],
        "fit": ["fit", *run_words, "++trainer.max_epochs=4"],
        "test": ["test", *run_words],
        "figures": ["figures", str(folder), f"out={beside}"],
        "retrieve": ["retrieve", *run_words, "features.layer=pixels", "retrieval.k=2"],
        "ensemble": [
            *("ensemble", "-c", "cifar10_11pct", f"ensemble.members=[{folder}]", f"hydra.run.dir={beside}"),
            *(f"data.root={place.store(32)}", "data.name=tiny", "logger=csv"),
        ],
    }
    return words[reader]


def cases(folder: Path) -> list[Case]:
    return [
        Case(name, what, change, reader)
        for name, readers in READERS.items()
        for what, change in all_changes(folder / name)
        for reader in readers
    ]


def make_victim(place: Workplace) -> Path:
    """A run with everything that the readers read."""
    folder = place.copy("convnet", "victim")
    place.must(["features", "-c", str(folder), "features.layer=pixels"])
    (folder / "wandb_id.txt").write_text("abcdefgh\n")
    for name in ("previous.ckpt", "best.ckpt"):
        (folder / "checkpoints" / name).unlink()
    return folder


def judge(case: Case, victim: Path, place: Workplace) -> str:
    """What is wrong with the answer; "" if nothing is."""
    folder = place.folder / "damaged/run"
    shutil.rmtree(folder.parent, ignore_errors=True)
    shutil.copytree(victim, folder)
    for path in (folder / ".hydra").rglob("config.yaml"):
        path.write_text(path.read_text().replace(str(victim), str(folder)))
    case.change(folder / case.file)
    ended = run(argv(case.reader, folder, place), place.output)
    if not ended.well:
        return f"exit code {ended.code}: {ended.last_line}"
    named = Path(case.file).name in ended.text or Path(case.file).parent.name in ended.text
    if ended.code == 2 and not named and case.what.split(" ")[0] not in ended.text:
        return f"does not name the file: {ended.last_line}"
    return ""


def campaign(place: Workplace, tally: Tally, whole: bool) -> None:
    victim = make_victim(place)
    every = cases(victim)
    tally.facts["of"] = len(every)
    for case in random.Random(tally.seed).sample(every, 1500 if whole else 8):
        tally.note(f"{case.reader}, {case.file}: {case.what}", judge(case, victim, place))
        tally.count(case.file)
