"""`data.root` on the command line is a store, also for commands that read no images; or it is refused in one line."""

import shutil
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from running import Compose
from typed_words import type_words

from alexnet_pl.commands import dispatch, registry
from alexnet_pl.commands.fit_checks import check_objective, check_staged_rates, check_variant
from alexnet_pl.commands.registry import COMMANDS
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.errors import UserError

WITHOUT_IMAGES = ["predict", "detect", "report", "dashboard"]
AWAY = r"^data.root: /away/store does not exist; make one: [^\n]+$"


@pytest.fixture
def typed(config: Compose, monkeypatch: pytest.MonkeyPatch) -> Compose:
    """typed(recipe, *words) → config of a command line with these words."""

    def composed(name: str, *words: str) -> DictConfig:
        type_words(monkeypatch, *words)
        return config(name, *words)

    return composed


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        *(("boxes_demo" if name == "detect" else "demo", [f"command={name}"]) for name in WITHOUT_IMAGES),
        ("demo", ["command=bench", "bench.suite=prepare"]),
        ("demo", ["command=bench", "bench.suite=report"]),
        ("codes", ["command=fit", "codes.features=runs/x"]),
        ("codes", ["command=test", "codes.features=runs/x"]),
    ],
)
@pytest.mark.parametrize("prefix", ["", "++"])
def test_command_that_reads_no_images_refuses_a_path_that_is_no_store(
    recipe: str, words: list[str], prefix: str, typed: Compose, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=AWAY):
        dispatch.run(typed(recipe, *words, f"{prefix}data.root=/away/store"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_typed_rate_that_a_staged_schedule_ignores_is_refused(typed: Compose, tiny_store: Path, tmp_path: Path) -> None:
    """The recipe's own value stays; it is that of the variant."""
    words = ["command=fit", f"data.root={tiny_store}", "transfer.weights=/away"]
    with pytest.raises(UserError, match=r"^optim.lr: schedule.name=staged sets every rate itself; set them there$"):
        dispatch.run(typed("finetune2012", *words, "optim.lr=0.1"), tmp_path)
    with pytest.raises(UserError, match=r"^data\."):
        dispatch.run(typed("finetune2012", *words), tmp_path)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("optim={lr: 0.1}", r"^optim.lr: schedule.name=staged sets every rate itself; set them there$"),
        (
            "++schedule.logged={stop: 20}",
            r"^schedule.logged={stop: 20}: schedule.name=staged does not read it; add .*=logged",
        ),
        ("++schedule={logged: {stop: 20}}", r"^schedule={logged: {stop: 20}}: schedule.name=staged does not read it"),
    ],
)
def test_section_typed_as_a_whole_is_checked_like_its_keys(
    word: str, says: str, typed: Compose, tiny_store: Path, tmp_path: Path
) -> None:
    words = ["command=fit", f"data.root={tiny_store}", "transfer.weights=/away"]
    with pytest.raises(UserError, match=says):
        dispatch.run(typed("finetune2012", *words, word), tmp_path)


@pytest.mark.parametrize("recipe", ["fall2009", "fall2011", "fall2009_chain", "finetune2012", "finetune2012_2009"])
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optim.bias_lr_scale=1", "optim.bias_lr_scale: schedule.name=staged sets every rate itself; set them there"),
        (
            "variant=as_printed",
            "variant=as_printed: schedule.name=staged has the program's rates, .*schedule.name=plat",
        ),
    ],
)
def test_rates_of_the_text_that_stages_replace_are_refused(
    recipe: str, word: str, message: str, typed: Compose, tmp_path: Path
) -> None:
    """Else `fit -c fall2009 variant=as_printed` trains biases at 0.02 beside weights at 0.01, and later at 0.002."""
    with pytest.raises(UserError, match=f"^{message}"):
        check_staged_rates(typed(recipe, word))
    check_staged_rates(typed(recipe, word, "schedule.name=plateau"))


@pytest.mark.parametrize(
    ("recipe", "name"), [("cifar10_13pct", "local"), ("cifar10", "conv"), ("overfeat_fast", "overfeat")]
)
def test_variant_of_another_network_is_refused(recipe: str, name: str, typed: Compose) -> None:
    """The variant sets keys of AlexNet, which the user did not type: `model.towers: unknown key`."""
    with pytest.raises(UserError, match=f"^variant=as_printed: model.name={name} has no variants; they are AlexNet's"):
        check_variant(typed(recipe, "variant=as_printed"))
    check_variant(typed(recipe))
    check_variant(typed("imagenette", "variant=as_printed"))


def test_rates_of_the_text_that_a_recipe_chooses_are_refused_too(config: Compose) -> None:
    """As `override variant: as_printed` in a user's recipe, or a group of an ensemble; nothing is typed."""
    with pytest.raises(UserError, match=r"^variant=as_printed: schedule.name=staged has the program's rates"):
        check_staged_rates(config("fall2009", "variant=as_printed"))
    for words in (["variant=as_printed", "schedule.name=plateau"], ["schedule.plateau=null"]):
        check_staged_rates(config("fall2009", *words))


@pytest.mark.parametrize(
    ("sweeper", "mode", "since", "objective", "refused"),
    [
        ("optuna.OptunaSweeper", RunMode.MULTIRUN, 0, "val/top1_error", True),
        ("optuna.OptunaSweeper", RunMode.MULTIRUN, 3, "val/top1_error", False),
        ("optuna.OptunaSweeper", RunMode.MULTIRUN, 0, "train/epoch_top1_error", False),
        ("hydra._internal.core_plugins.basic_sweeper.BasicSweeper", RunMode.MULTIRUN, 0, "val/top1_error", False),
        ("optuna.OptunaSweeper", RunMode.RUN, 0, "val/top1_error", False),
    ],
)
def test_objective_that_is_never_measured_is_refused_before_the_training(
    sweeper: str,
    mode: RunMode,
    since: int,
    objective: str,
    refused: bool,
    config: Compose,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    type_words(monkeypatch, "command=fit")
    job: Any = HydraConfig.get()
    job.mode, job.sweeper = mode, SimpleNamespace(_target_=sweeper)
    cfg = config("cifar10", f"data.include_val_after_epoch={since}", f"objective={objective}")
    with pytest.raises(UserError, match=r"^objective=val/top1_error: ") if refused else nullcontext():
        check_objective(cfg)


def test_rate_of_biases_that_no_stage_sets_may_be_typed(typed: Compose) -> None:
    stages = "schedule.staged.stages=[{epoch: 1, weights: {all: 0.1}, biases: {conv1: 0}}]"
    check_staged_rates(typed("ilsvrc2012", "schedule.name=staged", stages, "optim.bias_lr_scale=1"))


def test_variant_that_a_member_refuses_is_refused_before_the_first_member(
    typed: Compose, tiny_store: Path, tmp_path: Path
) -> None:
    words = ["command=ensemble", f"data.root={tiny_store}", "~ensemble.groups.cnns", "variant=as_printed"]
    cfg = typed("ensemble_7cnns", *words)
    with pytest.raises(UserError, match=r"^variant=as_printed: schedule.name=staged has"):
        dispatch.run(cfg, tmp_path)


def test_all_commands_without_images_are_tested() -> None:
    recipes = [one.name for one in COMMANDS.values() if one.takes == "recipe" and not one.reads_store]
    assert sorted(recipes) == sorted(WITHOUT_IMAGES)


def test_store_or_a_recipes_own_path_is_accepted(typed: Compose, tiny_store: Path, tmp_path: Path) -> None:
    """The store of a run may have been moved; `report` and `predict` need none."""
    (tmp_path / "runs").mkdir()
    runs = f"report.runs={tmp_path / 'runs'}"
    dispatch.run(typed("demo", "command=report", runs, f"data.root={tiny_store}"), tmp_path / "a")
    assert (tmp_path / "a/report.md").is_file()
    cfg = typed("demo", "command=report", runs)
    cfg.data.root = "/away/store"
    dispatch.run(cfg, tmp_path / "b")
    assert (tmp_path / "b/report.md").is_file()


@pytest.mark.parametrize("command", [one for one in COMMANDS.values() if one.takes == "runs"], ids=lambda one: one.name)
def test_command_on_a_run_folder_refuses_a_path_that_is_no_store(
    command: registry.Command, tiny_run: Path, tmp_path: Path
) -> None:
    """`export` compared the file with random images, and `page` had no examples."""
    says = r"^data.root: unknown key" if command.name == "curves" else AWAY
    run = shutil.copytree(tiny_run, tmp_path / "run")
    before = sorted(run.rglob("*"))
    with pytest.raises(UserError, match=says):
        dispatch.run_on_folders(command, [str(run), "data.root=/away/store"])
    assert sorted(run.rglob("*")) == before


def test_export_refuses_a_store_of_other_images(tiny_run: Path, tmp_path: Path) -> None:
    read_image = partial(synthetic.read_drawn, size=72)
    prepare(synthetic.list_synthetic(16, 16), tmp_path / "other", StoreSettings("tiny", 72, {}), read_image)
    words = [str(tiny_run), f"out={tmp_path / 'out'}", f"data.root={tmp_path / 'other'}"]
    with pytest.raises(UserError, match=r"^data.root: .* holds other images \(\w{12}\) than the run's"):
        dispatch.run_on_folders(registry.find("export"), words)
    assert not (tmp_path / "out").exists()
