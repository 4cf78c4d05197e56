"""Whole images on their way from a store to the network, beside a copy of memory and beside other loaders."""

import importlib.util
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet_pl.bench.rounds import Job
from alexnet_pl.data.loader import permutation, stream
from alexnet_pl.data.raw import RawReader
from alexnet_pl.data.store import Split, Store

BATCH = 128
CPU = torch.device("cpu")


def feeds(folder: Path, workers: int) -> tuple[dict[str, Job], list[str]]:
    """Jobs that go through all images once, and the other loaders that could not be run, with the reason.

    `folder` holds the stores raw and jpeg, and class folders of full-size photographs/train and of 256-pixel squares.
    """
    splits = {name: Store(folder / name).split("train") for name in ("raw", "jpeg")}
    jobs: dict[str, Job] = {
        "plain copy of memory": lambda: copied(splits["raw"]),
        "ours, raw": lambda: streamed(splits["raw"]),
        "ours, jpeg": lambda: streamed(splits["jpeg"]),
        "pytorch/examples, full JPEGs": lambda: folders(folder / "photographs/train", example(), workers),
        "ImageFolder, 256-pixel JPEGs": lambda: folders(folder / "squares", small(), workers),
    }
    missing = [f"{name} (no bench of it yet)" for name in ("FFCV", "DALI")]
    for name, module, job in peers(folder, workers):
        if reason := trouble(module, job):
            missing.append(f"{name} ({reason})")
        else:
            jobs[name] = job
    return jobs, missing


def trouble(module: str, job: Job) -> str:
    """Why another loader does not run here; "" where it does."""
    if importlib.util.find_spec(module) is None:
        return "not installed"
    try:
        job()
    except Exception as error:  # whatever another program's fault may be
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def copied(split: Split) -> int:
    """As many bytes, in batches that lie in a row, from one place in memory to another."""
    room, count = np.empty((BATCH, *split.shape), np.uint8), 0
    for shard in shards_of(split):
        for start in range(0, len(shard), BATCH):
            some = shard[start : start + BATCH]
            np.copyto(room[: len(some)], some)
            count += len(some)
    return count


def streamed(split: Split) -> int:
    order = permutation(len(split), 0, 0)
    batches = (order[start : start + BATCH] for start in range(0, len(order), BATCH))
    return sum(len(labels) for _, labels in stream(split, batches, BATCH, CPU))


def folders(root: Path, transform: Callable[[Any], Any], workers: int) -> int:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    loader = DataLoader(ImageFolder(str(root), transform), BATCH, shuffle=True, num_workers=workers)
    return sum(len(labels) for _, labels in loader)


def example() -> Callable[[Any], Any]:
    """The transform of pytorch/examples' ImageNet script."""
    from torchvision import transforms

    normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalise]
    return transforms.Compose(steps)


def small() -> Callable[[Any], Any]:
    from torchvision import transforms

    return transforms.Compose([transforms.RandomCrop(224), transforms.RandomHorizontalFlip(), transforms.PILToTensor()])


def peers(folder: Path, workers: int) -> list[tuple[str, str, Job]]:
    """(name, module, job) of other loaders."""
    return [
        ("webdataset, the same JPEGs", "webdataset", lambda: webdataset(folder / "jpeg", workers)),
        ("litdata, raw", "litdata", lambda: litdata(folder / "raw", workers)),
    ]


def webdataset(root: Path, workers: int) -> int:
    """Our own shards, which are in its format."""
    import webdataset as wds  # type: ignore[import-not-found]
    from torch.utils.data import DataLoader

    paths = [str(path) for path in sorted(root.glob("train-*.tar"))]
    samples = wds.WebDataset(paths, shardshuffle=False).decode("rgb8").to_tuple("jpg", "cls")  # type: ignore[attr-defined]
    loader = DataLoader(samples, BATCH, num_workers=min(workers, len(paths)), collate_fn=list)
    return sum(len(batch) for batch in loader)


def litdata(raw: Path, workers: int) -> int:
    from litdata import StreamingDataLoader, StreamingDataset  # type: ignore[import-not-found]

    root = raw.parent / "litdata"
    if not root.exists():
        write_litdata(raw, root)
    dataset = StreamingDataset(str(root), shuffle=True)
    return sum(len(images) for images in StreamingDataLoader(dataset, batch_size=BATCH, num_workers=workers))


def write_litdata(raw: Path, root: Path) -> None:
    from litdata.streaming.writer import BinaryWriter  # type: ignore[import-not-found]

    writer = BinaryWriter(str(root), chunk_bytes="64MB")
    for index, image in enumerate(chain.from_iterable(shards_of(Store(raw).split("train")))):
        writer.add_item(index, torch.from_numpy(image.copy()))
    writer.done()
    writer.merge(1)


def shards_of(split: Split) -> list[np.ndarray]:
    assert isinstance(split.images, RawReader)
    return split.images.shards
