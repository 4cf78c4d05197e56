"""Lightning Trainer options: each one works or is refused by name, as documented."""

import inspect
from pathlib import Path

import lightning as L
import pytest

from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trainer_options import NEUTRAL, REFUSED, WORKS, check_trainer_options

PAGE = Path(__file__).parents[2] / "docs/reference/trainer.md"


def test_each_option_is_in_one_of_the_two_tables_and_on_the_page() -> None:
    options = set(inspect.signature(L.Trainer.__init__).parameters) - {"self"}
    assert set(WORKS) | set(REFUSED) == options
    assert not set(WORKS) & set(REFUSED)
    works, refused = PAGE.read_text().split("## Options that are refused")
    assert all(f"`trainer.{name}`" in works for name in WORKS)
    assert all(f"`trainer.{name}`" in refused for name in REFUSED)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_option_is_named_with_the_reason(name: str) -> None:
    with pytest.raises(UserError) as raised:
        check_trainer_options({name: 4})
    assert f"trainer.{name}=4: not supported, {REFUSED[name]}" == str(raised.value)


def test_values_that_change_nothing_are_accepted() -> None:
    check_trainer_options(NEUTRAL)


@pytest.mark.parametrize("name", ["fsdp", "deepspeed_stage_2", "ddp_spawn", "ddp_find_unused_parameters_true", "mine"])
def test_other_strategies_are_refused_by_name(name: str) -> None:
    with pytest.raises(UserError, match=rf"trainer\.strategy={name}: not supported, .*; one of auto, ddp, towers"):
        check_trainer_options({"strategy": name})
