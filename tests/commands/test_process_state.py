"""Processes that the strategy starts repeat the job."""

import sys
from pathlib import Path

import pytest

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
