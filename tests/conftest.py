"""Fixtures for all tests: composed configs, and a store small enough to train on in seconds."""

import ctypes
import gc
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from running import TRAIN, VAL, Compose, last, offline, run

from alexnet_pl.cache import CACHE
from alexnet_pl.commands import dispatch
from alexnet_pl.config import recipes
from alexnet_pl.config.recipes import SHIPPED
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.shard import read_square
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.sources.cifar10 import read_cifar

if TYPE_CHECKING:
    from wandb_file import WandbRun

torch.set_num_threads(1)  # several test files run in parallel


@pytest.fixture(autouse=True, scope="module")
def _free_memory() -> Iterator[None]:
    """Return freed memory to the system after each file: a fit keeps memory for its next batch, and a process that runs
    many test files would grow to 12 GB."""
    yield
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave nothing in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def config() -> Compose:
    """config(recipe, *overrides) → config as composed by the command line."""

    def composed(name: str, *overrides: str) -> DictConfig:
        with initialize_config_dir(str(SHIPPED), version_base="1.3"):
            return compose(name, list(overrides))

    return composed


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stores") / "tiny"
    prepare(
        synthetic.list_synthetic(TRAIN, VAL),
        root,
        StoreSettings("tiny", 72, {}),
        partial(synthetic.read_drawn, size=72),
    )
    return root


def words_for_tiny(store: Path) -> list[str]:
    """Overrides of imagenette.yaml for epochs of six steps on the tiny store."""
    return [
        "data.name=tiny",
        f"data.root={store}",
        "data.size=72",
        "data.batch_size=16",
        "augment.crop=67",
        "+model.width=0.25",  # checkpoints of 7 MB instead of 80
        "performance.compile=false",
        "trainer.log_every_n_steps=2",
    ]


@pytest.fixture
def tiny(tiny_store: Path) -> list[str]:
    """Overrides of imagenette.yaml for a fit of two epochs of six steps on the tiny store."""
    return [*words_for_tiny(tiny_store), "logger=csv", "trainer.max_epochs=2"]


@pytest.fixture(scope="session")
def tiny_run(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder on the tiny store: two epochs of six steps, with a lower rate in the second, then a test with the
    center view, and features of the training images."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    words = [*words_for_tiny(tiny_store), "logger=csv", "trainer.max_epochs=2", "trainer.precision=32-true"]
    words += ["test.views=center", "schedule.name=steps", "schedule.steps.drops=[2]", "features.split=train"]
    cfg = recipes.compose("imagenette", words)
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(cfg, folder / ".hydra/config.yaml")
    for command in ("fit", "test", "features"):
        cfg.command, cfg.ckpt_path = command, None if command == "fit" else str(folder / "checkpoints/last.ckpt")
        dispatch.run(cfg, folder)
    return folder


@pytest.fixture(scope="session")
def official_cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official CIFAR-10, unpacked, if it is available beside the checkout."""
    unpack = Path(__file__).parent.parent.parent / "shared/data/unpack.py"
    if not unpack.is_file():
        pytest.skip(f"{unpack} does not exist, with which the real CIFAR-10 is unpacked")
    root = tmp_path_factory.mktemp("cifar10")
    subprocess.run([sys.executable, str(unpack), str(root), "cifar10"], check=True, capture_output=True)
    return root / "cifar-10-batches-py"


@pytest.fixture(scope="session")
def cifar_store(official_cifar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 training, 96 validation and 100 test images of the official CIFAR-10."""
    source = read_cifar(official_cifar)
    few = {split: [*source.splits[split]][:count] for split, count in (("train", 320), ("val", 96), ("test", 100))}
    root = tmp_path_factory.mktemp("stores") / "cifar10"
    prepare(
        replace(source, splits=few, expected={}),
        root,
        StoreSettings("cifar10", 32, {}),
        partial(read_square, size=32, filter_name="bilinear"),
    )
    return root


@pytest.fixture
def offline_wandb(tmp_path: Path) -> Iterator[None]:
    with offline(tmp_path / "home"):
        yield


def call(command: str, cfg: DictConfig, folder: Path) -> float | None:
    """Run a command on a composed config, as the command line does."""
    cfg = cfg.copy()
    cfg.command = command
    return dispatch.run(cfg, folder)


@pytest.fixture(scope="session")
def shown(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> "tuple[DictConfig, Path, WandbRun]":
    """Config, folder and W&B file of a fit of three epochs and its test."""
    from wandb_file import WandbRun  # not at the top: the tests of the GPU run without wandb

    words = [*words_for_tiny(tiny_store), "trainer.max_epochs=3", "trainer.precision=32-true", "wandb.project=seen"]
    words += ["monitor.every_n_epochs=5", "monitor.num_images=7", "monitor.upload_checkpoints=true"]
    with initialize_config_dir(str(SHIPPED), version_base="1.3"):
        cfg = compose("imagenette", words)
    folder = tmp_path_factory.mktemp("runs") / "shown"
    folder.mkdir()
    with offline(folder.parent / "home"):
        run(cfg, "fit", folder)
        run(cfg, "test", folder, last(folder))
    return cfg, folder, WandbRun(folder)
