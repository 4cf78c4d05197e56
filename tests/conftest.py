"""What several test files start from: composed configs, and a store small enough to train on in seconds."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from omegaconf import DictConfig, OmegaConf
from wandb_file import WandbRun

from alexnet_pl.commands import registry
from alexnet_pl.config.recipes import SHIPPED
from alexnet_pl.config.recipes import compose as compose_recipe
from alexnet_pl.data import demo
from alexnet_pl.data.cifar import read_cifar
from alexnet_pl.data.decode import read
from alexnet_pl.data.prepare import prepare
from alexnet_pl.data.settings import Settings

torch.set_num_threads(1)  # test files run side by side

Compose = Callable[..., DictConfig]
TRAIN, VAL = 96, 40  # images of the tiny store; 40 is not a multiple of its batches of 16


@pytest.fixture
def config() -> Compose:
    """config(recipe, *overrides) → what the command line would compose."""

    def composed(name: str, *overrides: str) -> DictConfig:
        with initialize_config_dir(str(SHIPPED), version_base="1.3"):
            return compose(name, list(overrides))

    return composed


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stores") / "tiny"
    prepare(demo.source(TRAIN, VAL), root, Settings("tiny", 72, {}), partial(demo.read, size=72))
    return root


@pytest.fixture
def tiny(tiny_store: Path) -> list[str]:
    """Overrides of imagenette.yaml for a fit of two epochs of six steps on the tiny store."""
    return [
        "data.name=tiny",
        f"data.root={tiny_store}",
        "data.size=72",
        "data.batch_size=16",
        "augment.crop=67",
        "logger=csv",
        "performance.compile=false",
        "trainer.max_epochs=2",
        "trainer.log_every_n_steps=2",
    ]


@pytest.fixture(scope="session")
def tiny_run(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder on the tiny store: two epochs of six steps, the rate falling with the second, then tested, centre
    view, and the features of its training images."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    overrides = ["data.name=tiny", f"data.root={tiny_store}", "data.size=72", "data.batch_size=16", "augment.crop=67"]
    overrides += ["logger=csv", "performance.compile=false", "trainer.max_epochs=2", "trainer.log_every_n_steps=2"]
    overrides += ["test.views=center", "schedule.name=steps", "schedule.steps.drops=[2]", "trainer.precision=32-true"]
    cfg = compose_recipe("imagenette", [*overrides, "features.split=train"])
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(cfg, folder / ".hydra/config.yaml")
    for command in ("fit", "test", "features"):
        cfg.command, cfg.ckpt_path = command, None if command == "fit" else str(folder / "checkpoints/last.ckpt")
        registry.run(cfg, folder)
    return folder


@pytest.fixture(scope="session")
def official_cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real CIFAR-10, unpacked where it is at hand beside the checkout."""
    unpack = Path(__file__).parent.parent.parent / "shared/data/unpack.py"
    if not unpack.is_file():
        pytest.skip(f"{unpack} is not there, with which the real CIFAR-10 is unpacked")
    root = tmp_path_factory.mktemp("cifar10")
    subprocess.run([sys.executable, str(unpack), str(root), "cifar10"], check=True, capture_output=True)
    return root / "cifar-10-batches-py"


@pytest.fixture(scope="session")
def cifar_store(official_cifar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 training, 96 validation and 100 test images of the real CIFAR-10."""
    source = read_cifar(official_cifar)
    few = {split: [*source.splits[split]][:count] for split, count in (("train", 320), ("val", 96), ("test", 100))}
    root = tmp_path_factory.mktemp("stores") / "cifar10"
    prepare(replace(source, splits=few), root, Settings("cifar10", 32, {}), partial(read, size=32, how="bilinear"))
    return root


def check_words(figure: Figure) -> None:
    """Every word of a drawing lies within it, and none over another."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_words(figure)]
    assert boxes
    width, height = canvas.get_width_height()
    for word, box in boxes:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f"{word!r} is cut off: {box}"
    for i, (word, box) in enumerate(boxes):
        for other, there in boxes[i + 1 :]:
            wide = min(box.x1, there.x1) - max(box.x0, there.x0)
            high = min(box.y1, there.y1) - max(box.y0, there.y0)
            assert wide < 1.5 or high < 2.5, f"{word!r} over {other!r}"


def shown_words(figure: Figure) -> list[Text]:
    """Without the labels of ticks that are not drawn."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
            hidden |= {word for part in (ticks if axes.axison else [axis]) for word in part.findobj(Text)}
    words = [word for word in figure.findobj(Text) if isinstance(word, Text) and word.get_text().strip()]
    return [word for word in words if word.get_visible() and word not in hidden]


@contextmanager
def offline(home: Path) -> Iterator[None]:
    """W&B without a network and without anything of the person's own; ended afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("WANDB_DATA_DIR", "")
        patch.delenv("WANDB_DATA_DIR")  # given back after the tests, whatever a run sets it to
        for name, value in {"MODE": "offline", "SILENT": "true"}.items():
            patch.setenv(f"WANDB_{name}", value)
        for name in ("CONFIG_DIR", "CACHE_DIR"):
            patch.setenv(f"WANDB_{name}", str(home / name))
        yield
        import wandb

        wandb.finish()
        wandb.teardown()


@pytest.fixture
def offline_wandb(tmp_path: Path) -> Iterator[None]:
    with offline(tmp_path / "home"):
        yield


def call(command: str, cfg: DictConfig, folder: Path) -> float | None:
    """A command on a composed config, as the command line calls it."""
    cfg = cfg.copy()
    cfg.command = command
    return registry.run(cfg, folder)


def run(cfg: DictConfig, command: str, folder: Path, ckpt: Path | None = None, **keys: Any) -> float | None:
    """A command as the command line calls it, `keys` set beforehand."""
    import wandb

    folder.mkdir(exist_ok=True)
    cfg = cfg.copy()
    cfg.command, cfg.ckpt_path = command, str(ckpt) if ckpt else None
    cfg.update(keys)
    try:
        return registry.run(cfg, folder)
    finally:
        wandb.finish()


def last(folder: Path) -> Path:
    return folder / "checkpoints/last.ckpt"


@pytest.fixture(scope="session")
def shown(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[DictConfig, Path, WandbRun]:
    """The config, folder and W&B file of a fit of three epochs and its test."""
    words = ["data.name=tiny", f"data.root={tiny_store}", "data.size=72", "data.batch_size=16", "augment.crop=67"]
    words += [
        "performance.compile=false",
        "trainer.max_epochs=3",
        "trainer.log_every_n_steps=2",
        "trainer.precision=32-true",
    ]
    words += [
        "monitor.every_n_epochs=5",
        "monitor.num_images=7",
        "monitor.upload_checkpoints=true",
        "wandb.project=seen",
    ]
    with initialize_config_dir(str(SHIPPED), version_base="1.3"):
        cfg = compose("imagenette", words)
    folder = tmp_path_factory.mktemp("runs") / "shown"
    folder.mkdir()
    with offline(folder.parent / "home"):
        run(cfg, "fit", folder)
        run(cfg, "test", folder, last(folder))
    return cfg, folder, WandbRun(folder)
