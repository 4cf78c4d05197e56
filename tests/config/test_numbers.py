"""Numbers given as text are the same settings as numbers."""

import pytest
from omegaconf import OmegaConf
from running import Compose

from alexnet_pl.config.identity import training_signature
from alexnet_pl.config.numbers import convert_numbers, read_number
from alexnet_pl.experiment.processes import count_processes


def test_text_and_environment_count_as_numbers(config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch size as text failed in the middle of training, and two devices counted as one process."""
    monkeypatch.setenv("BATCH", "64")
    words = ["optim.lr='0.02'", "trainer.max_epochs='7'", "trainer.devices='2'", "augment.noise='1e-1'"]
    cfg = config("demo", "data.batch_size=${oc.env:BATCH}", "data.name='2012'", *words)
    convert_numbers(cfg)
    plain = config("demo", "data.batch_size=64", "optim.lr=0.02", "trainer.max_epochs=7", "augment.noise=0.1")
    assert training_signature(cfg) == training_signature(plain)
    assert count_processes(cfg.trainer, "cpu") == 2
    assert cfg.data.name == "2012"
    assert isinstance(cfg.data.batch_size, int)


def test_other_text_stays(config: Compose) -> None:
    """Also keys that interpolate others, are missing, or cannot be resolved."""
    cfg = config("cifar10", "trainer.devices='0,1'", "optim.weight_decay=${oc.env:NOT_SET_ANYWHERE}")
    before = OmegaConf.to_container(cfg, resolve=False)
    convert_numbers(cfg)
    assert OmegaConf.to_container(cfg, resolve=False) == before


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_000", " 16", "0x10", "16px", "--1", "1.", "True"])
def test_what_is_no_plain_number_is_none(text: str) -> None:
    assert read_number(text) is None
