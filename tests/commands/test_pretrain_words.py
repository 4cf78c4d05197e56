"""Command line of a pre-training, which runs in its own process."""

from pathlib import Path

import pytest
from running import Compose
from typed_words import type_words

from alexnet_pl.commands.subruns import pretrain_words
from alexnet_pl.config.options import make_transfer_options
from alexnet_pl.config.recipes import compose
from alexnet_pl.errors import UserError

STORES = ["transfer.data_roots={fall2011: '/my stores/fall2011', fall2009: /fall2009, ilsvrc2012: null}"]


def test_pre_training_gets_its_store_the_seed_the_logger_and_the_hardware_of_the_command(
    config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ["data.root=/2012", "seed=7", "logger=csv", "transfer.overrides=['optim.lr=1']"]
    cfg, composed = config("finetune2012", *own, *STORES), compose("fall2011", [])
    type_words(monkeypatch, "seed=7", "performance.compile=false", "trainer.devices=2", "optim.lr=0.1")
    words = pretrain_words(cfg, make_transfer_options(cfg), Path("/a run/pretrained"), composed)
    assert words == [
        "fit", "-c", "fall2011", "data.root='/my stores/fall2011'", "seed=7", "logger=csv",
        "wandb.project='alexnet_pl'", "wandb.entity=null", "ckpt_path=auto", "hydra.run.dir='/a run/pretrained'",
        "++performance.compile=false", "++trainer.devices=2", "optim.lr=1",
    ]  # fmt: skip


def test_pre_training_that_continues_from_another_gets_the_stores_of_both(config: Compose) -> None:
    cfg = config("finetune2012", "data.root=/2012", *STORES, "transfer.pretrain_recipe=fall2011_chain")
    words = pretrain_words(cfg, make_transfer_options(cfg), Path("run"), compose("fall2011_chain", []))
    assert [word for word in words if word.startswith("transfer.")] == ["transfer.data_roots.fall2009='/fall2009'"]


def test_missing_store_is_named(config: Compose) -> None:
    cfg = config("finetune2012", "data.root=/2012")
    with pytest.raises(UserError, match=r"^transfer\.data_roots\.fall2011 is required: pass transfer\.data_roots\."):
        pretrain_words(cfg, make_transfer_options(cfg), Path("run"), compose("fall2011", []))
