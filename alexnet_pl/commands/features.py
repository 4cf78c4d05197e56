"""`features` and `retrieve`: fc7 features of a split, and nearest images by them (§7.1, Figure 4 right)."""

import csv
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from alexnet_pl.config import options
from alexnet_pl.config.options import RetrievalOptions, make_retrieval_options
from alexnet_pl.console import print_message
from alexnet_pl.errors import UserError
from alexnet_pl.experiment import build, predict, processes
from alexnet_pl.reporting.tables import Table, print_table
from alexnet_pl.retrieval import gallery, search
from alexnet_pl.retrieval.codebook import open_codes
from alexnet_pl.retrieval.features import Features, Share, features_dir
from alexnet_pl.retrieval.gallery import ImageIndex
from alexnet_pl.retrieval.search import Neighbors

SHOWN = 20  # queries on the console; the file holds all


def features(cfg: DictConfig, folder: Path) -> None:
    data = build.make_data(cfg)
    wanted = options.make_feature_options(cfg).split
    splits = [wanted] if wanted else ["train", data.test_split_name]
    for split in splits:
        data.store.split(split)  # before the first is begun
    fabric = processes.launch(cfg, folder)
    share = Share(fabric.global_rank, fabric.world_size, fabric.barrier)
    extractor = gallery.make_extractor(cfg, fabric.device)
    for split in splits:
        began = time.perf_counter()
        found, made = gallery.extract_features(cfg, folder, split, extractor, share)
        rate = f", {len(found) / (time.perf_counter() - began):,.0f} images/s" if made else ", made before"
        size = f"{found.values.nbytes / 1e6:,.0f} MB"
        print_message(
            f"{len(found):,} {split} images, {found.width:,} numbers each ({extractor.layer}), {size}{rate}",
            found.folder,
        )


def retrieve(cfg: DictConfig, folder: Path) -> None:
    """Nearest images of `predict.images`, or, without these, of every image of the test split."""
    options = make_retrieval_options(cfg)
    there = ImageIndex(cfg, folder, options.split)
    names, queries, labels = query_images(cfg, there) if cfg.predict.images else tested_images(cfg, there, folder)
    own = np.arange(len(queries)) if labels is not None and names is there.features.names else None
    found = find_neighbors(options, there, queries, own)
    facts = {**asdict(options), "among": there.features.identity}
    path = write_neighbors(folder / "retrieval", names, found, there, facts)
    print_table([neighbors_table(names, found, there)])
    right = precision(found, there.features, labels) if labels is not None else None
    said = f", {100 * right:.2f} % of the neighbours of the query's class" if right is not None else ""
    print_message(
        f"{len(names):,} queries among {len(there.features):,} {options.split} images, {options.k} neighbours each, "
        f"{found.queries_per_second:,.1f} queries/s{said}",
        path,
    )


def find_neighbors(
    options: RetrievalOptions, there: ImageIndex, queries: np.ndarray, own: np.ndarray | None
) -> Neighbors:
    if options.codes:
        return open_codes(options.codes, there.features).nearest(queries, options.k, own)
    extra: dict[str, Any] = {"per_file": options.per_file} if options.per_file else {}
    return search.find_nearest(there.features, queries, options.k, options.index, own=own, **extra)


def query_images(cfg: DictConfig, there: ImageIndex) -> tuple[list[str], np.ndarray, None]:
    paths = predict.find_images(cfg.predict.images)
    names, found, unread = [], [], {}
    for start in range(0, len(paths), predict.BATCH):
        size = there.extractor.module.augment.size
        good, squares, bad = predict.read_squares(paths[start : start + predict.BATCH], size, cfg.prepare.filter)
        unread |= bad
        if good:
            names += map(str, good)
            found.append(there.embed(squares))
    for path, reason in unread.items():
        print(f"not read: {path} ({reason})")
    if not found:
        raise UserError(f"predict.images: none of {len(unread)} could be read")
    return names, np.concatenate(found), None


def tested_images(cfg: DictConfig, there: ImageIndex, folder: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    split = build.make_data(cfg).test_split_name
    queries = (
        there.features if split == there.split_name else Features(features_dir(folder, split, there.extractor.layer))
    )
    there.features.check_comparable(queries)
    return queries.names, np.asarray(queries.values), queries.labels


def precision(found: Neighbors, features: Features, labels: np.ndarray) -> float | None:
    """The mean share of neighbours of the query's own class; None where a label is not known."""
    if (labels < 0).any() or (features.labels < 0).any():
        return None
    right = (features.labels[found.numbers] == labels[:, None]) & (found.numbers >= 0)
    return float(right.sum() / (found.numbers >= 0).sum())


def write_neighbors(folder: Path, names: list[str], found: Neighbors, there: ImageIndex, facts: dict[str, Any]) -> Path:
    """neighbours.csv, a line a neighbour, and retrieval.json: among what, and how fast."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "neighbours.csv"
    with path.open("w", newline="", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(["query", "rank", "image", "class", "name", "distance"])
        for name, numbers, distances in zip(names, found.numbers, found.distances, strict=True):
            for rank, (number, distance) in enumerate(zip(numbers, distances, strict=True), 1):
                if number >= 0:
                    label = there.classes[there.features.labels[number]]
                    writer.writerow([name, rank, there.features.names[number], *label, f"{distance:.4f}"])
    speed = {"queries": len(names), "queries_per_second": found.queries_per_second, "threads": torch.get_num_threads()}
    (folder / "retrieval.json").write_text(json.dumps({**facts, **speed}, indent=1) + "\n")
    return path


def neighbors_table(names: list[str], found: Neighbors, there: ImageIndex) -> Table:
    rows = []
    for name, numbers, distances in list(zip(names, found.numbers, found.distances, strict=True))[:SHOWN]:
        near = [
            f"{there.classes[there.features.labels[number]][1]} {distance:.1f}"
            for number, distance in zip(numbers, distances, strict=True)
            if number >= 0
        ]
        rows.append([Path(name).name, ", ".join(near)])
    more = (f"… and {len(names) - SHOWN:,} more",) if len(names) > SHOWN else ()
    return Table("Nearest images: class and distance", ["query", "nearest first"], rows, more)
