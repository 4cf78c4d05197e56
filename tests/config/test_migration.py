"""Migration of renamed keys: error messages name the new key; old files are read like new ones."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.config.checks import check_nested_overrides
from alexnet_pl.config.identity import ADDED, training_signature
from alexnet_pl.config.known_keys import dotted, suggest_key
from alexnet_pl.config.migration import SCHEMA, migrate, migrate_record
from alexnet_pl.config.recipe_files import check_recipe
from alexnet_pl.config.recipes import SHIPPED, compose
from alexnet_pl.config.renamed_keys import RENAMED, new_key, refuse_renamed_overrides
from alexnet_pl.config.run_config import read_own_keys
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.ensemble_members import find_predictions
from alexnet_pl.evaluation.result import read_result
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.layout import read_config, results_dir
from alexnet_pl.training.schedules import PlateauSchedule

OLD = {
    "command": "fit",
    "seed": 3,
    "views": "centre",
    "project": "mine",
    "entity": None,
    "probabilities": "auto",
    "images": None,
    "stage": "train",
    "rounds": 5,
    "json": None,
    "profile": False,
    "rates": {"relu": 0.004},
    "data": {
        "name": "demo", "root": "/old", "source": None, "size": 128, "filter": "bicubic", "held_out": 0.25,
        "batch_size": 64,
        "names": {"n.1": "a b"}, "synsets": None, "encoding": "jpeg", "quality": 90, "subsampling": 420, "shard": 64,
        "workers": 2, "part": None, "repair": False, "test_split": "val", "fold_in": 7,
    },
    "augment": {"share": 32, "crop": 112, "divide": False, "mean": "place", "last_offset": True, "reflect": False},
    "model": {"activation": "relu"},
    "optim": {"lr": "${rates.${model.activation}}", "bias_rate": 2.0, "bias_decay": True, "undecayed": ["conv1"]},
    "schedule": {"name": "staged", "staged": {"stages": [{"epoch": 1, "weights": {"all": 0.01}}]}},
    "transfer": {"carry": ["conv1"], "recipe": "standin_pretrain", "roots": {"standin_others": "/s"}, "overrides": []},
    "ensemble": {
        "groups": {"a": {"recipe": "standin", "seeds": [1], "overrides": ["speed.fast=false", "reading=printed"]}},
    },
    "watch": {"every": 2, "images": 4, "checkpoints": True},
    "speed": {
        "fast": False, "compile": False, "graph": False, "keep": True, "allocator": False, "ahead": True,
        "decode": "cpu",
    },
    "codes": {"binary": "straight"},
}  # fmt: skip
NEW = {
    "command": "fit",
    "seed": 3,
    "test": {"views": "center", "save_predictions": "auto", "split": "val"},
    "wandb": {"project": "mine", "entity": None},
    "predict": {"images": None},
    "bench": {"suite": "train", "rounds": 5, "output": None, "profile": False},
    "data": {"name": "demo", "root": "/old", "size": 128, "batch_size": 64, "include_val_after_epoch": 7},
    "prepare": {
        "source": None, "filter": "bicubic", "val_share": 0.25, "names": {"n.1": "a b"}, "synsets": None,
        "encoding": "jpeg", "quality": 90, "images_per_shard": 64, "workers": 2, "part": None, "repair": False,
    },
    "augment": {
        "images_per_crop": 32, "crop": 112, "rescale": False, "mean": "per_position", "include_last_offset": True,
        "flip": False,
    },
    "model": {"activation": "relu"},
    "optim": {
        "lr": "${schedule.lr_by_activation.${model.activation}}", "bias_lr_scale": 2.0, "decay_biases": True,
        "layer_decay": {"conv1": 0.0},
    },
    "schedule": {
        "name": "staged", "staged": {"stages": [{"epoch": 1, "weights": {"all": 0.01}}]},
        "lr_by_activation": {"relu": 0.004},
    },
    "transfer": {
        "layers": ["conv1"], "pretrain_recipe": "standin_pretrain", "data_roots": {"standin_others": "/s"},
        "overrides": [],
    },
    "ensemble": {
        "groups": {"a": {"recipe": "standin", "seeds": [1],
        "overrides": ["performance.optimized=false", "variant=as_printed"]}},
    },
    "monitor": {"every_n_epochs": 2, "num_images": 4, "upload_checkpoints": True},
    "performance": {
        "optimized": False, "compile": False, "cuda_graph": False, "cache_on_gpu": True, "retain_memory": False,
        "readahead": True, "jpeg_decoder": "cpu",
    },
    "codes": {"binary": "straight_through"},
}  # fmt: skip
OLD_TRAINING = {"augment": {"divide": True, "mean": "centre"}, "transfer": {"carry": []}}
NEW_TRAINING = {"augment": {"rescale": True, "mean": "center"}, "transfer": {"layers": []}}


def test_old_config_is_migrated_and_a_current_one_unchanged() -> None:
    assert migrate(OLD) == NEW
    assert migrate(NEW) == NEW


def test_every_new_key_exists_in_a_shipped_recipe() -> None:
    """Compared with the YAML files, which other tests compare with the commands."""
    shipped: dict[str, Any] = {}
    for path in SHIPPED.glob("*.yaml"):
        for key in dotted(yaml.safe_load(path.read_text())):
            shipped[key] = path
    for path in SHIPPED.glob("variant/*.yaml"):
        shipped |= dict.fromkeys(dotted(yaml.safe_load(path.read_text())), path)
    assert not {new for new in RENAMED.values() if new} - shipped.keys() - {"variant"}
    assert not shipped.keys() & RENAMED.keys()


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("speed.fast=true", r"^speed.fast: this key is now performance.optimized$"),
        ("++speed.fast=true", r"^speed.fast: this key is now performance.optimized$"),
        ("~data.names", r"^data.names: this key is now prepare.names$"),
        ("reading=printed", r"^reading: this key is now variant$"),
        ("transfer.roots.fall2011=/x", r"^transfer.roots.fall2011: this key is now transfer.data_roots.fall2011$"),
        ("data.subsampling=444", r"^data.subsampling: this key was removed; leave it out$"),
    ],
)
def test_old_key_on_the_command_line_names_the_new_one(word: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        to_hydra(["fit", "-c", "demo", word])


def test_current_keys_are_accepted() -> None:
    current = ["data.root=/a", "optim.lr=0.1", "+trainer.x=1", "performance.optimized=true", "hydra.run.dir=x"]
    refuse_renamed_overrides(current)
    assert new_key("data.batch_size") == "data.batch_size"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("speed: {fast: false}", "speed.fast: this key is now performance.optimized"),
        ("views: centre", "views: this key is now test.views"),
        ("defaults: [demo, {override reading: printed}, _self_]", "reading: this key is now variant"),
    ],
)
def test_old_key_in_a_recipe_is_named_with_its_file(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=f"mine.yaml: {says}"):
        check_recipe(path)


@pytest.mark.parametrize(
    ("key", "there"), [("lr", "optim.lr"), ("batch_size", "data.batch_size"), ("crop", "augment.crop")]
)
def test_last_part_of_a_key_suffices_for_a_suggestion(key: str, there: str) -> None:
    assert suggest_key(key) == f"; did you mean {there}?"


def test_old_run_folder_is_migrated_on_reading(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "run", OLD)
    assert read_own_keys(folder / ".hydra/config.yaml") == NEW
    cfg = read_config(folder)
    assert (cfg.optim.lr, cfg.test.views) == (0.004, "center")
    assert compose(str(folder)).prepare.images_per_shard == 64


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_records_of_schema_1_are_migrated_completely() -> None:
    lineage = [{"store": {}, "training": OLD_TRAINING, "finished": True}]
    member = {"training": OLD_TRAINING, "lineage": lineage, "views": "centre"}
    found = migrate_record({"views": "centre", "training": OLD_TRAINING, "lineage": lineage, "members": [member]})
    stage = {"schema": SCHEMA, "store": {}, "training": NEW_TRAINING, "finished": True}
    assert found["members"] == [{"schema": SCHEMA, "training": NEW_TRAINING, "lineage": [stage], "views": "center"}]
    assert (found["views"], found["training"], found["lineage"]) == ("center", NEW_TRAINING, [stage])
    assert migrate_record(found) == found
    assert migrate_record({"training": None, "views": "ten"}) == {"schema": SCHEMA, "training": None, "views": "ten"}


def test_settings_without_effect_are_left_out_of_records() -> None:
    """Older records of the CIFAR-10 networks have `flip`, newer ones only if it is false; also those of members and of
    earlier runs."""
    older = {"augment": {"flip": True, "crop": 24}, "transfer": {"layers": [], "freeze": []}}
    newer = {"augment": {"crop": 24}, "transfer": {"layers": []}}
    stage = {"training": older, "finished": True}
    found = migrate_record({"schema": SCHEMA, "training": older, "lineage": [stage], "members": [stage]})
    assert found["training"] == found["lineage"][0]["training"] == found["members"][0]["training"] == newer
    assert fit_status.changed_settings(older, newer) == []
    other = {"augment": {"flip": False, "crop": 24}, "data": {"shuffle": "once"}}
    assert migrate_record({"schema": SCHEMA, "training": other})["training"] == other
    assert fit_status.changed_settings(older, {**newer, "augment": other["augment"]}) == ["augment.flip"]


def test_keys_renamed_within_a_schema_are_no_change_of_settings() -> None:
    old = {"optim": {"lr": 0.01, "no_decay_layers": ["conv1"]}}
    new = {"optim": {"lr": 0.01, "layer_decay": {"conv1": 0.0}}}
    assert migrate_record({"schema": SCHEMA, "training": old})["training"] == new
    assert fit_status.changed_settings(old, new) == []
    assert fit_status.changed_settings(old, {"optim": {"lr": 0.01, "layer_decay": {}}}) == ["optim.layer_decay.conv1"]


def test_added_keys_have_the_values_of_the_main_recipe_and_of_the_code() -> None:
    cfg = compose("ilsvrc2012")
    shipped = {section: {key: cfg[section].get(key) for key in keys} for section, keys in ADDED.items()}
    shipped["schedule"] = {
        "bias_drop": cfg.schedule.plateau.bias_drop,
        "biases": cfg.schedule.steps.biases,
        "freeze_conv1": cfg.schedule.plateau.freeze_conv1,
    }
    assert shipped == ADDED
    arguments: dict[Callable[..., Any], tuple[str, str]] = {
        AlexNet: ("model", "unit_biases"),
        ImageStore: ("data", "shuffle"),
        PlateauSchedule: ("schedule", "bias_drop"),
    }
    for made, (section, key) in arguments.items():
        default = inspect.signature(made).parameters[key].default
        assert (list(default) if isinstance(default, tuple) else default) == ADDED[section][key]


@pytest.mark.parametrize(
    ("changes", "signature"),
    [
        ({"data.shuffle": "once"}, ("data", "shuffle", "once")),
        ({"model.unit_biases": ["conv2"]}, ("model", "unit_biases", ["conv2"])),
        ({"schedule.plateau.bias_drop": 1}, ("schedule", "bias_drop", 1)),
        ({"augment.flip": False}, ("augment", "flip", False)),
    ],
)
def test_signature_has_an_added_key_only_if_it_has_an_effect(
    changes: dict[str, Any], signature: tuple[str, str, Any]
) -> None:
    """A config of an older version, which lacks the keys, has the signature of today's recipe."""
    section, key, value = signature
    cfg, older = compose("ilsvrc2012"), compose("ilsvrc2012")
    OmegaConf.set_struct(older, False)
    for name in ("data.shuffle", "model.unit_biases", "schedule.plateau.bias_drop", "augment.flip", "transfer.rates"):
        parent, _, last = name.rpartition(".")
        del OmegaConf.select(older, parent)[last]
    plain = training_signature(cfg)
    assert training_signature(older) == plain
    assert key not in plain[section]
    for name, changed in changes.items():
        OmegaConf.update(cfg, name, changed)
    assert training_signature(cfg)[section][key] == value


def test_recorded_hardware_does_not_distinguish_runs() -> None:
    """Earlier versions recorded these among the settings that decide a network, whose schedule may not need them."""
    today = training_signature(compose("tinyimagenet"))
    older = {**today, "trainer": {**today["trainer"], "deterministic": True, "check_val_every_n_epoch": 2}}
    assert migrate_record({"schema": SCHEMA, "training": older})["training"] == today
    assert fit_status.changed_settings(older, today) == []
    assert migrate_record({"schema": SCHEMA, "training": {**older, "schedule": -1}})["training"]["schedule"] == -1


def test_older_list_of_layers_without_decay_replaces_the_recipes() -> None:
    """In an ensemble's overrides: of conv1 and conv2, which the recipe leaves out, only conv1; then none."""
    for words, decay in (("[conv1]", {"conv1": 0.0}), ("[conv1, fc10]", {"conv1": 0.0, "fc10": 0.0}), ("[]", None)):
        group = {"recipe": "cifar10_13pct", "seeds": [1], "overrides": [f"optim.no_decay_layers={words}"]}
        found = migrate({"ensemble": {"groups": {"a": group}}})["ensemble"]["groups"]["a"]["overrides"]
        check_nested_overrides(found, "ensemble.groups.a.overrides")
        assert compose("cifar10_13pct", found).optim.layer_decay == decay
    assert migrate({"transfer": {"overrides": ["optim.layer_decay={conv1:0}"]}}) == {
        "transfer": {"overrides": ["optim.layer_decay={conv1:0}"]}
    }


def test_old_fit_and_result_files_match_todays_recipe(tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text(
        json.dumps({"finished": True, "training": OLD_TRAINING, "store": {}, "steps": 5})
    )
    status = fit_status.read_fit_status(tmp_path)
    assert status is not None
    assert status.training == NEW_TRAINING
    assert fit_status.resume_point(tmp_path, NEW_TRAINING) == (False, None), "begun by the same settings"
    result = {"dataset": {}, "views": "centre", "images": 1, "top1_error": 0.0, "checkpoint": {"sha256": "a"}}
    (tmp_path / "result.json").write_text(json.dumps({**result, "training": OLD_TRAINING}))
    found = read_result(tmp_path / "result.json")
    assert (found.views, found.training) == ("center", NEW_TRAINING)


def test_old_checkpoint_has_current_settings(tmp_path: Path) -> None:
    about = {"switches": {"augment": {"size": 8, "crop": 6, "share": 1}}, "course": {"seed": 0, "fold_in": None}}
    torch.save({"state_dict": {}, "global_step": 7, "alexnet_pl": about}, tmp_path / "last.ckpt")
    found = read_checkpoint(tmp_path / "last.ckpt")["alexnet_pl"]
    assert found["switches"] == {"augment": {"size": 8, "crop": 6, "images_per_crop": 1}}
    assert found["course"] == {"seed": 0, "include_val_after_epoch": None}


def test_center_view_results_are_found_under_their_old_name(tmp_path: Path) -> None:
    assert results_dir(tmp_path, "val", "center").name == "val-center"
    older = tmp_path / "results/val-centre"
    older.mkdir(parents=True)
    assert results_dir(tmp_path, "val", "center") == older
    (older / "probabilities.parquet").touch()
    assert find_predictions(tmp_path, None, "center") == older / "probabilities.parquet"
    assert results_dir(tmp_path, "val", "ten").name == "val-ten"
