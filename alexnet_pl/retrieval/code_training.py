"""Training of short binary codes (§7.1; §6.1 of 2012): retrieval "could be made efficient by training an auto-encoder
to compress these vectors to short binary codes".

The auto-encoder follows Krizhevsky & Hinton (2011), the paper's reference, and is trained by squared error, to which
`codes.neighbors` adds a loss for retrieval. Theirs has logistic units and is pre-trained layer by layer as a belief
network; here hidden units are ReLUs and all layers are trained together.
"""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from omegaconf import DictConfig
from torch import Tensor
from torchmetrics import MeanMetric

from alexnet_pl.config.migration import SCHEMA
from alexnet_pl.config.options import CodeOptions, make_code_options
from alexnet_pl.config.schema import instantiate
from alexnet_pl.data.loading.items import ItemDataModule, RowLoader
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trainer import make_trainer
from alexnet_pl.experiment.trainer_checks import count_epochs
from alexnet_pl.models.autoencoder import BLOCK, AutoEncoder
from alexnet_pl.retrieval.codebook import check_code_source
from alexnet_pl.retrieval.features import Features, features_dir
from alexnet_pl.retrieval.neighbor_loss import neighbor_loss
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_checks import check_compatible
from alexnet_pl.runs.records import StoreIdentity
from alexnet_pl.training.adam_module import AdamModule
from alexnet_pl.training.callbacks.monitoring import TrainingLosses


def measure_statistics(features: Features) -> tuple[np.ndarray, float]:
    """Mean, (width,) float32, and square root of the mean variance, computed in one pass."""
    total, squares = np.zeros(features.width), np.zeros(features.width)
    for start in range(0, len(features), BLOCK):
        block = features.values[start : start + BLOCK].astype(np.float64)
        total, squares = total + block.sum(0), squares + np.square(block).sum(0)
    mean = total / len(features)
    variance = np.maximum(squares / len(features) - mean**2, 0)
    return mean.astype(np.float32), float(np.sqrt(variance.mean()))


class CodeLearner(AdamModule):
    """LightningModule that trains an auto-encoder.

    `source`: identity of the features (`Features.identity`), saved in checkpoints so that the codes are used with the
    same features only. `neighbors`: weight of the neighbor loss, which is added to the reconstruction error.
    """

    fused = True

    def __init__(
        self,
        net: AutoEncoder,
        switches: dict[str, object],
        source: dict[str, object],
        neighbors: float = 0.0,
        lr: float = 0.001,
        epochs: int = 1,
    ) -> None:
        super().__init__(lr, epochs)
        self.net, self.switches, self.source = net, switches, source
        self.neighbors, self.val_loss = neighbors, MeanMetric()

    def on_fit_start(self) -> None:
        super().on_fit_start()
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        batch, processes = min(data.batch_size, len(data.features["train"])), self.trainer.world_size
        if self.neighbors and batch % processes:
            raise UserError(
                f"codes.neighbors: a batch of all {batch} training images does not divide by {processes} processes; "
                "fit with fewer trainer.devices"
            )

    def training_step(self, vectors: Tensor, index: int) -> Tensor:
        errors, codes = self.net(vectors)
        loss = mean_error(errors)
        if self.neighbors:
            loss = loss + self.neighbors * self.batch_neighbor_loss(vectors, codes)
        return self.keep_losses({"loss": loss})

    def batch_neighbor_loss(self, vectors: Tensor, codes: Tensor) -> Tensor:
        """Neighbor loss of this process's vectors among those of all processes' batches."""
        if self.trainer.world_size == 1:
            return neighbor_loss(vectors, codes, (vectors, codes))
        all_vectors: Any = self.all_gather(vectors)  # (processes, N, width)
        all_codes: Any = self.all_gather(codes, sync_grads=True)
        others = all_vectors.flatten(0, 1), all_codes.flatten(0, 1)
        return neighbor_loss(vectors, codes, others, self.global_rank * len(vectors))

    def validation_step(self, vectors: Tensor, index: int) -> None:
        self.val_loss.update(mean_error(self.net(vectors)[0]), len(vectors))
        self.log("val/loss", self.val_loss, prog_bar=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.check_finite()
        record = {"schema": SCHEMA, "switches": self.switches, "course": self.course, "source": self.source}
        checkpoint["alexnet_pl"] = record


def mean_error(errors: Tensor) -> Tensor:
    """Mean of the vectors' errors; 0 for a process without a vector, in a smaller batch than processes."""
    return errors.mean() if len(errors) else errors.sum()


class FeatureDataModule(ItemDataModule):
    """LightningDataModule of feature vectors for training and validation."""

    def __init__(self, train: Features, val: Features, batch_size: int, seed: int = 0) -> None:
        super().__init__(batch_size, seed)
        self.features = {"train": train, "val": val}

    @property
    def store(self) -> StoreIdentity:
        """Store of the images whose features these are."""
        return self.features["train"].info.dataset

    def make_loader(self, split: str, training: bool) -> RowLoader:
        features = self.features[split]

        def read_rows(numbers: np.ndarray) -> Tensor:
            return torch.from_numpy(features.rows(numbers))

        return RowLoader(len(features), read_rows, self.batch_size, self.seed, training, *self.rank_and_world)


def open_features(options: CodeOptions, layer: str) -> tuple[Features, Features]:
    """Open the features of the training images and of the test (or validation) images of a run.

    Raises UserError if they do not exist or are not of the same checkpoint and layer.
    """
    run = Path(options.features)
    if not run.is_dir():
        raise UserError(f"codes.features: {run} does not exist; give the run folder of a network after `features`")
    train = Features(features_dir(run, "train", layer))
    other_splits = sorted(path.name for path in (run / "features").glob(f"*-{layer}") if path.name != f"train-{layer}")
    if not other_splits:
        raise UserError(f"codes.features: {run}/features has {layer} of the training images only; run `features` again")
    tested = Features(run / "features" / ("test-" + layer if f"test-{layer}" in other_splits else other_splits[-1]))
    train.check_comparable(tested)
    return train, tested


def build_codes(cfg: DictConfig, folder: Path) -> tuple[L.Trainer, CodeLearner, FeatureDataModule]:
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    options = make_code_options(cfg)
    train, tested = open_features(options, options.layer)
    net = instantiate(AutoEncoder, {k: v for k, v in options.net.items() if k != "layer"}, "codes", width=train.width)
    switches = {"codes": {**options.net, "width": train.width}}
    arguments = {"net": net, "switches": switches, "source": train.identity, "epochs": count_epochs(cfg)}
    arguments["neighbors"] = options.neighbors
    module = instantiate(CodeLearner, cfg.optim, "optim", **arguments)
    check_compatible(cfg.ckpt_path, switches)
    if cfg.ckpt_path:
        check_code_source(cfg.ckpt_path, read_checkpoint(cfg.ckpt_path)["alexnet_pl"], train)
    callbacks = [LearningRateMonitor(logging_interval="epoch"), TrainingLosses()]
    return make_trainer(cfg, folder, callbacks), module, FeatureDataModule(train, tested, cfg.data.batch_size, cfg.seed)
