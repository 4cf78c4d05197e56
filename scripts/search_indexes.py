"""Cost and recall of `retrieval.index=ivf` and `hnsw` beside the exact search; prints a table in Markdown.

    python scripts/search_indexes.py RUN  # after `alexnet_pl features RUN`; builds both indexes in a temporary folder

Processor times of one core, which other programs do not change, relative to the exact search of one image. The queries
are up to 500 images of the tested split.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from tabulate import tabulate

from alexnet_pl.retrieval.code_evaluation import overlap
from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.search import INDEXES, ApproximateIndex, find_nearest

QUERIES, RANK = 500, 10
HEADER = ["`retrieval.index`", f"recall at {RANK}, %", "one image", f"{QUERIES} images", "to build", "to open"]


def timed(work: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """(result, seconds of processor time)."""
    start = time.process_time()
    return work(*args), time.process_time() - start


def measure(features: Features, queries: np.ndarray) -> list[list[str]]:
    exact, unit, rows = None, 0.0, []
    for kind in INDEXES:
        built = opened = 0.0
        indexes: dict[str, ApproximateIndex] = {}
        if kind != "flat":
            _, built = timed(ApproximateIndex, features, kind)
            indexes[kind], opened = timed(ApproximateIndex, features, kind)
        ones = [timed(find_nearest, features, queries[i : i + 1], RANK, kind, indexes) for i in range(3)]
        found, many = timed(find_nearest, features, queries, RANK, kind, indexes)
        exact, unit = (found, min(one for _, one in ones)) if exact is None else (exact, unit)
        recall = 100 * overlap(found.numbers, exact.numbers).mean()
        times = min(one for _, one in ones), many, built, opened
        rows.append([kind, f"{recall:.1f}", *(f"{seconds / unit:.3g}" for seconds in times)])
        print(f"{kind}: {times[0]:.4f} s for one image", file=sys.stderr, flush=True)
    return rows


def main(run: Path) -> None:
    faiss.omp_set_num_threads(1)
    saved = Features(run / "features/train-fc7")
    tested = next(run.glob("features/[!t]*-fc7"), run / "features/test-fc7")
    queries = np.asarray(Features(tested).values)
    queries = queries[np.linspace(0, len(queries) - 1, min(QUERIES, len(queries))).astype(int)]
    with tempfile.TemporaryDirectory() as folder:
        for path in set(saved.folder.iterdir()) - set(saved.folder.glob("*.faiss")):
            (Path(folder) / path.name).symlink_to(path.resolve())
        features = Features(Path(folder))
        print(f"{len(queries)} queries among {len(features):,} images, {features.width:,} numbers each\n", flush=True)
        print(tabulate(measure(features, queries), HEADER, "github", disable_numparse=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
