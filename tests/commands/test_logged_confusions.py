"""The table of confusions in W&B and TensorBoard."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from alexnet_pl.commands import evaluate


def test_loggers_get_the_most_confused_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """confusions.csv has up to ten times as many, more than W&B shows."""
    logged: list[Any] = []
    pairs = [{"class": f"n{i}", "images": 1.0} for i in range(evaluate.LOGGED_ROWS + 1)]
    monkeypatch.setattr(evaluate, "reopen_loggers", lambda *_, **__: [SimpleNamespace(finalize=logged.append)])
    monkeypatch.setattr(evaluate, "read_table", lambda _: pairs)
    for name in ("log_summary", "log_result"):
        monkeypatch.setattr(evaluate, name, lambda *_: None)
    monkeypatch.setattr(evaluate, "log_table", lambda *values: logged.append(values[2:4]))
    cfg = OmegaConf.create({"command": "test", "logger": "wandb", "wandb": {"project": "x"}})
    result: Any = SimpleNamespace(checkpoint=SimpleNamespace(step=1), claim=None)
    evaluate.log_test_result(cfg, tmp_path, tmp_path, result)
    (header, rows), ended = logged
    assert (header, rows) == (["class", "images"], [[f"n{i}", 1.0] for i in range(evaluate.LOGGED_ROWS)])
    assert ended == "success"
