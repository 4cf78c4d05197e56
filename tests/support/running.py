"""Run commands in tests: composed configs, run folders, W&B offline; check the text of drawings."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands import dispatch

Compose = Callable[..., DictConfig]
TRAIN, VAL = 96, 40  # images of the tiny store; 40 is not a multiple of its batches of 16


def check_words(figure: Figure) -> None:
    """Check that all text of a drawing is within it and does not overlap."""
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
    """Texts that are drawn; labels of some ticks are not."""
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
    """Set up W&B without network and user settings; finished afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("WANDB_DATA_DIR", "")
        patch.delenv("WANDB_DATA_DIR")  # restored after the tests, whatever a run sets it to
        for name, value in {"MODE": "offline", "SILENT": "true"}.items():
            patch.setenv(f"WANDB_{name}", value)
        for name in ("CONFIG_DIR", "CACHE_DIR"):
            patch.setenv(f"WANDB_{name}", str(home / name))
        yield
        if wandb := sys.modules.get("wandb"):
            wandb.finish()
            wandb.teardown()


def run(cfg: DictConfig, command: str, folder: Path, ckpt: Path | None = None, **keys: Any) -> float | None:
    """Run a command like the command line, with `keys` set beforehand."""
    folder.mkdir(exist_ok=True)
    if command == "reproduce":
        (folder / ".hydra").mkdir(exist_ok=True)
        OmegaConf.save(cfg, folder / ".hydra/config.yaml")  # as Hydra does
    cfg = cfg.copy()
    cfg.command, cfg.ckpt_path = command, str(ckpt) if ckpt else None
    for key, value in keys.items():
        OmegaConf.update(cfg, key, value)
    try:
        return dispatch.run(cfg, folder)
    finally:
        if wandb := sys.modules.get("wandb"):  # not on a GPU machine that has only what `bench gpu` needs
            wandb.finish()


def fit_in_seconds(store: Path) -> list[str]:
    """Overrides of imagenette.yaml for two epochs of three steps on the tiny store, with a tenth of the width, in
    float32 on the CPU, and a test of the center view."""
    words = ["data.name=tiny", f"data.root={store}", "data.size=72", "data.batch_size=16", "augment.crop=67"]
    words += ["logger=csv", "performance.compile=false", "trainer.max_epochs=2", "trainer.log_every_n_steps=1"]
    words += ["trainer.precision=32-true", "trainer.accelerator=cpu", "+trainer.limit_train_batches=3"]
    words += ["test.views=center", "optim.lr=0.001", "+trainer.enable_progress_bar=false", "+model.width=0.1"]
    return words


def last(folder: Path) -> Path:
    return folder / "checkpoints/last.ckpt"
