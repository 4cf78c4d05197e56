"""Kills: a process ends by SIGKILL before, or within, any write to its files, or at any moment; it is started again.

What comes out must be what an undisturbed run gives: weights, optimizer and random states to the bit, metrics.csv row
by row, the records, the store and the features byte by byte; and at no moment may a checkpoint or record be damaged.
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from file_events import FileEvents, kill, read_kinds, tear
from forks import run, start, stop, wait
from workload import Workplace, compare_folders, compare_runs, damaged_files, prepare_words

CHAIN = 3  # kills at random moments before a run is left to end


class Kills:
    """Kills of one command, and the check of what it has made once it ended."""

    def __init__(
        self, place: Workplace, name: str, folder: Path, words: list[str], check: Callable[[], list[str]],
        begin: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        """`folder`: in which all is written; `begin`: makes what must be there first."""
        self.place, self.name, self.folder, self.words, self.check = place, name, folder, words, check
        self.begin = begin
        self.log = place.folder / "events.txt"
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.start_anew()
        ended = run(words, place.output, lambda: FileEvents(folder, self.log).install())
        self.kinds, self.seconds = read_kinds(self.log), ended.seconds
        self.note(f"{name}, undisturbed", ended.code == 0, ended.last_line)

    def start_anew(self) -> None:
        """The folder is remade, and files whose names begin with its name beside it are removed."""
        for path in self.folder.parent.glob(f"{self.folder.name}*"):
            shutil.rmtree(path)
        self.begin()

    def note(self, what: str, well: bool, why: str) -> None:
        if not well:
            self.wrong.append(f"{what}: {why}")
            print(self.wrong[-1], flush=True)

    def finish(self, what: str) -> None:
        """The same command once more, to its end."""
        ended = run(self.words, self.place.output)
        self.note(what, ended.code == 0, f"exit code {ended.code}: {ended.last_line}")
        if ended.code == 0:
            found = self.check()
            self.note(what, not found, f"differs: {', '.join(found)}")

    def at_event(self, number: int, act: Callable[[str, Path], None]) -> None:
        verb = "before" if act is kill else "within"
        what = f"{self.name}, {verb} event {number} ({self.kinds[number]})"
        self.start_anew()
        ended = run(self.words, self.place.output, lambda: FileEvents(self.folder, self.log, number, act).install())
        self.note(what, ended.code == -9, f"exit code {ended.code}, not killed: {ended.last_line}")
        found = damaged_files(self.folder)
        self.note(what, not found, "; ".join(found))
        self.done[f"{self.name}: {verb} {self.kinds[number]}"] += 1
        self.finish(what)

    def at_moments(self, draw: random.Random) -> int:
        """Several kills at random moments, one after the other. Returns how many there were."""
        self.start_anew()
        moments = [draw.uniform(0, self.seconds) for _ in range(CHAIN)]
        for moment in moments:
            pid = start(self.words, self.place.output)
            time.sleep(moment)
            stop(pid)
            wait(pid, self.place.output)
            found = damaged_files(self.folder)
            self.note(f"{self.name}, killed after {moment:.2f} s", not found, "; ".join(found))
        self.done[f"{self.name}: at a random moment"] += CHAIN
        self.finish(f"{self.name}, killed after {', '.join(f'{moment:.2f}' for moment in moments)} s")
        return CHAIN

    def events(self, draw: random.Random, most: int) -> Iterator[tuple[int, Callable[[str, Path], None]]]:
        """One event of each kind, before it and, where a file is written there, within it; at most `most`."""
        by_kind: dict[str, list[int]] = {}
        for number, kind in enumerate(self.kinds):
            by_kind.setdefault(kind, []).append(number)
        both = [(draw.choice(numbers), act) for numbers in by_kind.values() for act in (kill, tear)]
        both = [(n, act) for n, act in both if act is kill or self.kinds[n].startswith(("replace", "append"))]
        draw.shuffle(both)
        yield from both[:most]

    def campaign(self, draw: random.Random, events: int, chains: int) -> None:
        for number, act in self.events(draw, events):
            self.at_event(number, act)
        for _ in range(chains):
            self.at_moments(draw)


def fits(place: Workplace, net: str) -> Kills:
    folder = place.folder / "killed"
    wanted = place.reference(net)
    return Kills(
        place, f"fit and test of {net}", folder, place.words(net, folder), lambda: compare_runs(folder, wanted)
    )


def stores(place: Workplace) -> Kills:
    store = place.folder / "killed_stores/store"
    wanted = place.store(32)
    words = prepare_words(place.images, store, 32)
    return Kills(place, "prepare", store, words, lambda: compare_folders(store, wanted))


def features(place: Workplace) -> Kills:
    wanted = place.copy("alexnet", "with_features")
    place.must(["features", "-c", str(wanted), "features.split=train"])
    run_folder = place.folder / "killed"

    def check() -> list[str]:
        return compare_folders(run_folder / "features", wanted / "features")

    words = ["features", "-c", str(run_folder), "features.split=train"]
    return Kills(place, "features", run_folder, words, check, lambda: place.copy("alexnet", "killed"))


def campaign(place: Workplace, seed: int, whole: bool) -> dict[str, Any]:
    """All kinds of writes of all commands and more than 100 kills, or a few of each."""
    draw = random.Random(seed)
    plan = [(lambda: fits(place, "convnet"), 1000 if whole else 2, 10 if whole else 0)]
    plan += [(lambda: stores(place), 1000 if whole else 1, 3 if whole else 0)]
    if whole:
        plan += [(lambda: features(place), 1000, 2), (lambda: fits(place, "alexnet"), 8, 4)]
    done: Counter[str] = Counter()
    wrong: list[str] = []
    for make, events, chains in plan:
        kills = make()
        kills.campaign(draw, events, chains)
        done += kills.done
        wrong += kills.wrong
    return {"cases": done.total(), "kinds": dict(sorted(done.items())), "wrong": wrong}
