"""Runs of short codes on made-up features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from feature_files import WIDTH, make_features, sparse
from omegaconf import DictConfig
from running import Compose

TRAIN, VAL = 160, 40
UNTRAINED = ("PCA of fc7, signs", "random projections of fc7, signs")


def make_network(folder: Path) -> Path:
    """Make a run folder with well separated features of three classes, and pixels without information."""
    chance = np.random.default_rng(5)
    centers = 3 * chance.standard_normal((3, WIDTH))
    for split, count, seed in (("train", TRAIN, 1), ("val", VAL, 2)):
        labels = np.arange(count) % 3
        make_features(folder / f"features/{split}-fc7", centers[labels] + sparse(count, seed), labels)
        none = {"file": "none", "sha256": "none", "step": 0}
        make_features(folder / f"features/{split}-pixels", sparse(count, seed + 2), labels, checkpoint=none)
    return folder


def code_config(config: Compose, network: Path) -> DictConfig:
    """Config of a short fit of codes of twelve bits."""
    keys = ("codes.bits=12", "codes.hidden=[16]", "data.batch_size=16", "trainer.max_epochs=3", "logger=csv")
    return config("codes", f"codes.features={network}", "trainer.precision=32-true", *keys)


def read_result(run: Path) -> dict[str, Any]:
    return json.loads((run / "results/val-codes/codes.json").read_text())
