"""Overrides of a command line, without Hydra."""

from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode


def type_words(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Let the commands of a test find `words` as what the user typed."""
    job = SimpleNamespace(
        overrides=SimpleNamespace(task=list(words), hydra=[]),
        runtime=SimpleNamespace(config_sources=[]),
        mode=RunMode.RUN,
    )
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: job)
