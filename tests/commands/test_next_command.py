"""Suggested next command, by the kind of recipe."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from running import Compose

from alexnet_pl.commands import next_command, registry


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


def test_fit_suggested_after_prepare_opens_the_store_that_was_made(
    config: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without data.size the fit would refuse a store of another size than the recipe's, and 224-pixel crops of it."""
    typed = ["prepare.source=in", "data.root='my store'", "data.size=128"]
    job = SimpleNamespace(overrides=SimpleNamespace(task=typed))
    monkeypatch.setattr(next_command.HydraConfig, "get", lambda: job)
    monkeypatch.setattr(next_command.HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(next_command, "recipe_words", lambda: ["imagenette"])
    next_command.suggest_next(registry.find("prepare"), Path("runs/x"), config("imagenette", "command=prepare", *typed))
    said = capsys.readouterr().out
    assert said == "next: python -m alexnet_pl fit -c imagenette 'data.root=my store' data.size=128 augment.crop=112\n"
