"""Untrusted run folders: they cannot write elsewhere, block on pipes, or choose a recipe to compose."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict
from PIL import Image
from safetensors.torch import save
from typed_words import type_words

from alexnet_pl.cli import exit_messages
from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.commands import dispatch, registry
from alexnet_pl.commands.retrieve import write_neighbors
from alexnet_pl.commands.subruns import check_named_recipe
from alexnet_pl.config.checks import check_config
from alexnet_pl.config.overrides import quote_literal
from alexnet_pl.config.recipes import SHIPPED, compose, find_recipe
from alexnet_pl.config.run_config import check_links, read_own_keys
from alexnet_pl.console import print_message, progress, suggest
from alexnet_pl.csv_file import to_csv
from alexnet_pl.data.archives.location import LARGEST_FILE, ByteLocation
from alexnet_pl.detection.box_run import BoxRun
from alexnet_pl.detection.detection_files import write_boxes
from alexnet_pl.detection.finder import PredictedBoxes
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.confusions import write_table
from alexnet_pl.evaluation.result import read_result
from alexnet_pl.experiment.predict import read_batches, write_predictions
from alexnet_pl.experiment.trainer_checks import check_trainer_options
from alexnet_pl.inference.weights import METADATA_KEY, read_weights
from alexnet_pl.json_records import LARGEST_RECORD
from alexnet_pl.paper.results import collect_tests
from alexnet_pl.retrieval.search import Neighbors
from alexnet_pl.runs.layout import read_config, read_each
from alexnet_pl.table import Table, print_list, print_tables

OWN: dict[str, Any] = {"command": "fit", "model": {"num_classes": 10}, "data": {"name": "demo", "root": "nowhere"}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run/.hydra").mkdir(parents=True)
    (tmp_path / "run/.hydra/config.yaml").write_text(yaml.safe_dump(OWN))
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["export", "figures", "page"])
def test_commands_on_run_folders_do_not_write_through_links(run: Path, tmp_path: Path, name: str) -> None:
    canary = tmp_path / "precious.md"
    canary.write_text("kept")
    (run / "export").mkdir()
    (run / "export/README.md").symlink_to(canary)
    (run / "figures").symlink_to(tmp_path)
    (run / "metrics.csv").write_text("step\n")
    (run / "checkpoints").mkdir()
    (run / "checkpoints/last.ckpt").write_bytes(b"")
    words = [str(run), "port=7999"] if name == "page" else [str(run)]
    with pytest.raises(UserError, match="outside of the run folder"):
        dispatch.run_on_folders(registry.COMMANDS[name], words)
    assert canary.read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious.md", "run"]


TRUSTED = yaml.safe_dump({"defaults": ["demo", "_self_"], "wandb": {"project": "${oc.env:HOME}"}})  # as a recipe may


def link_config(run: Path, how: str) -> None:
    """Make the run's config, or the folder that it lies in, a link to a recipe in the same run folder."""
    (run / "x").mkdir()
    (run / "x/config.yaml").write_text(TRUSTED)
    path = run / (".hydra" if how == "folder" else ".hydra/config.yaml")
    (run / ".hydra/config.yaml").unlink()
    if how == "folder":
        path.rmdir()
    elif how == "beside":
        (run / "x/config.yaml").rename(run / ".hydra/recipe.yaml")
    path.symlink_to({"folder": "x", "file": "../x/config.yaml", "beside": "recipe.yaml"}[how])


@pytest.mark.parametrize("how", ["folder", "file", "beside"])
@pytest.mark.parametrize(
    "typed", ["run", "link", "run/.hydra/config.yaml", "link/.hydra/../.hydra/config.yaml", "mine.yaml"]
)
def test_linked_config_of_a_run_folder_is_no_recipe(
    run: Path, how: str, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link_config(run, how)
    monkeypatch.chdir(run.parent)
    Path("link").symlink_to("run")
    Path("mine.yaml").symlink_to("run/.hydra/config.yaml")
    with pytest.raises(UserError, match=r"a link, which a run folder's \.hydra must not hold"):
        to_hydra(["fit", typed, "ckpt_path=null"])


@pytest.mark.parametrize(
    "name", ["run/.hydra/recipe.yaml", "run/.hydra/x/config.yaml", "run/.Hydra/recipe.yaml", "latest", "recipe.yaml"]
)
def test_other_files_of_a_run_folder_do_not_pass_as_a_recipe(run: Path, name: str) -> None:
    """`latest`: what a user takes for a run folder is a file. `recipe.yaml`: Hydra would compose `text.yaml`."""
    path = run.parent / name
    path.parent.mkdir(exist_ok=True)
    if name == "recipe.yaml":
        (run / "text.txt").write_text(TRUSTED)
        path.symlink_to(run / "text.txt")
    else:
        path.write_text(TRUSTED)
    with pytest.raises(UserError, match=r"it is no recipe|a recipe, whose name ends in \.yaml|name ends in \.yaml"):
        find_recipe(str(path))


def test_linked_run_folder_and_recipe_are_found(run: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("run")
    (tmp_path / "mine.yaml").symlink_to(SHIPPED / "demo.yaml")
    config = run.resolve() / ".hydra/config.yaml"
    for given in (run, tmp_path / "latest", tmp_path / "latest/.hydra/config.yaml"):
        assert find_recipe(str(given)) == config
    assert find_recipe(str(tmp_path / "mine.yaml")) == SHIPPED / "demo.yaml"


def test_test_of_a_checkpoint_does_not_write_through_a_link_of_its_run(run: Path, tmp_path: Path) -> None:
    (run / "checkpoints").mkdir()
    (run / "checkpoints/last.ckpt").write_bytes(b"")
    (run / ".hydra/test").symlink_to(tmp_path)  # Hydra writes its files there
    with pytest.raises(UserError, match=r"\.hydra/test: a link"):
        to_hydra(["test", "-c", "demo", f"ckpt_path={run}/checkpoints/last.ckpt"])


def test_named_pipe_in_a_run_folder_is_refused(run: Path) -> None:
    os.mkfifo(run / "fit.json")
    for read in (check_links, read_config, BoxRun):
        with pytest.raises(UserError, match=r"fit\.json: not a regular file or folder"):
            read(run)


def test_report_skips_a_result_that_is_a_pipe_or_endless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe, large, deep = (tmp_path / f"{name}/results/val-ten/result.json" for name in ("pipe", "large", "deep"))
    for path in (pipe, large, deep):
        path.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(LARGEST_RECORD + 1)
    deep.write_text("[" * 100_000)
    for path in (pipe, large, deep):
        with pytest.raises(UserError, match=rf"^{path}: "):
            read_result(path)
    assert collect_tests([tmp_path]) == []
    told = capsys.readouterr().err
    assert all(f"skipped: {path}: " in told for path in (pipe, large, deep))


def test_keys_that_write_elsewhere_are_dropped_with_a_message(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / ".hydra/config.yaml"
    node = {
        "bench": {"output": "/home/me/.profile", "rounds": 2},
        "report": {"output": "/x"},
        "prepare": {"repair": True},
    }
    path.write_text(yaml.safe_dump(OWN | node))
    own = read_own_keys(path)
    assert (own["bench"], own["report"]) == ({"output": None, "rounds": 2}, {"output": None})
    assert own["prepare"] == {"repair": False}
    told = capsys.readouterr().err
    assert all(f"{key}=" in told for key in ("bench.output", "report.output", "prepare.repair"))


@pytest.mark.parametrize("key", ["transfer.pretrain_recipe", "ensemble.groups.cnns.recipe"])
@pytest.mark.parametrize("name", ["/tmp/evil.yaml", "evil.yaml", "../run/evil", "run"])
def test_recipe_named_by_a_run_folder_is_not_composed(name: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe may choose Hydra's launcher, which is code, so a run folder must not choose a recipe."""
    type_words(monkeypatch, "seed=1")
    job: Any = HydraConfig.get()
    job.runtime.config_sources = [{"provider": "main", "path": f"/cache/{'0' * 16}"}]
    job.job = {"config_name": "config"}
    with pytest.raises(UserError, match="named by a run folder"):
        check_named_recipe(key, name)
    check_named_recipe(key, "fall2011")
    job.overrides.task = [f"{key}={name}"]
    check_named_recipe(key, name)  # typed by the user
    job.overrides.task, job.runtime.config_sources[0].path = [], "/home/me"
    check_named_recipe(key, name)  # in the user's own recipe, whose name is config.yaml


@pytest.mark.parametrize("where", ["transfer.overrides", "ensemble.groups.a.overrides"])
def test_interpolation_made_of_two_parts_does_not_reach_a_command_line(where: str) -> None:
    cfg = compose("ensemble_5cnns" if where.startswith("ensemble") else "ilsvrc2012")
    word = "data.root=https://host/${wandb.project}{oc.env:HOME}"
    group = {"recipe": "demo", "seeds": [1], "overrides": [word]}
    with open_dict(cfg):
        cfg.wandb.project = "$"
        if where.startswith("ensemble"):
            cfg.ensemble.groups = {"a": group}
        else:
            cfg.transfer.overrides = [word]
    with pytest.raises(
        UserError, match=rf"^{where}: data.root=https://host/\$\{{oc.env:HOME\}}: \$\{{…\}} is not allowed"
    ):
        check_config(cfg)


@pytest.mark.parametrize(
    "text", ["a/${oc.env:HOME}", "a/\\${oc.env:HOME}", "a/\\\\${oc.env:HOME}", "it's ${seed}, {x}", "${"]
)
def test_quoted_text_reaches_a_command_line_as_it_is(text: str) -> None:
    assert compose("demo", [f"data.root={quote_literal(text)}"]).data.root == text


@pytest.mark.parametrize(
    ("old", "section"), [({"test": "x", "views": "ten"}, "test"), ({"monitor": 3, "watch": {"every": 3}}, "monitor")]
)
def test_section_that_an_old_key_needs_is_named(run: Path, old: dict[str, Any], section: str) -> None:
    path = run / ".hydra/config.yaml"
    path.write_text(yaml.safe_dump(OWN | old, sort_keys=False))
    with pytest.raises(UserError, match=rf"config\.yaml: {section}: expected a section of keys, not "):
        read_own_keys(path)


@pytest.mark.parametrize("value", [[], 3, "x", None, True])
def test_section_that_is_not_a_mapping_is_named(run: Path, value: Any) -> None:
    path = run / ".hydra/config.yaml"
    path.write_text(yaml.safe_dump(OWN | {"trainer": value}))
    with pytest.raises(UserError, match=r"config\.yaml: trainer: expected a section of keys, not "):
        read_own_keys(path)


def test_lightning_model_registry_is_refused() -> None:
    with pytest.raises(UserError, match=r"trainer\.model_registry=x: not supported"):
        check_trainer_options({"model_registry": "x"})


def test_control_characters_in_messages_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        exit_messages.fail("a\x1b]0;title\x07b\nalexnet_pl: c\x9b2J: n02_é.JPEG")
    assert capsys.readouterr().err == "alexnet_pl: a?]0;title?b?alexnet_pl: c?2J: n02_é.JPEG\n"


TITLE = "\x1b]0;title\x07"  # changes the title of a terminal


def test_control_characters_from_files_do_not_reach_the_terminal(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = {TITLE: 1, "bench": {"output": TITLE}}
    (run / ".hydra/config.yaml").write_text(yaml.safe_dump(OWN | node))
    read_own_keys(run / ".hydra/config.yaml")
    result = tmp_path / TITLE / "results/val-ten/result.json"
    result.parent.mkdir(parents=True)
    result.write_text("{")
    assert collect_tests([tmp_path]) == []
    assert list(read_each([result], read_result)) == []
    print_tables([Table(TITLE, [TITLE], [[TITLE], ["two\nlines"]], (TITLE,))])
    print_list(TITLE, [TITLE])
    print_message(TITLE, tmp_path / TITLE)
    suggest(TITLE)
    progress(TITLE)
    image = tmp_path / f"{TITLE}.png"
    Image.new("RGB", (9, 9)).save(image)
    bad = tmp_path / f"{TITLE}.jpg"
    bad.write_bytes(b"")
    assert list(read_batches([image, bad], lambda pixels: pixels))
    for text in capsys.readouterr():
        assert "?]0;title?" in text
        assert not set(text) & {"\x1b", "\x07"}


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_names_are_no_formulas_in_csv_files(tmp_path: Path, sign: str) -> None:
    name = f"{sign}cmd|x!A1"
    boxes = PredictedBoxes(np.array([0]), np.array([0.5]), np.array([[-1.0, 0, 2, 2]]))
    index: Any = SimpleNamespace(features=SimpleNamespace(names=[name], labels=np.array([0])), classes=[[name, name]])
    write_predictions([{"file": name, "labels": [{"class": name, "name": name, "probability": 1.0}]}], tmp_path)
    write_boxes(tmp_path, [(name, boxes)], [[name, name]])
    write_neighbors(tmp_path, [(name, name, name)], Neighbors(np.array([[0]]), np.array([[1.0]]), 1.0), index, {})
    write_table(tmp_path / "confusions.csv", [{"class": name, "change": -1.0}])
    (tmp_path / "report.csv").write_text(to_csv(["row", "ours"], [[name, -1.0]]), newline="")
    for path in tmp_path.glob("*.csv"):
        with path.open(newline="") as file:
            text = file.read()
        assert text.count(f"'{name}") == text.count(name) > 0, path
    assert json.loads((tmp_path / "predictions.json").read_text())[0]["file"] == name


def test_pipes_devices_and_oversized_files_are_not_read_as_images(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "device.jpg"):
        with pytest.raises(OSError, match="neither a file"):
            ByteLocation(tmp_path / name).read()
    (tmp_path / "x.tar").write_bytes(b"")
    for packed in ("", "gzip", "zip"):
        with pytest.raises(ValueError, match="more than any photograph"):
            ByteLocation(tmp_path / "x.tar", 0, LARGEST_FILE + 1, packed).read()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"filter": "__import__('os')"}, "filter"),
        ({"classes": [[3]]}, "classes"),
        ({"architecture": {}}, "architecture"),
    ],
)
def test_exported_weights_with_invalid_metadata_are_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    facts = {"architecture": {"model": {}, "augment": {}}, "classes": [["a", "b"]], **change}
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"net.x": torch.zeros(1)}, {METADATA_KEY: json.dumps(facts)}))
    with pytest.raises(UserError, match=rf"model\.safetensors: .*{says}"):
        read_weights(path)
