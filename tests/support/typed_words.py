"""Overrides of a command line, without Hydra."""

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf


def type_words(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Let the commands of a test find `words` as what the user typed."""
    job = OmegaConf.create(
        {
            "overrides": {"task": list(words), "hydra": []},
            "runtime": {"config_sources": []},
            "job": {"config_name": "none"},
            "mode": RunMode.RUN,
        },
        flags={"allow_objects": True},
    )
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: job)
