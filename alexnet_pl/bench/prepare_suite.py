"""`bench prepare`: throughput of `prepare`, beside Pillow in as many processes and decoding + resizing alone."""

import contextlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from alexnet_pl.bench.fixtures import IMAGES, SIZE, find_photographs, make_tree
from alexnet_pl.bench.timing import Rate, TimedJob, describe_machine, time_interleaved
from alexnet_pl.data.images import decode, resize_center_crop
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.shard import read_square
from alexnet_pl.data.prepare.workers import configure_worker
from alexnet_pl.data.sources.image_folder import read_folders
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.json_records import JsonObject

DATASETS = {"ILSVRC-2012": 1_431_167, "Fall 2011": 14_197_122}  # images, of all splits
CORES = (2, 16, 64)
PROC = Path("/proc")


def measure_prepare(source: Path | None, rounds: int) -> JsonObject:
    """Rates of the candidates on the photographs below `source`, their ratios, and projected hours, as JSON."""
    configure_worker()
    host = describe_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tree(find_photographs(source, folder), folder / "tree", IMAGES)
        workers = host["cores"]
        with start_candidates(folder, workers) as jobs:
            rates = time_interleaved(jobs, rounds)
        peak = peak_memory(folder)
    return {
        "suite": "prepare",
        "machine": host,
        "photographs": f"{source.name}/" if source else "drawn, 500 × 375",
        "images": IMAGES,
        "workers": workers,
        "images_per_second": {name: rate._asdict() for name, rate in rates.items()},
        "ratios": rate_ratios(rates),
        "peak_memory_gb": peak,
        "hours": project_hours(rates["prepare, raw"].median / workers),
    }


@contextlib.contextmanager
def start_candidates(folder: Path, workers: int) -> Iterator[dict[str, TimedJob]]:
    paths = sorted((folder / "tree/train/0").iterdir())
    shares = [paths[worker::workers] for worker in range(workers)]
    with ProcessPoolExecutor(workers, get_context("spawn")) as processes, ThreadPoolExecutor(workers) as threads:
        yield {
            f"Pillow, {workers} processes": lambda: sum(processes.map(partial(count_squares, size=SIZE), shares)),
            "decode + resize alone": lambda: sum(threads.map(resize_all, shares)),
            "prepare, raw": lambda: prepare_store(folder, StoreEncoding()),
            "prepare, jpeg": lambda: prepare_store(folder, StoreEncoding("jpeg")),
        }


def resize_all(paths: list[Path]) -> int:
    return sum(len(resize_center_crop(decode(path.read_bytes())[0], SIZE, "bilinear")) > 0 for path in paths)


def prepare_store(folder: Path, encoding: StoreEncoding) -> int:
    """Prepare a complete store. Returns the number of training images."""
    with tempfile.TemporaryDirectory(dir=folder) as name, contextlib.redirect_stdout(io.StringIO()):
        settings = StoreSettings("bench", SIZE, {}, encoding, shard=128)
        source = read_folders(folder / "tree", {})
        about = prepare(source, Path(name) / "store", settings, partial(read_square, size=SIZE, filter_name="bilinear"))
    assert about is not None
    return about["splits"]["train"]["records"]


def peak_memory(folder: Path) -> float | None:
    """Peak memory of `prepare` with two workers in GB, over all processes; shared pages count once. None if it failed,
    and on systems that do not report it, such as macOS."""
    if not (PROC / "self/smaps_rollup").is_file():
        return None
    words = ["prepare", "-c", "imagenette", f"prepare.source={folder / 'tree'}", f"data.root={folder / 'store'}"]
    command = [sys.executable, "-m", "alexnet_pl", *words, "prepare.workers=2", "prepare.images_per_shard=128"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, sum(map(resident_share, process_tree(process.pid))))
        time.sleep(0.05)
    return None if process.returncode else peak


def process_tree(pid: int) -> list[int]:
    """Ids of a process and all its descendants."""
    with contextlib.suppress(OSError):  # a process may end meanwhile
        files = (PROC / f"{pid}/task").glob("*/children")
        children = (child for path in files for child in path.read_text(encoding="utf-8").split())
        return [pid, *(each for child in children for each in process_tree(int(child)))]
    return [pid]


def resident_share(pid: int) -> float:
    """Proportional set size of a process in GB; 0 if it has ended."""
    with contextlib.suppress(OSError):
        lines = (PROC / f"{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        return next((int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("Pss:")), 0.0)
    return 0.0


def rate_ratios(rates: dict[str, Rate]) -> dict[str, float]:
    named = {name.partition(",")[0] if name.startswith("Pillow") else name: rate.median for name, rate in rates.items()}
    decode_only = named["decode + resize alone"]
    return {
        f"{name} / {other}": named[name] / named[other]
        for name in ("prepare, raw", "prepare, jpeg")
        for other in ("Pillow", "decode + resize alone")
    } | {"decode + resize alone / Pillow": decode_only / named["Pillow"]}


def project_hours(rate: float) -> dict[str, dict[str, float]]:
    """Data set → cores → hours, assuming this rate per core and fast enough disks."""
    return {name: {str(cores): images / rate / cores / 3600 for cores in CORES} for name, images in DATASETS.items()}


def pillow_square(path: Path, size: int) -> np.ndarray:
    """Resize the shorter side to `size` (bilinear) and center-crop with Pillow: (size, size, 3) uint8."""
    with Image.open(io.BytesIO(path.read_bytes())) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    scale = size / min(width, height)
    picture = picture.resize((max(size, int(width * scale)), max(size, int(height * scale))), Image.Resampling.BILINEAR)
    left, top = (picture.width - size) // 2, (picture.height - size) // 2
    return np.asarray(picture.crop((left, top, left + size, top + size)))


def count_squares(paths: list[Path], size: int) -> int:
    return sum(len(pillow_square(path, size)) > 0 for path in paths)
