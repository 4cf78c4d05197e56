"""Made-up feature files for tests of retrieval and codes."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_pl.retrieval.features import Features

IMAGES, WIDTH = 300, 24


def make_features(folder: Path, values: np.ndarray, labels: np.ndarray | None = None, **about: Any) -> Features:
    """Complete features of an untrained network."""
    folder.mkdir(parents=True)
    split, _, layer = folder.name.rpartition("-")
    np.save(folder / "features.npy", values.astype(np.float16))
    np.save(folder / "labels.npy", np.zeros(len(values), np.int64) if labels is None else labels)
    (folder / "names.jsonl").write_text("".join(f'"{split}/{i:04d}.jpg"\n' for i in range(len(values))))
    facts = {
        "layer": layer,
        "width": values.shape[1],
        "images": len(values),
        "precision": "32-true",
        "dataset": {"name": "tiny", "fingerprint": "f" * 64, "split": split, "images": len(values), "classes": 10}
        | {"train_images": 160},
        "checkpoint": {"file": "last.ckpt", "sha256": "a" * 64, "step": 12},
    }
    (folder / "about.json").write_text(json.dumps(facts | about))
    return Features(folder)


def sparse(count: int, seed: int) -> np.ndarray:
    """Vectors in which half of the numbers are 0, as after ReLU."""
    return np.random.default_rng(seed).standard_normal((count, WIDTH)).clip(0).astype(np.float16)
