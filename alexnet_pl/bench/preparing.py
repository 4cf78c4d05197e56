"""`bench prepare`: making a store, beside Pillow in as many processes and beside decoding and resizing alone."""

import contextlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image

from alexnet_pl.bench import pillow
from alexnet_pl.bench.rounds import Job, Rate, interleaved, machine
from alexnet_pl.data import demo
from alexnet_pl.data.crew import one_image_a_worker
from alexnet_pl.data.decode import decode, read, square
from alexnet_pl.data.encoding import Encoding
from alexnet_pl.data.folders import is_image, read_folders
from alexnet_pl.data.prepare import prepare
from alexnet_pl.data.settings import Settings
from alexnet_pl.errors import UserError

IMAGES = 4096  # of one measurement, seconds long; fewer photographs are gone through several times
SETS = {"ILSVRC-2012": 1_431_167, "Fall 2011": 14_197_122}  # images, of all splits
CORES = (2, 16, 64)
SIZE = 256


def measure(source: Path | None, rounds: int) -> dict[str, Any]:
    """Rates of each way to prepare the photographs below `source`, and what follows from them."""
    one_image_a_worker()
    told = machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree(photographs(source, folder), folder / "tree", IMAGES)
        workers = told["cores"]
        with contenders(folder, workers) as jobs:
            rates = interleaved(jobs, rounds)
        peak = peak_memory(folder)
    return {
        "stage": "prepare",
        "machine": told,
        "photographs": f"{source.name}/" if source else "drawn, 500 × 375",
        "images": IMAGES,
        "workers": workers,
        "images_per_second": {name: rate._asdict() for name, rate in rates.items()},
        "ratios": ratios(rates),
        "peak_memory_gb": peak,
        "hours": hours(rates["prepare, raw"].median / workers),
    }


def photographs(source: Path | None, folder: Path) -> list[Path]:
    if source is None:
        return [drawn(folder / f"{number}.JPEG", number) for number in range(64)]
    found = sorted(path for path in source.rglob("*") if is_image(path))[:IMAGES]
    if not found:
        raise UserError(f"prepare.source: {source} holds no images to measure with; leave it out to have some drawn")
    return found


def drawn(path: Path, number: int) -> Path:
    """As large as ImageNet's usual photograph."""
    image = demo.draw(number, 500)[0][:, :375].transpose(1, 2, 0)
    Image.fromarray(image).save(path, quality=92, subsampling="4:4:4")
    return path


def tree(found: list[Path], root: Path, images: int, classes: int = 1) -> None:
    """Class folders of links to the photographs, dealt out in turn."""
    for split in ("train", "val"):
        for name in range(classes):
            (root / split / str(name)).mkdir(parents=True)
    for number, path in enumerate(islice(cycle(found), images)):
        (root / "train" / str(number % classes) / f"{number:06d}{path.suffix}").symlink_to(path.absolute())
    for number, path in enumerate(islice(cycle(found), classes)):
        (root / "val" / str(number) / f"0{path.suffix}").symlink_to(path.absolute())


@contextlib.contextmanager
def contenders(folder: Path, workers: int) -> Iterator[dict[str, Job]]:
    paths = sorted((folder / "tree/train/0").iterdir())
    shares = [paths[worker::workers] for worker in range(workers)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as processes, ThreadPoolExecutor(workers) as threads:
        yield {
            f"Pillow, {workers} processes": lambda: sum(processes.map(partial(pillow.count, size=SIZE), shares)),
            "decode + resize alone": lambda: sum(threads.map(squares, shares)),
            "prepare, raw": lambda: made(folder, Encoding()),
            "prepare, jpeg": lambda: made(folder, Encoding("jpeg")),
        }


def squares(paths: list[Path]) -> int:
    return sum(len(square(decode(path.read_bytes())[0], SIZE, "bilinear")) > 0 for path in paths)


def made(folder: Path, encoding: Encoding) -> int:
    """A whole store: listed, read, decoded, resized, summed, encoded, hashed, written, synced."""
    with tempfile.TemporaryDirectory(dir=folder) as name, contextlib.redirect_stdout(io.StringIO()):
        settings = Settings("bench", SIZE, {}, encoding, shard=128)
        source = read_folders(folder / "tree", {})
        about = prepare(source, Path(name) / "store", settings, partial(read, size=SIZE, how="bilinear"))
    assert about is not None
    return about["splits"]["train"]["records"]


def peak_memory(folder: Path) -> float:
    """Of the command with two workers, all processes together, in GB; a page that several share counts once."""
    words = ["prepare", "-c", "imagenette", f"prepare.source={folder / 'tree'}", f"data.root={folder / 'store'}"]
    command = [sys.executable, "-m", "alexnet_pl", *words, "prepare.workers=2", "prepare.images_per_shard=128"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, sum(map(memory, family(process.pid))))
        time.sleep(0.05)
    return peak


def family(pid: int) -> list[int]:
    """A process and all that it has begun."""
    with contextlib.suppress(OSError):  # one may end while it is looked at
        found = (path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children"))
        return [pid, *(each for children in found for child in children for each in family(int(child)))]
    return [pid]


def memory(pid: int) -> float:
    """Its share of the pages that it uses, in GB."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("Pss:")), 0.0)
    return 0.0


def ratios(rates: dict[str, Rate]) -> dict[str, float]:
    named = {name.partition(",")[0] if name.startswith("Pillow") else name: rate.median for name, rate in rates.items()}
    alone = named["decode + resize alone"]
    return {
        f"{name} / {other}": named[name] / named[other]
        for name in ("prepare, raw", "prepare, jpeg")
        for other in ("Pillow", "decode + resize alone")
    } | {"decode + resize alone / Pillow": alone / named["Pillow"]}


def hours(rate: float) -> dict[str, dict[str, float]]:
    """If the rate a core stays what it is here, and the disks keep up."""
    return {name: {str(cores): images / rate / cores / 3600 for cores in CORES} for name, images in SETS.items()}
