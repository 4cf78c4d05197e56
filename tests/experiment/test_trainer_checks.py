"""Lightning Trainer options: each one works or is refused by name, as documented."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.profilers import SimpleProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from pages.trainer import WORKS
from running import Compose

from alexnet_pl.config.identity import box_signature, training_signature
from alexnet_pl.config.migration import present_settings
from alexnet_pl.config.neutral import NEUTRAL
from alexnet_pl.errors import UserError
from alexnet_pl.experiment import build
from alexnet_pl.experiment.trainer import make_trainer
from alexnet_pl.experiment.trainer_checks import REFUSED, check_trainer_options

PAGE = Path(__file__).parents[2] / "docs/reference/trainer.md"


def test_each_option_is_in_one_of_the_two_tables_and_on_the_page() -> None:
    options = set(inspect.signature(L.Trainer.__init__).parameters) - {"self"}
    assert set(WORKS) | set(REFUSED) == options
    assert not set(WORKS) & set(REFUSED)
    works, refused = PAGE.read_text().split("## Options that are refused")
    assert all(f"`trainer.{name}`" in works for name in WORKS)
    assert all(f"`trainer.{name}`" in refused for name in REFUSED)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_option_is_named_with_the_reason(name: str) -> None:
    with pytest.raises(UserError) as raised:
        check_trainer_options({name: 4})
    assert f"trainer.{name}=4: not supported, {REFUSED[name]}" == str(raised.value)


def test_values_that_change_nothing_are_accepted() -> None:
    check_trainer_options(NEUTRAL)


def test_neutral_values_are_those_of_a_trainer_without_the_option(
    config: Compose, tiny: list[str], tmp_path: Path
) -> None:
    """By Lightning's own defaults, or by what a fit passes to Lightning."""
    set_by_fit = {"num_sanity_val_steps", "use_distributed_sampler", "enable_model_summary"}
    defaults = inspect.signature(L.Trainer.__init__).parameters
    for name, value in NEUTRAL.items():
        if name not in set_by_fit:
            assert defaults[name].default in (value, None), name
    cfg = config("imagenette", *tiny, *(f"++trainer.{name}={value}" for name, value in NEUTRAL.items()))
    trainer = make_trainer(cfg, tmp_path, build.classifier_callbacks(cfg, tmp_path))
    plain = config("imagenette", *tiny)
    other = make_trainer(plain, tmp_path, build.classifier_callbacks(plain, tmp_path))
    for name in ("num_sanity_val_steps", "limit_train_batches", "val_check_interval", "max_steps", "min_epochs"):
        assert (getattr(trainer, name) or 0) == (getattr(other, name) or 0), name


def test_values_that_change_nothing_keep_the_row(config: Compose, tiny: list[str]) -> None:
    """Also in records of earlier versions, which kept them."""
    words = [f"++trainer.{name}={value}" for name, value in NEUTRAL.items()]
    cfg, plain = config("imagenette", *tiny, *words, "++trainer.max_time=null"), config("imagenette", *tiny)
    recipe = training_signature(plain)
    assert training_signature(cfg) == recipe
    assert present_settings({**recipe, "trainer": {**recipe["trainer"], **NEUTRAL}}) == recipe
    boxes = config("boxes_demo")
    assert box_signature(config("boxes_demo", *words)) == box_signature(boxes)


@pytest.mark.parametrize(
    "word", ["limit_train_batches=1", "val_check_interval=1", "max_steps=5", "check_val_every_n_epoch=null"]
)
def test_one_batch_is_not_all_of_them(config: Compose, tiny: list[str], word: str) -> None:
    cfg = config("imagenette", *tiny, "schedule.name=plateau", f"++trainer.{word}")
    assert training_signature(cfg) != training_signature(config("imagenette", *tiny, "schedule.name=plateau"))


@pytest.mark.parametrize("name", ["fsdp", "deepspeed_stage_2", "ddp_spawn", "ddp_find_unused_parameters_true", "mine"])
def test_other_strategies_are_refused_by_name(name: str) -> None:
    with pytest.raises(UserError, match=rf"trainer\.strategy={name}: not supported, .*; one of auto, ddp, towers"):
        check_trainer_options({"strategy": name})


EFFECTS: dict[str, tuple[str, Callable[[L.Trainer], Any], Any]] = {  # option → override, what it changes, to what
    "accelerator": ("cpu", lambda trainer: trainer.accelerator.name(), "cpu"),
    "devices": ("1", lambda trainer: trainer.num_devices, 1),
    "num_nodes": ("1", lambda trainer: trainer.num_nodes, 1),
    "strategy": ("auto", lambda trainer: type(trainer.strategy), SingleDeviceStrategy),
    "precision": ("bf16-mixed", lambda trainer: trainer.precision, "bf16-mixed"),
    "max_epochs": ("7", lambda trainer: trainer.max_epochs, 7),
    "min_epochs": ("1", lambda trainer: trainer.min_epochs, 1),
    "max_steps": ("11", lambda trainer: trainer.max_steps, 11),
    "min_steps": ("5", lambda trainer: trainer.min_steps, 5),
    "limit_train_batches": ("4", lambda trainer: trainer.limit_train_batches, 4),
    "limit_val_batches": ("3", lambda trainer: trainer.limit_val_batches, 3),
    "limit_test_batches": ("2", lambda trainer: trainer.limit_test_batches, 2),
    "val_check_interval": ("0.5", lambda trainer: trainer.val_check_interval, 0.5),
    "check_val_every_n_epoch": ("2", lambda trainer: trainer.check_val_every_n_epoch, 2),
    "log_every_n_steps": ("9", lambda trainer: trainer.log_every_n_steps, 9),
    "enable_progress_bar": ("false", lambda trainer: trainer.progress_bar_callback, None),
    "deterministic": ("warn", lambda _: torch.is_deterministic_algorithms_warn_only_enabled(), True),
    "benchmark": ("true", lambda _: torch.backends.cudnn.benchmark, True),
    "inference_mode": ("false", lambda trainer: trainer.validate_loop.inference_mode, False),
    "profiler": ("simple", lambda trainer: type(trainer.profiler), SimpleProfiler),
    "detect_anomaly": ("true", lambda trainer: trainer._detect_anomaly, True),
}


@pytest.fixture
def _torch_settings() -> Iterator[None]:
    """Restore the settings of torch that options change for the whole process."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
    torch.backends.cudnn.benchmark = benchmark


def test_effect_of_every_supported_option_is_tested() -> None:
    assert set(EFFECTS) == set(WORKS)


@pytest.mark.usefixtures("_torch_settings")
@pytest.mark.parametrize("name", sorted(EFFECTS))
def test_supported_option_takes_effect(name: str, config: Compose, tiny: list[str], tmp_path: Path) -> None:
    value, effect, expected = EFFECTS[name]
    words = [word for word in tiny if not word.startswith(f"trainer.{name}=")]
    cfg = config("imagenette", *words, f"++trainer.{name}={value}")
    trainer = make_trainer(cfg, tmp_path, build.classifier_callbacks(cfg, tmp_path))
    assert effect(trainer) == expected


def test_mpirun_starts_no_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning does not read its ranks: every process would be the first."""
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"^trainer.num_nodes=2: nothing starts the other nodes"):
        check_trainer_options({"num_nodes": 2})
    monkeypatch.setenv("MASTER_ADDR", "node0")
    check_trainer_options({"num_nodes": 2})
