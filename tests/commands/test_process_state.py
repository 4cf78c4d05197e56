"""Processes that the strategy starts repeat the job."""

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from running import Compose
from typed_words import type_words

from alexnet_pl.commands.fit_to_end import pin_start_for_ddp_ranks
from alexnet_pl.commands.process_state import pin_argv_for_ddp_ranks
from alexnet_pl.commands.reproduce import reproduce


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
    own = ["model.dropout=0.3", "model.without='conv3'", "model.unit_biases=['conv2','fc7']", "augment.flip=false"]
    type_words(monkeypatch, *own, "optim.lr=0.1")
    started = ["alexnet_pl", "--config-path=/b", "--config-name=config", "++command=fit"]  # by `reproduce` or a sweep
    monkeypatch.setattr(sys, "argv", list(started))
    pin_start_for_ddp_ranks(config("finetune", "transfer.weights=/a", f"transfer.network={network}", *own))
    added = [f"++{word}" for word in own] if network == "weights" else []
    assert sys.argv == [*started, "ckpt_path=null", "transfer.weights='/a'", *added]


def test_weights_that_a_resumed_fit_does_not_read_are_not_passed_on(
    config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other ranks took them for words that the user typed, and compared them with those that the run began with."""
    started = ["alexnet_pl", "--config-path=/b", "--config-name=config", "++command=fit"]
    monkeypatch.setattr(sys, "argv", list(started))
    pin_start_for_ddp_ranks(config("finetune", "transfer.weights=/a", "ckpt_path=/b", "transfer.network=recipe"))
    assert sys.argv == [*started, "ckpt_path='/b'"]


@pytest.mark.parametrize(("node", "devices"), [(0, 2), (1, 2), (1, 1)])
def test_processes_of_each_node_reproduce_one_config(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: int, devices: int
) -> None:
    """Started with MASTER_ADDR and NODE_RANK on each node, of which only the first writes the config to the folder."""
    words = ["trainer.accelerator=cpu", f"trainer.devices={devices}", "++trainer.num_nodes=2", "seed=7"]
    cfg, started = config("demo", *words, "data.root=/x"), []
    if node == 0:
        (tmp_path / ".hydra").mkdir()
        OmegaConf.save(cfg, tmp_path / ".hydra/config.yaml")
    monkeypatch.setenv("NODE_RANK", str(node))
    monkeypatch.setattr(sys, "argv", ["alexnet_pl", "seed=7"])
    monkeypatch.setattr("alexnet_pl.commands.reproduce.finished_test", lambda *_: None)
    monkeypatch.setattr("alexnet_pl.commands.dispatch.run", lambda *_: started.append(sys.argv.copy()))
    reproduce(cfg, tmp_path)
    if devices == 1:  # no processes to start
        assert started == [sys.argv, sys.argv]
        return
    for argv, command in zip(started, ("fit", "test"), strict=True):
        copy = Path(argv[1].removeprefix("--config-path=")) / "config.yaml"
        assert OmegaConf.load(copy) == cfg
        assert argv[4] == f"++command={command}"
