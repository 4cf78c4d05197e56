"""Regressor training (§4.2) on cached windows: squared distance of the edges, with frozen features."""

from collections.abc import Iterator

import lightning as L
import numpy as np
from torch import Tensor

from alexnet_pl.data.loading.loaders import EpochPosition, epoch_order
from alexnet_pl.data.store.store import Store
from alexnet_pl.detection.box_module import BoxModule
from alexnet_pl.detection.regressor import box_loss
from alexnet_pl.detection.window_cache import WindowBatch, WindowCache
from alexnet_pl.files import JsonObject


class RegressorModule(BoxModule):
    """Trains the regressor; the classifier below it is frozen."""

    def freeze(self) -> None:
        self.network.net.requires_grad_(False)

    def window_loss(self, batch: WindowBatch) -> Tensor:
        kernel, maps = self.network.window.classifier, self.network.regressor.fc1.in_channels
        answers = self.network.regressor(batch.features.view(-1, maps, kernel, kernel))
        return box_loss(answers.flatten(2).float(), batch.targets, batch.labels)

    def training_step(self, batch: WindowBatch, index: int) -> Tensor:
        loss = self.check_loss(self.window_loss(batch))
        self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def validation_step(self, batch: WindowBatch, index: int) -> None:
        self.log("val/loss", self.window_loss(batch), prog_bar=True, batch_size=len(batch.labels), sync_dist=True)


class WindowLoader(EpochPosition):
    """Batches of windows in a new random order each epoch, or, if `shuffled` is false, all windows in order.

    The order is a function of (seed, epoch). With several devices, each takes its share of every batch.
    """

    def __init__(
        self, windows: WindowCache, batch_size: int, seed: int, shuffled: bool, rank: int = 0, world: int = 1
    ) -> None:
        super().__init__()
        self.windows, self.batch_size, self.seed, self.shuffled = windows, batch_size, seed, shuffled
        self.share = slice(rank, None, world)
        self.batches = max(1, len(windows) // batch_size) if shuffled else -(-len(windows) // batch_size)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[WindowBatch]:
        if self.shuffled:
            self.start_epoch()
        count = len(self.windows)
        order = epoch_order(count, self.seed, self.epoch) if self.shuffled else np.arange(count)
        for i in range(self.batches_done if self.shuffled else 0, self.batches):
            self.batches_done = i + 1
            yield self.windows.read_rows(np.sort(order[i * self.batch_size : (i + 1) * self.batch_size][self.share]))


class WindowData(L.LightningDataModule):
    """Cached windows of the training and validation images."""

    def __init__(self, store: Store, train: WindowCache, val: WindowCache, batch_size: int, seed: int) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: at least 1")
        self.store, self.train, self.val, self.batch_size, self.seed = store, train, val, batch_size, seed
        self.loader: WindowLoader | None = None
        self.position: dict[str, int] | None = None

    def make_loader(self, windows: WindowCache, shuffled: bool) -> WindowLoader:
        assert self.trainer is not None
        rank_and_world = self.trainer.global_rank, self.trainer.world_size
        return WindowLoader(windows, self.batch_size, self.seed, shuffled, *rank_and_world)

    def train_dataloader(self) -> WindowLoader:
        self.loader = self.make_loader(self.train, True)
        if self.position is not None:
            self.loader.load_state_dict(self.position)
        return self.loader

    def val_dataloader(self) -> WindowLoader:
        return self.make_loader(self.val, False)

    def state_dict(self) -> JsonObject:
        return {"position": self.loader.state_dict() if self.loader else None}

    def load_state_dict(self, state_dict: JsonObject) -> None:
        self.position = state_dict["position"]
