"""Suggested next command, by the kind of recipe."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import Compose
from typed_words import type_words

from alexnet_pl.cache import CACHE
from alexnet_pl.commands import next_command, registry
from alexnet_pl.data.loading.augment import suitable_crop
from alexnet_pl.data.store import store
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.networks import make_named_net


@pytest.mark.parametrize(
    ("recipe", "line"), [("demo", "figures runs/x"), ("codes", "report"), ("boxes_demo", "page runs/x")]
)
def test_command_suggested_after_a_test_depends_on_the_kind_of_run(
    recipe: str, line: str, config: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`figures` does not draw runs of codes and boxes."""
    monkeypatch.setattr(next_command, "recipe_words", lambda: [recipe])
    next_command.suggest_next(registry.find("test"), Path("runs/x"), config(recipe))
    assert capsys.readouterr().out == f"next: python -m alexnet_pl {line}\n"


@pytest.mark.parametrize(("command", "line"), [("fit", "test runs/x"), ("features", "retrieve runs/x")])
def test_run_folder_is_named_without_a_flag(
    command: str, line: str, config: Compose, capsys: pytest.CaptureFixture[str]
) -> None:
    next_command.suggest_next(registry.find(command), Path("runs/x"), config("demo"))
    assert capsys.readouterr().out == f"next: python -m alexnet_pl {line}\n"


@pytest.mark.parametrize(
    ("offline", "tested", "line"),
    [
        (False, True, "next: python -m alexnet_pl dashboard\n"),
        (True, True, "next: python -m alexnet_pl figures runs/b\n"),
        (True, False, ""),
    ],
)
def test_dashboard_is_suggested_to_users_of_wandb_alone(
    offline: bool,
    tested: bool,
    line: str,
    config: Compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`figures` names the network tested last; the ensemble c has no checkpoint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(next_command, "is_offline", lambda: offline)
    for time, name in enumerate("abc"):
        (tmp_path / "runs" / name / "checkpoints").mkdir(parents=True)
        if tested:
            (tmp_path / "runs" / name / "result.json").touch()
            os.utime(tmp_path / "runs" / name / "result.json", (time, time))
        if name != "c":
            (tmp_path / "runs" / name / "checkpoints/last.ckpt").touch()
    next_command.suggest_next(registry.find("report"), tmp_path / "out", config("_base", "report.runs=runs"))
    assert capsys.readouterr().out == line


@pytest.mark.parametrize(("classes", "more"), [(10, ""), (4, " model.num_classes=4")])
def test_fit_suggested_after_prepare_opens_the_store_that_was_made(
    config: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], classes: int, more: str
) -> None:
    """Without data.size the fit would refuse a store of another size than the recipe's, and 224-pixel crops of it; it
    would also refuse another number of classes."""
    made = SimpleNamespace(classes=[["n", "a class"]] * classes)
    monkeypatch.setattr(store, "Store", lambda root, check: made)
    typed = ["prepare.source=in", "data.root='my store'", "data.size=128"]
    job = SimpleNamespace(overrides=SimpleNamespace(task=typed))
    monkeypatch.setattr(next_command.HydraConfig, "get", lambda: job)
    monkeypatch.setattr(next_command.HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(next_command, "recipe_words", lambda: ["imagenette"])
    next_command.suggest_next(registry.find("prepare"), Path("runs/x"), config("imagenette", "command=prepare", *typed))
    said = capsys.readouterr().out
    assert (
        said
        == f"next: python -m alexnet_pl fit -c imagenette 'data.root=my store' data.size=128 augment.crop=112{more}\n"
    )


@pytest.mark.parametrize(("size", "crop"), [(128, 112), (72, 64), (64, 64), (32, 28)])
def test_crop_that_is_suggested_is_one_that_the_network_takes(size: int, crop: int) -> None:
    """AlexNet's layers leave nothing of fewer than 64 pixels; 32 is for the nets of CIFAR-10."""
    assert suitable_crop(size) == crop
    if size >= 64:
        AlexNet(num_classes=2, crop=crop, width=0.1)


@pytest.mark.parametrize(
    ("recipe", "size", "crop"),
    [
        ("overfeat_demo", 100, 77),  # the accurate network takes 77, 113, 149 … pixels alone
        ("overfeat_demo", 130, 113),
        ("boxes_demo_classifier", 72, None),
        ("imagenette", 32, None),  # below the least crop of five convolutions and three poolings
        ("cifar10_13pct", 23, 20),
    ],
)
def test_suggested_crop_is_one_that_the_recipes_network_takes(
    config: Compose, recipe: str, size: int, crop: int | None
) -> None:
    cfg = config(recipe, f"data.size={size}")
    assert next_command.find_crop(cfg, 10) == crop
    if crop:
        make_named_net({**dict(cfg.model), "num_classes": 10}, crop)


@pytest.mark.parametrize("typed", [[], ["transfer.weights=runs/a"]])
def test_fit_suggested_after_prepare_takes_the_network_of_the_weights(
    config: Compose, tiny_store: Path, monkeypatch: pytest.MonkeyPatch, typed: list[str]
) -> None:
    """They set the crop and the stored size; the store sets the number of classes."""
    type_words(monkeypatch, "data.size=72", *typed)
    cfg = config("finetune", f"data.root={tiny_store}", "data.size=72", *typed)
    assert next_command.data_words(cfg) == [f"data.root={tiny_store}", *(typed or ["transfer.weights=RUN"])]
    cfg = config("folder", f"data.root={tiny_store}", "data.size=72", "augment.crop=67")
    assert next_command.data_words(cfg) == [f"data.root={tiny_store}", "data.size=72"]


def test_page_is_suggested_only_if_it_can_be_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run/.hydra").mkdir(parents=True)
    (tmp_path / "run/.hydra/config.yaml").touch()
    monkeypatch.chdir(tmp_path)
    for there, command in ((True, "page run"), (False, "report")):
        monkeypatch.setattr(next_command, "find_spec", lambda name, there=there: there or None)
        next_command.suggest_next(registry.find("figures"), tmp_path / "run")
        assert capsys.readouterr().out == f"next: python -m alexnet_pl {command}\n"


def test_command_after_verify_names_the_address_of_a_remote_store(
    config: Compose,
    tiny_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its description is in the cache, not at a path made of the address."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(next_command, "recipe_words", lambda: ["imagenette"])
    monkeypatch.setattr(next_command, "typed_overrides", list)
    cfg = config("imagenette", "command=verify", f"data.root=file://{tiny_store}", "augment.crop=67", "data.size=72")
    next_command.suggest_next(registry.find("verify"), tmp_path, cfg)
    assert capsys.readouterr().out == f"next: python -m alexnet_pl fit -c imagenette data.root=file://{tiny_store}\n"
