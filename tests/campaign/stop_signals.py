"""Signal campaign: Ctrl-C, SIGTERM and SIGKILL at a random moment of every command, and SIGUSR1 of fits: no traceback,
no corrupt file, and the same command works afterwards."""

import random
import shutil
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import forks
from forks import Ended, start, wait
from tally import Tally
from workload import Workplace, corrupt_files, prepare_words

CODES = {signal.SIGINT: (130, -2), signal.SIGTERM: (143, -15), signal.SIGKILL: (-9,), signal.SIGUSR1: (138, -10)}
WAYS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
TRAINING = ("fit", "reproduce")  # SLURM sends these SIGUSR1 before their time limit
EARLIEST, LONGEST = 0.05, 15.0  # seconds after the start
READY = "→ http"  # printed by `page` when it accepts requests


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def commands(place: Workplace, folder: Path) -> dict[str, list[str]]:
    """argv of every command on a copy of a run in `folder`, or beside it."""
    run, beside = str(folder), folder.parent / "beside"
    member, store = place.reference("convnet"), place.store(32)
    ensemble = ["ensemble", "-c", "cifar10_11pct", f"ensemble.members=[{member}]", f"data.root={store}"]
    ensemble += ["data.name=tiny", "logger=csv", f"hydra.run.dir={beside}"]
    return {
        "prepare": prepare_words(place.images, beside / "store", 32),
        "verify": ["verify", f"data.root={store}"],
        "fit": ["fit", *place.words("alexnet", beside)[1:], "ckpt_path=auto"],
        "validate": ["validate", "-c", run],
        "test": ["test", "-c", run],
        "reproduce": place.words("convnet", beside),
        "ensemble": ensemble,
        "predict": ["predict", "-c", run, f"predict.images={place.images}"],
        "features": ["features", "-c", run],
        "retrieve": ["retrieve", "-c", run, "retrieval.k=3"],
        "fit of codes": [
            *("fit", "-c", "codes", f"codes.features={run}", "logger=csv", "ckpt_path=auto"),
            f"hydra.run.dir={beside}",
        ],
        "bench": ["bench", f"data.root={place.store(72)}", "bench.rounds=1", f"hydra.run.dir={beside}"],
        "report": ["report", f"report.runs={folder.parent}", f"hydra.run.dir={beside}"],
        "dashboard": ["dashboard", f"report.runs={folder.parent}", f"hydra.run.dir={beside}"],
        "figures": ["figures", run],
        "curves": ["curves", run],
        "export": ["export", run],
        "fit of boxes": place.fit_boxes(beside),
        "detect": ["detect", "-c", str(folder.parent / "detector"), f"predict.images={place.images / 'val'}"],
        "page": ["page", run, f"port={free_port()}"],
    }


class Stops:
    def __init__(self, place: Workplace, tally: Tally, net: str) -> None:
        self.place, self.tally, self.net, self.note = place, tally, net, tally.note
        self.draw = random.Random(tally.seed)
        self.folder = place.folder / "stopped/run"
        self.commands = commands(place, self.folder)

    def begin_anew(self) -> None:
        shutil.rmtree(self.folder.parent, ignore_errors=True)
        shutil.copytree(self.place.reference(self.net), self.folder)
        for name, target in (("features", self.folder / "features"), ("detector", self.folder.parent / "detector")):
            if (self.place.folder / name).is_dir():
                shutil.copytree(self.place.folder / name, target)

    def run(self, name: str) -> Ended:
        return forks.run(self.commands[name], self.place.output)

    def prepare_all(self) -> None:
        """Create features, which `retrieve` and codes read, and a detector."""
        self.place.must(self.place.fit_boxes(self.place.fresh("detector")))
        self.begin_anew()
        self.run("features")
        shutil.copytree(self.folder / "features", self.place.folder / "features")

    def command(self, name: str, signals: Iterable[signal.Signals]) -> None:
        """Send each signal at two moments; to servers once they are ready, else within `LONGEST` seconds."""
        seconds = LONGEST
        if name not in ("page", "bench"):
            self.begin_anew()
            ended = self.run(name)
            seconds = ended.seconds
            self.note(f"{name}, undisturbed", "" if ended.code == 0 else f"{ended.code}: {ended.last_line}")
        for number in signals:
            for _ in range(2):
                self.stop(name, number, self.draw.uniform(EARLIEST, max(min(seconds, LONGEST), EARLIEST)))

    def stop(self, name: str, number: signal.Signals, moment: float) -> None:
        self.begin_anew()
        pid = start(self.commands[name], self.place.output)
        self.sleep(name, moment)
        with suppress(ProcessLookupError):
            forks.signal_group(pid, number)
        ended = wait(pid, self.place.output)
        what = f"{name}, {number.name} after {moment:.2f} s"
        self.tally.count(f"{name}: {number.name}")
        fine = ended.code in (0, *CODES[number]) and "Traceback" not in ended.text
        self.note(what, "" if fine else f"exit code {ended.code}: {ended.last_line}", self.place.output)
        self.note(what, "; ".join(corrupt_files(self.folder) + corrupt_files(self.folder.parent / "beside")))
        if name not in ("page", "bench"):
            again = self.run(name)
            self.note(
                what,
                "" if again.code == 0 else f"and then again, exit code {again.code}: {again.last_line}",
                self.place.output,
            )

    def sleep(self, name: str, moment: float) -> None:
        if name != "page":
            return time.sleep(moment)
        until = time.monotonic() + forks.SECONDS
        while READY not in self.place.output.read_text() and time.monotonic() < until:
            time.sleep(0.1)
        return None


def campaign(place: Workplace, tally: Tally, whole: bool) -> None:
    stops = Stops(place, tally, "alexnet" if whole else "convnet")
    if not whole:
        return stops.stop("test", signal.SIGTERM, stops.draw.uniform(EARLIEST, 1.5))
    stops.prepare_all()
    for name in stops.commands:
        stops.command(name, (*WAYS, signal.SIGUSR1) if name in TRAINING else WAYS)
    return None
