"""Command line of a pre-training, which runs in its own process."""

from pathlib import Path

import pytest
from running import Compose
from typed_words import type_words

from alexnet_pl.commands.subruns import check_same_network, pretrain, pretrain_words
from alexnet_pl.config.options import make_transfer_options
from alexnet_pl.config.recipes import compose, recipe_names
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


def test_pre_training_has_the_typed_variant_unless_it_has_its_own(
    config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_words(monkeypatch, "variant=as_printed")
    for overrides, variants in {"[]": ["as_printed"], "['variant=as_run']": ["as_run"]}.items():
        cfg = config("finetune2012", "data.root=/2012", *STORES, f"transfer.overrides={overrides}")
        words = pretrain_words(cfg, make_transfer_options(cfg), Path("run"), compose("fall2011", []))
        assert [word for word in words if "variant" in word] == [f"variant={name}" for name in variants]


@pytest.mark.parametrize("word", ["model.norm=false", "model.activation=tanh", "variant=as_printed"])
def test_pre_training_of_a_network_that_computes_something_else_is_refused(
    word: str, config: Compose, tmp_path: Path
) -> None:
    """The shapes are the same; the variant of a recipe is not inherited as a typed one is."""
    cfg = config("finetune2012", "data.root=/2012", *STORES, word)
    with pytest.raises(
        UserError, match=r"^transfer.pretrain_recipe=fall2011: trains another network \(model\..*, here "
    ):
        pretrain(cfg, make_transfer_options(cfg), tmp_path)


def test_shipped_recipes_pre_train_the_same_network() -> None:
    staged = [cfg for name in recipe_names() if (cfg := compose(name, [])).transfer.pretrain_recipe]
    assert staged
    for cfg in staged:
        transfer = make_transfer_options(cfg)
        check_same_network(cfg, transfer, compose(str(transfer.pretrain_recipe), transfer.overrides))


def test_missing_store_is_named(config: Compose) -> None:
    cfg = config("finetune2012", "data.root=/2012")
    with pytest.raises(UserError, match=r"^transfer\.data_roots\.fall2011 is required: pass transfer\.data_roots\."):
        pretrain_words(cfg, make_transfer_options(cfg), Path("run"), compose("fall2011", []))
