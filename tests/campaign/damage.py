"""Record-damage campaign: each field of each record of a run folder is removed or gets a wrong type or shape; files
are truncated or removed.

Each wrong value of each field is given to the function that reads the record, which must accept it or raise UserError
that names the file. One value per field, and each damage of a whole file, is then given to a command that reads the
file: exit code 0 if the command does not need it, else 2 and one line that names the file; no traceback.
"""

import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from damages import Change
from file_damage import field_damages, file_damages
from forks import run
from tally import Tally
from workload import Workplace, record_readers

FIELDS = 50  # number of fields per file that are tested with a command
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


def command_cases(folder: Path, draw: random.Random) -> Iterator[Case]:
    for file, readers in READERS.items():
        fields = list(field_damages(folder / file).values())
        for damages in draw.sample(fields, min(FIELDS, len(fields))):
            yield Case(file, *draw.choice(damages), draw.choice(readers))
        for what, change in file_damages(folder / file):
            yield Case(file, what, change, draw.choice(readers))


def make_victim(place: Workplace) -> Path:
    """Create a run with all files that the readers read."""
    folder = place.copy("convnet", "victim")
    place.must(["features", "-c", str(folder), "features.layer=pixels"])
    (folder / "wandb_id.txt").write_text("abcdefgh\n")
    for name in ("previous.ckpt", "best.ckpt"):
        (folder / "checkpoints" / name).unlink()
    return folder


def judge_command(case: Case, victim: Path, place: Workplace) -> str:
    """What is wrong with the command's output; "" if nothing is."""
    folder = place.folder / "corrupt/run"
    shutil.rmtree(folder.parent, ignore_errors=True)
    shutil.copytree(victim, folder)
    for path in (folder / ".hydra").rglob("config.yaml"):
        path.write_text(path.read_text().replace(str(victim), str(folder)))
    case.change(folder / case.file)
    ended = run(argv(case.reader, folder, place), place.output)
    if not ended.well:
        return f"exit code {ended.code}: {ended.last_line}"
    text = re.sub(r"\[(\d+)\]", r".\1", ended.text)  # drops[0] as drops.0
    key = case.what.split(" ")[0]
    names = (Path(case.file).name, Path(case.file).parent.name, key, re.sub(r"\.\d+$", "", key))  # a list by its key
    names += (str(folder),) if case.what == "gone" else ()
    if ended.code == 2 and not any(name in text for name in names):
        return f"does not name the file: {ended.last_line}"
    return ""


def judge_reader(read: Callable[[Path], Any], change: Change, victim: Path, corrupt: Path) -> str:
    """What is wrong with how the record is read; "" if it is read, or if one line names the file."""
    from alexnet_pl.errors import UserError

    shutil.copyfile(victim, corrupt)
    change(corrupt)
    try:
        read(corrupt)
    except UserError as error:
        return "" if str(corrupt) in str(error) and "\n" not in str(error) else f"does not name the file: {error}"
    except Exception as error:
        return repr(error)
    return ""


def read_each_value(victim: Path, place: Workplace, tally: Tally, share: float) -> None:
    """Read each value of each field; for checkpoints, which take longer, five values per field."""
    draw = random.Random(tally.seed)
    for file, read in record_readers().items():
        if not (victim / file).is_file():
            continue
        corrupt = place.fresh("record") / Path(file).name
        corrupt.parent.mkdir()
        for damages in field_damages(victim / file).values():
            for what, change in draw.sample(damages, 5) if file.endswith(".ckpt") else damages:
                if draw.random() < share and tally.wants(f"{file} read: {what}"):
                    wrong = judge_reader(read, change, victim / file, corrupt)
                    tally.note(f"{file} read: {what}", wrong)
                    tally.count(f"{file}: a field, read")


def campaign(place: Workplace, tally: Tally, whole: bool) -> None:
    victim = make_victim(place)
    read_each_value(victim, place, tally, 1 if whole else 0.005)
    draw = random.Random(tally.seed)
    cases = list(command_cases(victim, draw))
    for case in cases if whole else draw.sample(cases, 5):
        what = f"{case.reader}, {case.file}: {case.what}"
        if not tally.wants(what):
            continue
        tally.note(what, judge_command(case, victim, place), place.output)
        tally.count(f"{case.file}: {case.reader}")
