"""`retrieve`: images with the nearest features (§7.1, Figure 4 right)."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from alexnet_pl.config.options import RetrievalOptions, make_retrieval_options
from alexnet_pl.console import print_message
from alexnet_pl.csv_file import write_csv
from alexnet_pl.errors import UserError
from alexnet_pl.experiment import build, predict
from alexnet_pl.json_records import write_json
from alexnet_pl.retrieval import search
from alexnet_pl.retrieval.codebook import open_codes
from alexnet_pl.retrieval.features import Features, features_dir
from alexnet_pl.retrieval.gallery import ImageIndex
from alexnet_pl.retrieval.search import Neighbors
from alexnet_pl.runs.checkpoint_metadata import resizing_filter
from alexnet_pl.table import Table, note_rest, print_tables

Query = tuple[str, str, str]
"""File or name of an image, id and name of its class; the class of a user's image is not known and empty."""
SHOWN = 20  # queries printed to the console; the file holds all


def retrieve(cfg: DictConfig, folder: Path) -> None:
    """Find the nearest images of `predict.images`, or of every image of the test split if it is empty."""
    options = make_retrieval_options(cfg)
    index = ImageIndex(cfg, folder, options.split)
    names, vectors, labels = query_images(cfg, index) if cfg.predict.images else tested_images(cfg, index, folder)
    own = np.arange(len(vectors)) if labels is not None and names is index.features.names else None
    neighbors = find_neighbors(options, index, vectors, own)
    query_labels = np.full(len(names), -1) if labels is None else labels
    metadata = {**asdict(options), "among": index.features.identity}
    queries = [(name, *class_of(index, label)) for name, label in zip(names, query_labels, strict=True)]
    path = write_neighbors(folder / "retrieval", queries, neighbors, index, metadata)
    print_tables([neighbors_table(queries, neighbors, index)])
    own_class = share_of_class(neighbors, index.features, labels) if labels is not None else None
    share_text = f", {100 * own_class:.2f} % of the neighbors of the query's class" if own_class is not None else ""
    print_message(
        f"{len(names):,} {'query' if len(names) == 1 else 'queries'} among {len(index.features):,} {options.split} "
        f"images, {options.k} neighbors each, "
        f"found in {neighbors.seconds:,.1f} s{share_text}",
        path,
    )


def find_neighbors(
    options: RetrievalOptions, index: ImageIndex, queries: np.ndarray, own: np.ndarray | None
) -> Neighbors:
    if options.codes:
        check_codes_alone(options)
        return open_codes(options.codes, index.features).nearest(queries, options.k, own)
    extra: dict[str, Any] = {"per_file": options.per_file} if options.per_file else {}
    if options.index == "flat":
        extra["show"] = True  # all images of a split, compared with a million, take an hour
    return search.find_nearest(index.features, queries, options.k, options.index, own=own, **extra)


def check_codes_alone(options: RetrievalOptions) -> None:
    """Raise UserError for options of a search by features, which a search by codes would not use."""
    if options.index != "flat":
        raise UserError(f"retrieval.index={options.index}: not with retrieval.codes, which compares all codes")
    if options.per_file:
        raise UserError("retrieval.per_file: not with retrieval.codes")


def query_images(cfg: DictConfig, index: ImageIndex) -> tuple[list[str], np.ndarray, None]:
    paths = predict.find_images(cfg.predict.images)
    module, names, embedded = index.extractor.module, [], []
    shape = predict.make_square(module.augment.size, resizing_filter(module.filter, cfg))
    for read, images in predict.read_batches(paths, shape):
        names += map(str, read)
        embedded.append(index.embed(torch.stack(images)))
    return names, np.concatenate(embedded), None


def tested_images(cfg: DictConfig, index: ImageIndex, folder: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    split = build.make_data(cfg).test_split_name
    queries = (
        index.features if split == index.split_name else Features(features_dir(folder, split, index.extractor.layer))
    )
    index.features.check_comparable(queries)
    return queries.names, np.asarray(queries.values), queries.labels


def share_of_class(neighbors: Neighbors, features: Features, labels: np.ndarray) -> float | None:
    """Fraction of neighbors with the query's class; None if a label is unknown."""
    if (labels < 0).any() or (features.labels < 0).any():
        return None
    own_class = (features.labels[neighbors.numbers] == labels[:, None]) & (neighbors.numbers >= 0)
    return float(own_class.sum() / (neighbors.numbers >= 0).sum())


def write_neighbors(
    folder: Path, queries: Sequence[Query], neighbors: Neighbors, index: ImageIndex, metadata: dict[str, object]
) -> Path:
    """Write neighbors.csv, one line per neighbor, and retrieval.json: options, images, queries per second."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "neighbors.csv"
    header = ["query", "rank", "image", "class", "name", "distance", "query_class", "query_name"]
    write_csv(path, header, neighbor_rows(queries, neighbors, index))
    speed = {
        "queries": len(queries),
        "queries_per_second": neighbors.queries_per_second,
        "threads": torch.get_num_threads(),
    }
    write_json(folder / "retrieval.json", {**metadata, **speed})
    return path


def neighbor_rows(queries: Sequence[Query], neighbors: Neighbors, index: ImageIndex) -> Iterator[list[object]]:
    """Rows of neighbors.csv, nearest first; fewer than `k` of a query if the index found no more."""
    for query, numbers, distances in zip(queries, neighbors.numbers, neighbors.distances, strict=True):
        for rank, (number, distance) in enumerate(zip(numbers, distances, strict=True), 1):
            if number >= 0:
                image, of_image = index.features.names[number], class_of(index, index.features.labels[number])
                yield [query[0], rank, image, *of_image, f"{distance:.4f}", *query[1:]]


def class_of(index: ImageIndex, label: int) -> tuple[str, str]:
    """(id, name) of the class with a label; empty for -1, a label that is not known."""
    identity, name = index.classes[label] if label >= 0 else ("", "")
    return identity, name


def neighbors_table(queries: Sequence[Query], neighbors: Neighbors, index: ImageIndex) -> Table:
    if len(queries) == 1:
        found = neighbor_rows(queries, neighbors, index)
        shown = [[str(image), str(name), str(distance)] for _, _, image, _, name, distance, *_ in found]
        title = f"Nearest images to {Path(queries[0][0]).name}"
        return Table(title, ["image", "class", "distance"], shown[:SHOWN], note_rest(len(shown), SHOWN))
    rows = []
    for query, numbers, distances in list(zip(queries, neighbors.numbers, neighbors.distances, strict=True))[:SHOWN]:
        near = [
            f"{class_of(index, index.features.labels[number])[1]} {distance:.1f}".strip()
            for number, distance in zip(numbers, distances, strict=True)
            if number >= 0
        ]
        name, _, of_query = query
        rows.append([", ".join(filter(None, (Path(name).name, of_query))), ", ".join(near)])
    notes = note_rest(len(queries), SHOWN)
    return Table("Nearest images: class and distance", ["query", "nearest first"], rows, notes)
