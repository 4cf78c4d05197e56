"""Full-disk campaign: after any number of written bytes, one line and exit code 2; the same command resumes later.

As root on Linux, the files are on a tmpfs on which the command runs out of space, and which is then enlarged.
Elsewhere, opening a file for writing raises ENOSPC at a random file of the command.
"""

import random
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from file_events import FileEvents, Moment, disk_full, read_moments
from forks import Ended, run
from tally import Tally
from workload import NETS, Workplace, compare_folders, compare_runs, corrupt_files, prepare_words

LARGE = "2g"
TMPFS, INJECTED = "a tmpfs of limited size", "ENOSPC injected when a file is opened"


class Job(NamedTuple):
    """A command on files in a folder. `begin` creates its inputs; `check` returns differences at the end."""

    name: str
    words: list[str]
    begin: Callable[[], object]
    check: Callable[[], list[str]]


def fit_job(place: Workplace, disk: Path, net: str) -> Job:
    folder, wanted = disk / "run", place.reference(net)
    return Job(f"fit and test of {net}", place.words(net, folder), lambda: None, lambda: compare_runs(folder, wanted))


def other_jobs(place: Workplace, disk: Path, nets: Collection[str]) -> list[Job]:
    """Commands on a store, and on the runs of undisturbed fits of `nets`."""
    folder, store = disk / "run", disk / "store"
    words = prepare_words(place.images, store, 32)
    found = [Job("prepare", words, lambda: None, lambda: compare_folders(store, place.store(32)))]
    for net, argv in (
        ("alexnet", ["features", "-c", str(folder), "features.split=train"]),
        ("convnet", ["test", "-c", str(folder), "test.views=center"]),
        ("convnet", ["predict", "-c", str(folder), f"predict.images={place.images / 'val'}"]),
        ("alexnet", ["figures", str(folder)]),
        ("convnet", ["export", str(folder)]),
    ):
        if net not in nets:
            continue
        reference = place.reference(net)

        def begin(reference: Path = reference) -> None:
            shutil.copytree(reference, folder)

        found.append(Job(argv[0], argv, begin, lambda: corrupt_files(folder)))
    return found


def can_mount(folder: Path) -> bool:
    folder.mkdir(exist_ok=True)
    if not mount(folder, "1m"):
        return False
    subprocess.run(["umount", str(folder)], check=True)
    return True


def mount(folder: Path, size: str, *options: str) -> bool:
    try:
        command = ["mount", "-t", "tmpfs", "-o", ",".join((f"size={size}", *options)), "none", str(folder)]
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


@contextmanager
def disk_of(folder: Path, size: str = LARGE) -> Iterator[None]:
    mount(folder, size)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def used(folder: Path) -> int:
    return shutil.disk_usage(folder).used


class FullDisk:
    def __init__(self, place: Workplace, disk: Path, tally: Tally) -> None:
        self.place, self.disk, self.tally, self.note = place, disk, tally, tally.note
        self.draw = random.Random(tally.seed)

    def judge(self, what: str, ended: Ended) -> None:
        self.tally.count(what.partition(",")[0] + (": full" if ended.code else ": fitted"))
        self.note(what, "" if ended.well else f"exit code {ended.code}: {ended.last_line}", self.place.output)
        self.note(what, "; ".join(corrupt_files(self.disk / "run")))

    def finish(self, job: Job, what: str) -> None:
        ended = run(job.words, self.place.output)
        self.note(
            what,
            "" if ended.code == 0 else f"with space again, exit code {ended.code}: {ended.last_line}",
            self.place.output,
        )
        if ended.code == 0:
            self.note(what, ", ".join(job.check()))

    def on_small_disks(self, job: Job, times: int) -> None:
        with disk_of(self.disk):
            job.begin()
            before = used(self.disk)
            self.place.must(job.words)
            after = used(self.disk)
        for _ in range(times):
            size = before + 65536 + int(self.draw.uniform(0, 1.1) * (after - before))
            what = f"{job.name}, on a disk of {size / 1e6:.2f} MB"
            with disk_of(self.disk):
                job.begin()
                mount(self.disk, str(size), "remount")
                self.judge(what, run(job.words, self.place.output))
                mount(self.disk, LARGE, "remount")
                self.finish(job, what)

    def by_injection(self, job: Job, times: int) -> None:
        log = self.place.folder / "events.txt"
        self.begin_anew(job)
        run(job.words, self.place.output, lambda: FileEvents(self.disk, log).install())
        writes = [moment for moment in read_moments(log) if moment.kind.startswith(("write", "append"))]
        for moment in self.draw.sample(writes, min(times, len(writes))):
            self.begin_anew(job)
            what = f"{job.name}, at {moment.kind}"

            def install(at: Moment = moment) -> None:
                FileEvents(self.disk, log, at, disk_full).install()

            self.judge(what, run(job.words, self.place.output, install))
            self.finish(job, what)

    def begin_anew(self, job: Job) -> None:
        shutil.rmtree(self.disk)
        self.disk.mkdir()
        job.begin()


def campaign(place: Workplace, tally: Tally, whole: bool) -> None:
    disk = place.folder / "disk"
    mounts = can_mount(disk)
    tally.facts["how"] = TMPFS if mounts else INJECTED
    full = FullDisk(place, disk, tally)
    every = [fit_job(place, disk, "convnet"), fit_job(place, disk, "alexnet"), *other_jobs(place, disk, NETS)]
    for job in every if whole else other_jobs(place, disk, ("convnet",))[-1:]:
        one = full.on_small_disks if mounts else full.by_injection
        one(job, 5 if whole else 1)
