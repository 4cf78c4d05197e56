"""A run folder, opened: its settings, its trained network, its images; what figures and notebooks start from."""

from functools import cached_property
from pathlib import Path
from typing import Any

from alexnet_pl import predict, recipe
from alexnet_pl.checkpoint import read_checkpoint
from alexnet_pl.config.overrides import quoted
from alexnet_pl.data.datamodule import ImageStore
from alexnet_pl.data.remote import is_remote
from alexnet_pl.data.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.module import Classifier
from alexnet_pl.runs.layout import LAST, read_config


class Trained:
    """Raises UserError that names what is missing only when it is asked for: `module` needs no images, `store` no
    checkpoint. `root`: where the store lies now, if it was moved."""

    def __init__(self, folder: str | Path, root: str | None = None) -> None:
        self.folder = Path(folder)
        self.cfg = read_config(self.folder)
        self.moved = [f"data.root={quoted(root)}"] if root else []  # the override that says so
        if root:
            self.cfg.data.root = root

    @property
    def checkpoint(self) -> Path:
        path = self.folder / LAST
        if not path.is_file():
            raise UserError(f"{path}: is not there; train first: python -m alexnet_pl fit -c {self.folder}")
        return path

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the checkpoint says of itself: switches, classes, store."""
        return read_checkpoint(self.checkpoint)["alexnet_pl"]

    @property
    def classes(self) -> list[str]:
        """Readable names."""
        return [name for _, name in self.about["classes"]]

    @cached_property
    def module(self) -> Classifier:
        """In evaluation mode, on the CPU."""
        cfg = self.cfg.copy()
        cfg.model.num_classes = len(self.about["classes"])
        return predict.load(str(self.checkpoint), recipe.make_module(cfg))

    @cached_property
    def data(self) -> ImageStore:
        """Of the store that the config names, if its images are those that the network was trained on."""
        data = recipe.make_data(self.cfg)
        if not is_remote(data.root) and not Path(data.root).exists():
            raise UserError(f"data.root: {data.root} is not there; was it moved, say where: data.root=FOLDER")
        wanted, there = self.about["store"].get("fingerprint"), data.store.fingerprint
        if wanted not in (None, there):
            raise UserError(f"data.root: {data.root} holds other images ({there[:12]}) than the run's ({wanted[:12]})")
        return data

    @property
    def store(self) -> Store:
        return self.data.store
