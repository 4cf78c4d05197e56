"""SceneLoader (§5): batches of whole images with their boxes for training a detector."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.config.box_options import BoxOptions
from alexnet_pl.data.boxes.annotation import has_background
from alexnet_pl.data.boxes.geometry import flip_boxes
from alexnet_pl.data.loading.items import ItemDataModule, ItemLoader
from alexnet_pl.data.store.store import Store
from alexnet_pl.data.store.whole import WholeSplit


class TrainingScene(NamedTuple):
    """Training image. `scale`: row of Table 5; `negatives`: whether windows without a box are background."""

    image: Tensor  # (3, H, W) uint8
    boxes: Tensor  # (N, 4) float32, in its pixels
    labels: Tensor  # (N,) int64, −1 for an object of no class
    negatives: bool
    scale: int


def read_scene(split: WholeSplit, number: int, scale: int, flipped: bool) -> TrainingScene:
    image, boxes = split.image(number), split.boxes(number)
    if flipped:  # in NumPy: torch would start as many threads again for the thread that reads
        image = torch.from_numpy(image.numpy()[:, :, ::-1].copy())
        boxes = flip_boxes(boxes, image.shape[2])
    labels = split.box_labels(number)
    # A box without a class of the store shows only that an object of another class was looked for.
    negatives = has_background(int(split.coverage[number]), int((labels >= 0).sum()))
    return TrainingScene(image, boxes, labels, negatives, scale)


class SceneLoader(ItemLoader):
    """Batches of scenes. In training, each batch has a random scale and each image is reflected with probability 1/2;
    otherwise the first scale is used. Random choices are a function of (seed, epoch, batch)."""

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
        super().__init__(len(split), batch_size, seed, training, rank, world)
        self.split, self.options = split, options

    def read_batch(self, batch: int, numbers: np.ndarray) -> list[TrainingScene]:
        scale, flips = self.random_scale_and_flips(batch, len(numbers))
        pairs = zip(numbers[self.share].tolist(), flips[self.share].tolist(), strict=True)
        return [read_scene(self.split, number, scale, flipped) for number, flipped in pairs]

    def random_scale_and_flips(self, batch: int, count: int) -> tuple[int, np.ndarray]:
        """Scale of a batch, and a mask of the images to reflect, (count,) bool."""
        if not self.training:
            return self.options.scales[0], np.zeros(count, bool)
        generator = np.random.Generator(np.random.Philox(key=[self.seed, self.epoch], counter=[0, 0, batch, 4]))
        flips = generator.random(count) < 0.5
        return int(generator.choice(self.options.scales)), flips & self.options.flip


class SceneData(ItemDataModule):
    """Scenes of the store's training and validation images."""

    def __init__(self, store: Store, options: BoxOptions, batch_size: int, seed: int) -> None:
        super().__init__(batch_size, seed)
        self.store, self.options = store, options

    def make_loader(self, split: str, training: bool) -> SceneLoader:
        images = self.store.whole(split)
        return SceneLoader(images, self.options, self.batch_size, self.seed, training, *self.rank_and_world)


def numpy_boxes(scene: TrainingScene) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) float64 and labels (N,) of a scene."""
    return scene.boxes.cpu().to(torch.float64).numpy(), scene.labels.cpu().numpy()
