"""Concurrency campaign: the same command twice at once in one run folder or store; one may be refused in one line,
and the result equals that of a single process."""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from forks import start, wait
from tally import Tally
from workload import Workplace, compare_folders, compare_runs, corrupt_files, prepare_words


class Pair(NamedTuple):
    name: str
    begin: Callable[[], object]
    words: tuple[list[str], list[str]]
    check: Callable[[], list[str]]


def pairs(place: Workplace, net: str) -> list[Pair]:
    folder = place.folder / "shared"
    store = place.folder / "shared_stores/store"
    run = ["-c", str(folder)]

    def twice(name: str, words: list[str], check: Callable[[], list[str]]) -> Pair:
        return Pair(name, lambda: place.copy(net, "shared"), (words, words), check)

    def sound() -> list[str]:
        return corrupt_files(folder)

    fit = place.words("convnet", folder)
    wanted = place.reference("convnet")
    prepare = prepare_words(place.images, store, 32)
    return [
        Pair("fit and fit", lambda: place.fresh("shared"), (fit, fit), lambda: compare_runs(folder, wanted)),
        Pair(
            "prepare and prepare",
            lambda: shutil.rmtree(store.parent, ignore_errors=True),
            (prepare, prepare),
            lambda: compare_folders(store, place.store(32)),
        ),
        twice("test and test", ["test", *run], lambda: compare_runs(folder, place.reference(net))),
        twice("features and features", ["features", *run, "features.split=train"], sound),
        twice("export and export", ["export", str(folder)], sound),
        twice("figures and figures", ["figures", str(folder)], sound),
        Pair(
            "fit and test",
            lambda: place.copy("convnet", "shared"),
            (["fit", *run, "++trainer.max_epochs=5"], ["test", *run]),
            sound,
        ),
    ]


def campaign(place: Workplace, tally: Tally, whole: bool) -> None:
    draw = random.Random(tally.seed)
    outputs = [place.folder / f"output{number}.txt" for number in (1, 2)]
    for pair in pairs(place, "alexnet") if whole else pairs(place, "convnet")[:1]:
        for _ in range(4 if whole else 1):
            pair.begin()
            delay = draw.choice([0.0, draw.uniform(0, 2)])
            found = both(pair, outputs, delay)
            tally.note(f"{pair.name}, {delay:.2f} s apart", "; ".join(found or pair.check()))
            tally.count(pair.name)


def both(pair: Pair, outputs: list[Path], delay: float) -> list[str]:
    """Run both commands; what was wrong with how they ended."""
    pids = []
    for words, output in zip(pair.words, outputs, strict=True):
        output.write_text("")
        pids.append(start(words, output))
        time.sleep(0 if len(pids) == 2 else delay)
    ended = [wait(pid, output) for pid, output in zip(pids, outputs, strict=True)]
    found = [f"exit code {one.code}: {one.last_line}" for one in ended if not one.well]
    return found if found or 0 in (one.code for one in ended) else [f"neither did it: {ended[0].last_line}"]
