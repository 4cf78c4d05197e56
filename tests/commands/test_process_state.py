"""Processes that the strategy starts repeat the job."""

import sys
from pathlib import Path

import pytest
from running import Compose
from typed_words import type_words

from alexnet_pl.commands.fit import pin_start_for_ddp_ranks
from alexnet_pl.commands.process_state import pin_argv_for_ddp_ranks


def test_ddp_ranks_are_started_with_the_same_job(monkeypatch: pytest.MonkeyPatch) -> None:
    where = ["alexnet_pl", "--config-path=/a", "--config-name=x"]
    monkeypatch.setattr(sys, "argv", [*where, "++command=fit", "ckpt_path='old'", "seed=1"])
    pin_argv_for_ddp_ranks(["ckpt_path='new'", "transfer.weights=null"])
    assert sys.argv == [*where, "++command=fit", "seed=1", "ckpt_path='new'", "transfer.weights=null"]
    pin_argv_for_ddp_ranks(["++command=test"], Path("/b/config.yaml"))
    fresh = ["--config-path=/b", "--config-name=config", "hydra/job_logging=none"]
    assert sys.argv == ["alexnet_pl", *fresh, "++command=test"]
    monkeypatch.setattr(sys, "argv", ["ipykernel"])
    pin_argv_for_ddp_ranks(["ckpt_path=null"])
    assert sys.argv == ["ipykernel"]


@pytest.mark.parametrize("network", ["weights", "recipe"])
def test_typed_keys_of_the_network_of_weights_reach_the_other_ranks(
    config: Compose, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    """Their config has the values, but cannot tell which of them take precedence over those of the weights."""
    type_words(monkeypatch, typed := "model.dropout=0.3", "optim.lr=0.1", crop := "augment.crop=67")
    started = ["alexnet_pl", "--config-path=/b", "--config-name=config", "++command=fit"]  # by `reproduce` or a sweep
    monkeypatch.setattr(sys, "argv", list(started))
    pin_start_for_ddp_ranks(config("finetune", "transfer.weights=/a", f"transfer.network={network}"))
    added = [f"++{typed}", f"++{crop}"] if network == "weights" else []
    assert sys.argv == [*started, "ckpt_path=null", "transfer.weights='/a'", *added]
