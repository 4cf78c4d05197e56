"""Index of a run's images for retrieval (Figure 4, right): network, features of a split, and the images."""

from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from torch import Tensor

from alexnet_pl import runtime
from alexnet_pl.config.options import feature_options
from alexnet_pl.data.store.store import Split, Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation import predictions
from alexnet_pl.experiment import build, trained_run
from alexnet_pl.experiment.trained_run import open_trained_run
from alexnet_pl.retrieval import features, search
from alexnet_pl.retrieval.features import Extractor, Features
from alexnet_pl.runs.checkpoint import about_checkpoint, check_compatible, checkpoint_step
from alexnet_pl.runtime import precision

NO_WEIGHTS = {"file": "none", "sha256": "none", "step": 0}  # that pixels are of


def make_extractor(cfg: DictConfig) -> Extractor:
    """The network of `cfg.ckpt_path`, as `predict` loads it."""
    build.count_classes(cfg)
    module = build.make_module(cfg)
    check_compatible(cfg.ckpt_path, module.architecture)
    device = runtime.device(cfg)
    how = precision(cfg.trainer.precision, device.type)
    return Extractor(trained_run.load_module(cfg.ckpt_path, module), feature_options(cfg).layer, device, how)


def extract(cfg: DictConfig, folder: Path, split: str, extractor: Extractor) -> tuple[Features, bool]:
    """The features of a split, and whether they had to be made."""
    store = build.make_data(cfg).store
    weights = NO_WEIGHTS if extractor.layer == "pixels" else about_checkpoint(Path(cfg.ckpt_path), checkpoint_step(cfg))
    facts = {"dataset": predictions.dataset_info(store, split), "checkpoint": weights}
    where = features.features_dir(folder, split, extractor.layer)
    there = Features(where) if (where / "about.json").is_file() else None
    if there and all(there.about[key] == value for key, value in facts.items()):
        return there, False
    extractor.module.performance.apply(extractor.module.net, extractor.device)
    features.extract(where, extractor, store.split(split), facts, cfg.data.batch_size)
    return Features(where), True


class ImageIndex:
    """Index of a run's images: find the images nearest to a query.

    `features` must be of this very checkpoint; the store is opened when a picture is first asked for.
    """

    def __init__(self, cfg: DictConfig, run: Path, split: str = "train") -> None:
        self.cfg, self.run = cfg, run
        self.features = Features(features.features_dir(run, split, feature_options(cfg).layer))
        if self.features.about["layer"] != "pixels":
            self.features.check_checkpoint(about_checkpoint(Path(cfg.ckpt_path), checkpoint_step(cfg)))
        self.extractor = make_extractor(cfg)
        self.split_name = split

    @property
    def classes(self) -> list[list[str]]:
        return self.extractor.module.classes

    @property
    def images(self) -> Split:
        """The store's split that the features are of. Raises UserError where the store was moved away or changed."""
        store: Store = build.make_data(self.cfg).store
        if store.fingerprint != self.features.about["dataset"]["fingerprint"]:
            raise UserError(
                f"data.root: the store at {store.root} is not the one that {self.features.folder} was made of"
            )
        return store.split(self.split_name)

    def embed(self, images: Tensor) -> np.ndarray:
        """uint8 (N, 3, size, size) → (N, width) float16, as the features on the disk are."""
        return self.extractor(images).half().cpu().numpy()

    def nearest(self, images: Tensor, k: int = 6, **options: Any) -> search.Neighbours:
        """The `k` images most like each of `images`, uint8 (N, 3, size, size) as the store has them."""
        return self.find(self.embed(images), k, **options)

    def find(self, vectors: np.ndarray, k: int = 6, **options: Any) -> search.Neighbours:
        """The `k` images whose features are nearest to `vectors`, (N, width); options as of `retrieval.nearest`."""
        return search.nearest(self.features, vectors, k, **options)

    def images_at(self, numbers: np.ndarray) -> Tensor:
        """Images of the split by their numbers: (N, 3, size, size) uint8."""
        return self.images.images(numbers)


def open_run(run: str | Path, split: str = "train", checkpoint: str = "last", *overrides: str) -> ImageIndex:
    """A run folder after `features`; overrides such as "data.root=FOLDER" where the store lies elsewhere by now."""
    return ImageIndex(open_trained_run(Path(run), checkpoint, overrides), Path(run), split)
