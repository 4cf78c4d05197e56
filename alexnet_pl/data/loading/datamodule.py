"""LightningDataModule of a prepared store (§3)."""

from functools import cached_property
from pathlib import Path
from typing import TypedDict

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn

from alexnet_pl.config.sections import DEMO
from alexnet_pl.console import is_first_process
from alexnet_pl.data.archives.remote import is_remote
from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.data.loading.loaders import (
    SHUFFLES,
    EvalLoader,
    ResumableData,
    TrainLoader,
    check_batch_size,
    count_batches,
)
from alexnet_pl.data.loading.streaming import DEFAULT_OPTIONS, LoaderOptions
from alexnet_pl.data.loading.whole_images import WholeImageLoader
from alexnet_pl.data.store.concat import ConcatSplit
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

DRAWN = Path("data")  # folder of the stores that shipped recipes draw; it is made if it does not exist


class RankInfo(TypedDict):
    """Arguments of a loader: device, rank and number of ranks, options, and maximum number of batches or None."""

    device: torch.device
    rank: int
    world: int
    options: LoaderOptions
    limit: int | None


def image_share(trainer: L.Trainer) -> tuple[int, int]:
    """(index of this process's share of the images, number of shares). Two processes that each hold half of one network
    have the same share."""
    share = getattr(trainer.strategy, "distributed_sampler_kwargs", {"rank": 0, "num_replicas": 1})
    return share["rank"], share["num_replicas"]


def check_parent_folder(root: Path) -> None:
    """Raise UserError if the folder that would hold the store does not exist, as for a mistyped path."""
    if root.parent != DRAWN and not root.parent.is_dir():
        raise UserError(
            f"data.root: {root}: there is no folder {root.parent}, so the demo's images are not drawn; give a prepared "
            "store, or a new path in an existing folder"
        )


class ImageStore(ResumableData):
    """LightningDataModule of the store at `root`: `train` to fit, `val` to validate, `test` (or `val`) to test.

    name: data set that the store must hold; None for any.
    batch_size: images per step over all devices, 128 in §6.
    include_val_after_epoch: after this number of epochs, also train on the validation images, as the program's CIFAR-10
        runs do. From then on the validation error is of images trained on.
    shuffle: order of the training images, `epoch` or `once` (`TrainLoader`); new when validation images are added.
    whole_images: test on images of any size and aspect ratio, as dense views need.
    tested_split: split to test on instead of the default.
    may_draw: draw the demo's images if its store does not exist.

    Raises ValueError, naming the argument, for values out of range.
    """

    def __init__(
        self,
        root: str,
        name: str | None,
        size: int = 256,
        batch_size: int = 128,
        include_val_after_epoch: int | None = None,
        shuffle: str = "epoch",
        tested_split: str | None = None,
        whole_images: bool = False,
        seed: int = 0,
        loader_options: LoaderOptions = DEFAULT_OPTIONS,
        may_draw: bool = True,
    ) -> None:
        super().__init__(batch_size, seed)
        if include_val_after_epoch is not None and include_val_after_epoch < 0:
            raise ValueError(f"include_val_after_epoch={include_val_after_epoch}: a number of epochs, or null")
        if shuffle not in SHUFFLES:
            raise ValueError(f"shuffle={shuffle}: one of {', '.join(SHUFFLES)}")
        self.root, self.dataset, self.size, self.tested_split = root, name, size, tested_split
        self.loader_options, self.whole_images, self.may_draw = loader_options, whole_images, may_draw
        self.include_val_after_epoch, self.shuffle = include_val_after_epoch, shuffle
        self.train_and_val: ConcatSplit | None = None

    def prepare_data(self) -> None:
        """Download a remote store or draw the demo's images, and verify the images of a test, in one process only. The
        others wait without a limit: reading a terabyte takes hours."""
        if self.is_undrawn_demo:
            # not at the top: inference and most fits need neither `prepare` nor its sources
            from alexnet_pl.data.prepare.options import PrepareOptions
            from alexnet_pl.data.prepare.pipeline import make_store

            print(f"data.root: {self.root} does not exist; the demo's images are drawn there", flush=True)
            make_store(PrepareOptions(self.root, DEMO, self.size))
        elif self.trainer is not None:
            stage = self.trainer.state.fn
            for split in self.splits_of_stage(stage):
                self.store.fetch(split)
                if stage in (TrainerFn.VALIDATING, TrainerFn.TESTING):
                    self.store.check_shards(split)

    def splits_of_stage(self, stage: TrainerFn | None) -> tuple[str, ...]:
        """Splits that a fit, a validation or a test reads."""
        if stage == TrainerFn.FITTING:
            return ("train", "val") if self.fit_reads_val else ("train",)
        return ("val",) if stage == TrainerFn.VALIDATING else (self.test_split_name,)

    @property
    def fit_reads_val(self) -> bool:
        """Whether a fit validates, or trains on the validation images too."""
        validates = self.trainer is None or self.trainer.limit_val_batches != 0
        return validates or self.include_val_after_epoch is not None

    @property
    def is_undrawn_demo(self) -> bool:
        """Whether this is the demo's store, to be drawn because it does not exist yet."""
        return self.may_draw and self.dataset == DEMO and not is_remote(self.root) and not Path(self.root).exists()

    def check(self) -> None:
        """Raise UserError, before anything else is set up, unless there is a store of the right name and size, or the
        demo can be drawn."""
        if self.is_undrawn_demo:
            check_parent_folder(Path(self.root))
        else:
            _ = self.store

    def check_num_classes(self, outputs: int) -> None:
        """Raise UserError unless the store has as many classes as the network has outputs."""
        from alexnet_pl.data.sources.synthetic import CLASSES

        classes = CLASSES if self.is_undrawn_demo else self.store.classes
        if len(classes) != outputs:
            found = f"the store at {self.root} has {len(classes)} classes"
            raise UserError(f"model.num_classes={outputs}: {found}; set model.num_classes={len(classes)}")

    @cached_property
    def store(self) -> Store:
        store = Store(self.root)
        store.check_identity(self.dataset, self.size)
        return store

    def setup(self, stage: str) -> None:
        world = image_share(self.trainer)[1] if self.trainer else 1
        check_batch_size(self.batch_size, world)
        if stage == "fit" and (count := len(self.store.split("train"))) < self.batch_size and is_first_process():
            print(f"data.batch_size={self.batch_size}: {count} training images; a batch repeats some", flush=True)
        if stage == "fit" and self.fit_reads_val and not self.store.split("val").labeled:
            raise UserError(f"data.root: {self.root}: the validation images have no labels")
        if stage == "fit":
            self.check_interval(count_batches(len(self.training_split(0)), self.batch_size))

    def rank_info(self, limit: int | float) -> RankInfo:
        """Arguments of a loader for this process."""
        trainer = self.trainer
        assert trainer is not None
        rank, world = image_share(trainer)
        options = self.loader_options
        if trainer.state.fn != TrainerFn.FITTING:
            options = options._replace(cache_on_gpu=False)  # each image is read once
        return {
            "device": trainer.strategy.root_device,
            "rank": rank,
            "world": world,
            "options": options,
            "limit": limit if isinstance(limit, int) else None,
        }

    def train_dataloader(self) -> TrainLoader:
        assert self.trainer is not None
        augment = self.trainer.lightning_module.augment
        assert isinstance(augment, Augment)
        rank_info = self.rank_info(self.trainer.limit_train_batches)
        if self.train_loader is not None and self.trainer.current_epoch:
            self.position = self.train_loader.state_dict()  # the next loader may have another length
        split = self.training_split(self.trainer.current_epoch)
        crop = augment.crop if self.store.is_whole and augment.random_crop else None
        if self.store.is_whole:
            check_augment_of_whole_images(augment, self.root)
        return self.resume(
            TrainLoader(split, self.batch_size, self.seed, augment.draw, **rank_info, crop=crop, shuffle=self.shuffle)
        )

    def training_split(self, epoch: int) -> Split:
        split = self.store.split("train")
        if self.include_val_after_epoch is None or epoch < self.include_val_after_epoch:
            return split
        if self.train_and_val is None:
            self.train_and_val = ConcatSplit([split, self.store.split("val")])
        return self.train_and_val

    def eval_loader(self, split: str, limit: int | float, kind: type[EvalLoader] = EvalLoader) -> EvalLoader:
        assert self.trainer is not None
        size = self.batch_size // image_share(self.trainer)[1]
        return kind(self.store.split(split), size, **self.rank_info(limit))

    def val_dataloader(self) -> EvalLoader:
        assert self.trainer is not None
        return self.eval_loader("val", self.trainer.limit_val_batches)

    def test_dataloader(self) -> EvalLoader:
        assert self.trainer is not None
        kind = WholeImageLoader if self.whole_images else EvalLoader
        return self.eval_loader(self.test_split_name, self.trainer.limit_test_batches, kind)

    @property
    def test_split_name(self) -> str:
        """Split that `test` uses: `test.split` if given, else `test` if its labels are known, else `val`. Downloads no
        images of a remote store."""
        if self.tested_split:
            self.store.check_split(self.tested_split)
            return self.tested_split
        return "test" if "test" in self.store.splits and self.store.is_labeled("test") else "val"


def check_augment_of_whole_images(augment: Augment, root: str) -> None:
    """Raise UserError for options that need images of one size: windows of whole images are cut before augmentation."""
    needed = {"mean": "center", "include_last_offset": True, "images_per_crop": 1}
    for key, value in needed.items():
        if (found := getattr(augment, key)) != value:
            raise UserError(
                f"augment.{key}={str(found).lower()}: the store at {root} has whole images, for which only "
                f"augment.{key}={str(value).lower()} is possible; prepare a store with prepare.encoding=raw"
            )
