"""Suggested next command, by the kind of recipe."""

from pathlib import Path

import pytest
from running import Compose

from alexnet_pl.commands import following, registry


@pytest.mark.parametrize(
    ("recipe", "line"), [("demo", "figures runs/x"), ("codes", "report"), ("boxes_demo", "page runs/x")]
)
def test_command_suggested_after_a_test_depends_on_the_kind_of_run(
    recipe: str, line: str, config: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`figures` does not draw runs of codes and boxes."""
    monkeypatch.setattr(following, "recipe_word", lambda: recipe)
    following.suggest_next(registry.find("test"), Path("runs/x"), config(recipe))
    assert capsys.readouterr().out == f"next: python -m alexnet_pl {line}\n"
