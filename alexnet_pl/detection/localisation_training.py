"""Regressor training (§4.2) on cached windows: squared distance of the edges, with frozen features."""

from torch import Tensor

from alexnet_pl.data.loading.items import ItemDataModule, RowLoader
from alexnet_pl.data.store.store import Store
from alexnet_pl.detection.box_module import BoxModule, zero_loss
from alexnet_pl.detection.regressor import box_loss
from alexnet_pl.detection.window_cache import WindowCache
from alexnet_pl.detection.window_writer import WindowBatch


class RegressorModule(BoxModule):
    """Trains the regressor; the classifier below it is frozen."""

    def freeze(self) -> None:
        self.network.net.requires_grad_(False)

    def window_loss(self, batch: WindowBatch) -> Tensor:
        if not len(batch.labels):  # a smaller batch than processes
            return zero_loss(self.parameters())
        kernel, maps = self.network.window.classifier, self.network.regressor.fc1.in_channels
        outputs = self.network.regressor(batch.features.view(-1, maps, kernel, kernel))
        return box_loss(outputs.flatten(2).float(), batch.targets, batch.labels)

    def training_step(self, batch: WindowBatch, index: int) -> Tensor:
        return self.keep_losses({"loss": self.window_loss(batch)})

    def validation_step(self, batch: WindowBatch, index: int) -> None:
        self.log_val_losses({"loss": self.window_loss(batch)}, len(batch.labels))


class WindowData(ItemDataModule):
    """Cached windows of the training and validation images."""

    def __init__(self, store: Store, train: WindowCache, val: WindowCache, batch_size: int, seed: int) -> None:
        super().__init__(batch_size, seed)
        self.store, self.windows = store, {"train": train, "val": val}

    def make_loader(self, split: str, training: bool) -> RowLoader:
        windows = self.windows[split]
        return RowLoader(len(windows), windows.read_rows, self.batch_size, self.seed, training, *self.rank_and_world)
