"""Kill campaign: SIGKILL before or within any write, or at a random moment; the command is then started again.

The result must equal an undisturbed run: weights, optimizer and random states bit for bit, metrics.csv row by row;
records, store and features byte by byte. No checkpoint or record may be corrupt at any moment.
"""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from file_events import Act, FileEvents, Moment, kill, read_moments, tear
from forks import run, start, stop, wait
from tally import Tally
from workload import Workplace, compare_folders, compare_runs, corrupt_files, prepare_words

CHAIN = 3  # number of kills at random moments before a run may finish


class Kills:
    """Kills one command and checks its results after it has finished."""

    def __init__(
        self, place: Workplace, tally: Tally, name: str, folder: Path, words: list[str],
        check: Callable[[], list[str]], begin: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        """`folder`: contains all files that are written; `begin`: creates the inputs."""
        self.place, self.tally, self.name, self.folder, self.words = place, tally, name, folder, words
        self.check, self.begin = check, begin
        self.log = place.folder / "events.txt"
        self.start_anew()
        ended = run(words, place.output, lambda: FileEvents(folder, self.log).install())
        self.moments, self.seconds = read_moments(self.log), ended.seconds
        tally.note(f"{name}, undisturbed", "" if ended.code == 0 else ended.last_line)

    def start_anew(self) -> None:
        """Recreate the folder, and remove files beside it whose names begin with its name."""
        for path in self.folder.parent.glob(f"{self.folder.name}*"):
            shutil.rmtree(path)
        self.begin()

    def finish(self, what: str) -> None:
        """Run the same command again, to its end."""
        ended = run(self.words, self.place.output)
        if ended.code == 0:
            self.tally.note(what, ", ".join(self.check()))
        else:
            self.tally.note(what, f"exit code {ended.code}: {ended.last_line}", self.place.output)

    def at_event(self, moment: Moment, act: Act) -> None:
        """Kill the command at an event, then start it again."""
        verb = "before" if act is kill else "within"
        what = f"{self.name}, {verb} {moment.kind} ({moment.before} before it)"
        self.start_anew()
        ended = run(self.words, self.place.output, lambda: FileEvents(self.folder, self.log, moment, act).install())
        if ended.code == 0 and moment not in read_moments(self.log):  # the event did not occur again
            self.tally.note(what, ", ".join(self.check()), self.place.output)
            return
        self.tally.note(
            what,
            "" if ended.code == -9 else f"exit code {ended.code}, not killed: {ended.last_line}",
            self.place.output,
        )
        self.tally.note(what, "; ".join(corrupt_files(self.folder)))
        self.finish(what)
        self.tally.count(f"{self.name}: {verb} {moment.kind}")

    def at_moments(self, draw: random.Random) -> None:
        """Kill the command at several random moments, one after the other."""
        self.start_anew()
        moments = [draw.uniform(0, self.seconds) for _ in range(CHAIN)]
        for moment in moments:
            pid = start(self.words, self.place.output)
            time.sleep(moment)
            stop(pid)
            wait(pid, self.place.output)
            self.tally.note(f"{self.name}, killed after {moment:.2f} s", "; ".join(corrupt_files(self.folder)))
        self.finish(f"{self.name}, killed after {', '.join(f'{moment:.2f}' for moment in moments)} s")
        self.tally.count(f"{self.name}: at a random moment", CHAIN)

    def events(self, draw: random.Random, most: int) -> Iterator[tuple[Moment, Act]]:
        """One event of each kind: before it and, if a file is written there, within it; at most `most` events."""
        by_kind: dict[str, list[Moment]] = {}
        for moment in self.moments:
            by_kind.setdefault(moment.kind, []).append(moment)
        both = [(draw.choice(moments), act) for moments in by_kind.values() for act in (kill, tear)]
        both = [(at, act) for at, act in both if act is kill or at.kind.startswith(("replace", "append"))]
        draw.shuffle(both)
        yield from both[:most]

    def campaign(self, draw: random.Random, events: int, chains: int) -> None:
        for moment, act in self.events(draw, events):
            self.at_event(moment, act)
        for _ in range(chains):
            self.at_moments(draw)


def fits(place: Workplace, tally: Tally, net: str) -> Kills:
    folder, wanted = place.folder / "killed", place.reference(net)
    name = f"fit and test of {net}"
    return Kills(place, tally, name, folder, place.words(net, folder), lambda: compare_runs(folder, wanted))


def stores(place: Workplace, tally: Tally) -> Kills:
    store, wanted = place.folder / "killed_stores/store", place.store(32)
    words = prepare_words(place.images, store, 32)
    return Kills(place, tally, "prepare", store, words, lambda: compare_folders(store, wanted))


def features(place: Workplace, tally: Tally) -> Kills:
    wanted = place.copy("alexnet", "with_features")
    place.must(["features", "-c", str(wanted), "features.split=train"])
    folder = place.folder / "killed"

    def check() -> list[str]:
        return compare_folders(folder / "features", wanted / "features")

    words = ["features", "-c", str(folder), "features.split=train"]
    return Kills(place, tally, "features", folder, words, check, lambda: place.copy("alexnet", "killed"))


def campaign(place: Workplace, tally: Tally, whole: bool) -> None:
    """All kinds of writes of all commands and more than 100 kills; fewer unless `whole`."""
    draw = random.Random(tally.seed)
    if not whole:
        fits(place, tally, "convnet").campaign(draw, events=1, chains=0)
        return stores(place, tally).campaign(draw, events=1, chains=0)
    fits(place, tally, "convnet").campaign(draw, events=1000, chains=10)
    stores(place, tally).campaign(draw, events=1000, chains=3)
    features(place, tally).campaign(draw, events=1000, chains=2)
    fits(place, tally, "alexnet").campaign(draw, events=8, chains=4)
    return None
