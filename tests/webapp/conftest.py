"""Fixtures for tests of the demo app: a run after `fit` and `features`, with codes."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from alexnet_pl.commands import dispatch
from alexnet_pl.config.recipes import SHIPPED


def do(words: list[str], recipe: str, folder: Path) -> None:
    with initialize_config_dir(str(SHIPPED), version_base="1.3"):
        cfg = compose(recipe, words)
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    if cfg.command == "fit":
        OmegaConf.save(cfg, folder / ".hydra/config.yaml")
    dispatch.run(cfg, folder)


@pytest.fixture(scope="session")
def place(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a run after `fit` and `features` in `run`, and codes of those features in `runs/codes/one`."""
    folder = tmp_path_factory.mktemp("page")
    tiny = ["data.name=tiny", f"data.root={tiny_store}", "data.size=72", "data.batch_size=16", "augment.crop=67"]
    tiny += ["+model.width=0.25", "performance.compile=false", "trainer.max_epochs=1", "trainer.log_every_n_steps=2"]
    tiny += ["logger=csv", "trainer.precision=32-true"]
    do(tiny, "imagenette", folder / "run")
    last = f"ckpt_path={folder / 'run/checkpoints/last.ckpt'}"
    do([*tiny, "command=features", last], "imagenette", folder / "run")
    words = [f"codes.features={folder / 'run'}", "codes.bits=32", "codes.hidden=[16]", "logger=csv"]
    words += ["data.batch_size=32", "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "trainer.precision=32-true"]
    do(words, "codes", folder / "runs/codes/one")
    return folder


@pytest.fixture
def _here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
