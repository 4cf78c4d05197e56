"""Image index of a run for retrieval (Figure 4, right): network, features of a split, and images."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from alexnet_pl.config.options import make_feature_options
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.dataset_info import describe_dataset
from alexnet_pl.experiment import build
from alexnet_pl.experiment.trained_run import open_network, open_trained_run
from alexnet_pl.retrieval import search
from alexnet_pl.retrieval.extraction import ALONE, Share, extract_split
from alexnet_pl.retrieval.extractor import Extractor
from alexnet_pl.retrieval.features import Features, FeatureSource, features_dir
from alexnet_pl.runs.checkpoint import describe_checkpoint
from alexnet_pl.runs.records import CheckpointInfo
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.runtime.precision import choose_precision, precision_in_use, set_tf32

NO_CHECKPOINT = CheckpointInfo(file="none", sha256="none")  # of pixel features


def make_extractor(
    cfg: DictConfig, device: torch.device | None = None, layer: str | None = None, key: str = "features.layer"
) -> Extractor:
    """Load the network of `cfg.ckpt_path`, as `predict` does, for extracting features; by default on the recipe's
    device, of the layer `features.layer`. `key`: config key of another layer, for errors."""
    network = open_network(cfg)
    set_tf32(cfg)
    device = device or choose_device(cfg)
    precision_name = precision_in_use(choose_precision(cfg.trainer.precision, device.type), device.type)
    return Extractor(network, layer or make_feature_options(cfg).layer, device, precision_name, key)


def extract_features(
    cfg: DictConfig, folder: Path, split: str, extractor: Extractor, share: Share = ALONE
) -> tuple[Features, bool]:
    """Features of a split, extracted if needed: (features, whether they were extracted now).

    Each of several processes extracts its share. The first alone looks for features: NFS would remember on the other
    machines that the folders, which it then makes, do not exist.
    """
    store = build.make_data(cfg).store
    checkpoint = NO_CHECKPOINT if extractor.layer == "pixels" else describe_checkpoint(Path(cfg.ckpt_path))
    source = FeatureSource(dataset=describe_dataset(store, split), checkpoint=checkpoint)
    directory = features_dir(folder, split, extractor.layer)
    is_new = share.broadcast(share.rank == 0 and not has_features(directory, source, extractor.precision))
    if is_new:
        extractor.module.performance.apply(extractor.module.net, extractor.device)
        extract_split(directory, extractor, store.split(split), source, cfg.data.batch_size, share)
    return Features(directory), is_new


def has_features(directory: Path, source: FeatureSource, precision: str) -> bool:
    """Whether a folder has intact features of this source, computed in this precision."""
    try:
        features = Features(directory)
        _ = features.names
    except UserError:
        return False
    info = features.info
    return (info.dataset, info.checkpoint, info.precision) == (source.dataset, source.checkpoint, precision)


class ImageIndex:
    """Index of a run's images, to find those nearest to a query image.

    Raises UserError unless the features are of the checkpoint of `cfg`. The store is opened when images are needed.
    """

    def __init__(self, cfg: DictConfig, run: Path, split: str = "train") -> None:
        self.cfg, self.run = cfg, run
        self.features = Features(features_dir(run, split, make_feature_options(cfg).layer))
        if self.features.info.layer != "pixels":
            self.features.check_checkpoint(describe_checkpoint(Path(cfg.ckpt_path)))
        self.extractor = make_extractor(cfg)
        self.split_name = split
        self.approximate: dict[str, search.ApproximateIndex] = {}  # those in use, by kind

    @property
    def classes(self) -> list[list[str]]:
        return self.extractor.module.classes

    @cached_property
    def store(self) -> Store:
        """Store that the features were extracted from, opened once. Raises UserError if it was moved or changed."""
        store = build.make_data(self.cfg).store
        if store.fingerprint != self.features.info.dataset.fingerprint:
            raise UserError(
                f"data.root: the store at {store.root} is not the one that {self.features.folder} was made from"
            )
        return store

    def check_store(self) -> None:
        """Raise UserError, before a first query, if the store was moved or changed."""
        _ = self.store

    def embed(self, images: Tensor) -> np.ndarray:
        """Compute features as on disk: uint8 (N, 3, size, size) → (N, width) float16."""
        return self.extractor(images).half().cpu().numpy()

    def nearest_to_images(self, images: Tensor, k: int = 6, **options: Any) -> search.Neighbors:
        """Find the `k` images nearest to each of `images`, uint8 (N, 3, size, size) as in the store."""
        return self.nearest(self.embed(images), k, **options)

    def nearest(self, vectors: np.ndarray, k: int = 6, **options: Any) -> search.Neighbors:
        """Find the `k` images nearest to `vectors`, (N, width); options as for `search.find_nearest`."""
        return search.find_nearest(self.features, vectors, k, opened=self.approximate, **options)

    def read_images(self, numbers: np.ndarray) -> Tensor:
        """Read images of the split by their numbers: (N, 3, size, size) uint8."""
        return self.store.split(self.split_name).images(numbers)


def open_image_index(run: str | Path, split: str = "train", checkpoint: str = "last", *overrides: str) -> ImageIndex:
    """Open the image index of a run folder after `features`.

    `overrides`: such as "data.root=FOLDER" if the store was moved.
    """
    return ImageIndex(open_trained_run(Path(run), checkpoint, overrides), Path(run), split)
