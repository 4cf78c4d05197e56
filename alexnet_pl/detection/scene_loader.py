"""SceneLoader (§5): batches of whole images with their boxes for training a detector."""

from collections.abc import Iterator
from typing import NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor

from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.boxes.geometry import flip_boxes
from alexnet_pl.data.loading.loaders import EpochPosition, epoch_order
from alexnet_pl.data.store.store import Store
from alexnet_pl.data.store.whole import WholeSplit
from alexnet_pl.files import JsonObject


class TrainingScene(NamedTuple):
    """A training image at `scale`, a row of Table 5. `negatives`: whether windows without a box are background, because
    all objects, or all of the image's classes, are annotated."""

    image: Tensor  # (3, H, W) uint8
    boxes: Tensor  # (N, 4) float32, in its pixels
    labels: Tensor  # (N,) int64, −1 for an object of no class
    negatives: bool
    scale: int
    number: int


def read_scene(split: WholeSplit, number: int, scale: int, flipped: bool) -> TrainingScene:
    image, boxes = split.image(number), split.boxes(number)
    if flipped:
        image, boxes = image.flip(2), flip_boxes(boxes, image.shape[2])
    coverage = split.coverage[number]
    complete = coverage == Coverage.ALL or (coverage == Coverage.PARTIAL and len(boxes) > 0)
    return TrainingScene(image, boxes, split.box_labels(number), bool(complete), scale, number)


class SceneLoader(EpochPosition):
    """Batches of scenes. In training, a new random order each epoch, a random scale per batch, and a reflection with
    probability 1/2 per image; otherwise in order, at the first scale.

    Random choices are a function of (seed, epoch, batch). With several devices, each takes its share of every batch.
    """

    def __init__(
        self,
        split: WholeSplit,
        options: BoxOptions,
        batch_size: int,
        seed: int,
        training: bool,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__()
        self.split, self.options, self.batch_size, self.seed, self.training = split, options, batch_size, seed, training
        self.share = slice(rank, None, world)
        self.batches = max(1, len(split) // batch_size) if training else -(-len(split) // batch_size)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[TrainingScene]]:
        if self.training:
            self.start_epoch()
        count = len(self.split)
        order = epoch_order(count, self.seed, self.epoch) if self.training else np.arange(count)
        for i in range(self.batches_done if self.training else 0, self.batches):
            self.batches_done = i + 1
            numbers = order[i * self.batch_size : (i + 1) * self.batch_size]
            scale, flips = self.random_scale_and_flips(i, len(numbers))
            pairs = zip(numbers[self.share].tolist(), flips[self.share].tolist(), strict=True)
            yield [read_scene(self.split, number, scale, flipped) for number, flipped in pairs]

    def random_scale_and_flips(self, batch: int, count: int) -> tuple[int, np.ndarray]:
        """Scale of a batch, and (count,) bool: the images to reflect."""
        if not self.training:
            return self.options.scales[0], np.zeros(count, bool)
        generator = np.random.Generator(np.random.Philox(key=[self.seed, self.epoch], counter=[0, 0, batch, 4]))
        flips = generator.random(count) < 0.5
        return int(generator.choice(self.options.scales)), flips & self.options.flip


class SceneData(L.LightningDataModule):
    """Scenes of the store's training and validation images."""

    def __init__(self, store: Store, options: BoxOptions, batch_size: int, seed: int) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: at least 1")
        self.store, self.options, self.batch_size, self.seed = store, options, batch_size, seed
        self.loader: SceneLoader | None = None
        self.position: dict[str, int] | None = None

    def make_loader(self, split: str, training: bool) -> SceneLoader:
        assert self.trainer is not None
        rank_and_world = self.trainer.global_rank, self.trainer.world_size
        return SceneLoader(self.store.whole(split), self.options, self.batch_size, self.seed, training, *rank_and_world)

    def train_dataloader(self) -> SceneLoader:
        self.loader = self.make_loader("train", True)
        if self.position is not None:
            self.loader.load_state_dict(self.position)
        return self.loader

    def val_dataloader(self) -> SceneLoader:
        return self.make_loader("val", False)

    def state_dict(self) -> JsonObject:
        return {"position": self.loader.state_dict() if self.loader else None}

    def load_state_dict(self, state_dict: JsonObject) -> None:
        self.position = state_dict["position"]


def numpy_boxes(scene: TrainingScene) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) float64 and labels (N,) of a scene."""
    return scene.boxes.cpu().to(torch.float64).numpy(), scene.labels.cpu().numpy()
