"""Model card of an exported network: its header, terms, results and commands."""

import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from exports import export, run_example, write_graphs_quickly
from markdown_it import MarkdownIt
from omegaconf import OmegaConf
from PIL import Image
from spaces import single_spaces

from alexnet_pl import load
from alexnet_pl.commands import dispatch
from alexnet_pl.config.recipes import compose
from alexnet_pl.config.views import describe_views
from alexnet_pl.data.store.store import Store
from alexnet_pl.inference.model_card import model_card
from alexnet_pl.inference.weights import WeightsInfo, read_weights
from alexnet_pl.runs.records import DatasetInfo, ImportedWeights, LineageStage


def test_card_says_that_a_fit_is_unfinished_and_names_the_hub(tiny_run: Path, tmp_path: Path) -> None:
    fit = json.loads((tiny_run / "fit.json").read_text())
    (tmp_path / "fit.json").write_text(json.dumps({**fit, "finished": False}))
    card = model_card(read_weights(tiny_run).info, tmp_path, "hf://someone/alexnet")
    assert "12 steps.\nThe fit was not finished." in card
    assert 'alexnet_pl.load("hf://someone/alexnet")' in card


@pytest.mark.parametrize(("name", "whose"), [("demo", ", which also drew the images, is"), ("flowers", " is")])
def test_license_of_images_that_the_package_drew(tiny_run: Path, name: str, whose: str) -> None:
    info = read_weights(tiny_run).info
    card = model_card(replace(info, store=replace(info.store, name=name)), tiny_run, "x")
    assert f"The code of `alexnet_pl`{whose} under the MIT license." in card
    assert ("The images (flowers) have terms of their own." in card) == (name == "flowers")


def test_card_of_a_fine_tuned_network_names_its_pre_training_and_the_terms_of_all_images(tiny_run: Path) -> None:
    info = read_weights(tiny_run).info
    stages = [LineageStage(store=DatasetInfo(name=name)) for name in ("ilsvrc2012", "flowers")]
    card = model_card(replace(info, store=replace(info.store, name="flowers"), lineage=stages), tiny_run, "x")
    assert "12 steps, after training on ilsvrc2012." in card
    assert "ImageNet, whose terms of access allow non-commercial research" in card


def test_card_has_the_commit_of_the_fit_not_of_a_later_test(tiny_run: Path, tmp_path: Path) -> None:
    kept = json.loads((tiny_run / "provenance.json").read_text())
    (fit,) = [one for one in kept["sessions"] if one["command"] == "fit"]
    sessions = [{**fit, "commit": "a" * 40}, {**fit, "command": "test", "commit": "b" * 40}]
    (tmp_path / "provenance.json").write_text(json.dumps({**kept, "sessions": sessions}))
    card = model_card(read_weights(tiny_run).info, tmp_path, "x")
    assert ("a" * 40 in card, "b" * 40 in card) == (True, False)


@pytest.mark.parametrize(("file_format", "views", "other"), [("onnx", "ten", ""), ("onnx", "center", "other views")])
def test_card_of_a_graph_names_its_views(tiny_run: Path, file_format: str, views: str, other: str) -> None:
    info = read_weights(tiny_run).info
    assert info.result
    info = replace(info, result=replace(info.result, views="ten"))
    card = single_spaces(model_card(info, tiny_run, "x", formats={file_format: views}))
    size = info.architecture["augment"]["size"]
    assert f"`model.onnx` takes images of {size} × {size} pixels and averages {describe_views(views)}" in card
    assert ("the errors above are of other views" in card) == bool(other)
    assert "takes images" not in model_card(info, tiny_run, "x")


@pytest.mark.parametrize(
    ("model", "title", "tag"),
    [
        ({}, "AlexNet", "alexnet"),
        ({"name": "caffe"}, "AlexNet", "alexnet"),
        ({"name": "overfeat"}, "OverFeat", "overfeat"),
        ({"name": "local"}, "Locally connected network", "cifar10"),
    ],
)
def test_card_names_the_network(tiny_run: Path, model: dict[str, str], title: str, tag: str) -> None:
    info = read_weights(tiny_run).info
    card = model_card(replace(info, architecture={**info.architecture, "model": model}), tiny_run, "x")
    assert f"# {title}, trained on tiny\n" in card
    assert header(card)["tags"] == [tag, "image-classification"]
    assert ("Krizhevsky" in card) == (title == "AlexNet")


def test_example_of_the_card_runs_beside_the_folder(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    export(tiny_run, "out=.")
    card = (tmp_path / "mine/README.md").read_text()
    (tmp_path / "README.md").write_text(card)
    best = run_example(tmp_path, monkeypatch, capsys)
    assert load(tiny_run).predict("picture.jpg")[0][0].class_id in best


def header(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


@pytest.mark.parametrize(
    ("earlier", "name", "license_name", "datasets"),
    [
        ([], "demo", "mit", None),
        (["demo"], "demo", "mit", None),
        (["flowers"], "demo", "other", None),
        ([], "flowers", "other", None),
        ([], "fall_detection", "other", None),
        ([], "tinyimagenet_others", "other", None),
        ([], "cifar10", "other", ["uoft-cs/cifar10"]),
        (["ilsvrc2012"], "imagenette", "other", ["ILSVRC/imagenet-1k", "frgfm/imagenette"]),
    ],
)
def test_header_has_the_terms_and_data_sets_of_all_stages(
    tiny_run: Path, earlier: list[str], name: str, license_name: str, datasets: list[str] | None
) -> None:
    info = read_weights(tiny_run).info
    stages = [LineageStage(store=DatasetInfo(name=one)) for one in (*earlier, name)]
    info = replace(info, store=replace(info.store, name=name), lineage=stages)
    card = model_card(info, tiny_run, "x")
    assert (header(card)["license"], header(card).get("datasets")) == (license_name, datasets)
    of_imagenet = "ilsvrc2012" in earlier or "imagenet" in name
    assert ("license_link" in header(card)) == of_imagenet == ("terms of access" in card)
    assert (license_name == "mit") == ("which also drew the images" in card)


def test_header_of_imported_weights_leaves_the_terms_to_their_publisher(tiny_run: Path) -> None:
    info = read_weights(tiny_run).info
    imported = ImportedWeights(file="a", sha256="b", format="caffe")
    found = header(model_card(replace(info, imported=imported, store=replace(info.store, name="demo")), tiny_run, "x"))
    assert (found["license"], "datasets" in found) == ("other", False)


def test_hub_reads_the_accuracies_of_the_header(tiny_run: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    result = json.loads((tiny_run / "result.json").read_text())
    top1, top5 = hub.ModelCard(model_card(read_weights(tiny_run).info, tiny_run, "x")).data.eval_results
    assert (top1.task_type, top1.metric_type, top1.dataset_type) == ("image-classification", "accuracy", "tiny")
    assert top1.dataset_name == f"{result['images']:,} val images of tiny"
    assert top1.metric_value == pytest.approx(100 - result["top1_error"], abs=0.006)
    assert top5.metric_value == pytest.approx(100 - result["top5_error"], abs=0.006)
    info = replace(read_weights(tiny_run).info, result=None)
    assert "model-index" not in header(model_card(info, tiny_run, "x"))


def test_folder_of_two_formats_has_one_card_for_both(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_graphs_quickly(monkeypatch)
    export(tiny_run, f"out={tmp_path}")
    assert json.loads((tmp_path / "config.json").read_text())["views"] == {}
    for words in (["format=onnx", "views=center"], ["format=safetensors"]):
        export(tiny_run, f"out={tmp_path}", *words)
        assert json.loads((tmp_path / "config.json").read_text())["views"] == {"model.onnx": "center"}
        card = single_spaces((tmp_path / "README.md").read_text())
        assert f"`model.onnx` takes images of 72 × 72 pixels and averages {describe_views('center')}" in card
        assert "alexnet_pl.load(" in card
        assert 'InferenceSession("model.onnx")' in card
    (tmp_path / "model.onnx").unlink()
    export(tiny_run, f"out={tmp_path}")
    assert "onnx" not in (tmp_path / "README.md").read_text() + (tmp_path / "config.json").read_text()


def test_card_leaves_out_the_top_5_error_of_five_classes(tiny_run: Path) -> None:
    info = read_weights(tiny_run).info
    assert info.result
    for classes, shown in {5: False, 6: True}.items():
        result = replace(info.result, dataset=replace(info.result.dataset, classes=classes))
        card = single_spaces(model_card(replace(info, result=result), tiny_run, "x"))
        assert ("| top-5 |" in card) == shown
        assert "| top-1 |" in card


def test_card_leaves_out_errors_and_intervals_that_an_older_result_lacks(tiny_run: Path) -> None:
    info = read_weights(tiny_run).info
    assert info.result
    unknown = [math.nan, math.nan]
    older = replace(info.result, top5_error=math.nan, top1_error_interval=unknown, top5_error_interval=unknown)
    card = single_spaces(model_card(replace(info, result=older), tiny_run, "x"))
    assert f"| top-1 | {older.top1_error:.2f} | |" in card
    assert not re.search(r"\bnan\b", card)
    assert "top-5" not in card


def test_text_from_records_stays_text_in_the_card(tiny_run: Path, tmp_path: Path) -> None:
    evil = "<script>x</script> [a](//b) ![c](//d) `e` *f*\n```\n# g"
    (session, *_) = json.loads((tiny_run / "provenance.json").read_text())["sessions"]
    session |= {
        "gpus": [evil],
        "commit": evil,
        "precision": evil,
        "packages": {"torch": evil, evil: "1", "numpy": "2.1"},
    }
    (tmp_path / "provenance.json").write_text(json.dumps({"sessions": [session]}))
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra/hydra.yaml").write_text(yaml.safe_dump({"hydra": {"job": {"config_name": evil}}}))
    (tmp_path / ".hydra/overrides.yaml").write_text("[seed=1]\n")
    info = read_weights(tiny_run).info
    assert info.result
    dataset = replace(info.result.dataset, name=evil, split=evil)
    result = replace(info.result, dataset=dataset, views=evil, claim=evil)
    changed = replace(info, store=dataset, lineage=[LineageStage(store=dataset)] * 2, result=result)
    imported = ImportedWeights(file=evil, sha256=evil, format="caffe", classes=evil)
    for one in (changed, replace(changed, imported=imported)):
        html = MarkdownIt().enable("table").render(model_card(one, tmp_path, "x").split("---\n", 2)[2])
        assert not re.findall("<(?:script|a|img|em)[ >]", html)
        assert re.findall("<h[1-6]>(?!<)(.*?)[&<,]", html)[1:] == [
            "Errors",
            "Use",
            "Training",
            "Limitations",
            "License",
        ]
    card = model_card(info, tmp_path, "x")
    assert "Commit unknown" in card
    assert "; numpy 2.1." in card
    assert "```\npython -m alexnet_pl reproduce -c RUN\n```" in card


def test_command_of_the_card_is_quoted(tiny_run: Path, tmp_path: Path) -> None:
    """The config in a run folder may have been edited by its author."""
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra/hydra.yaml").write_text("hydra: {job: {config_name: 'demo; echo evil'}}\n")
    overrides = tmp_path / ".hydra/overrides.yaml"
    overrides.write_text("['seed=$(echo evil)']\n")
    (tmp_path / "provenance.json").write_bytes((tiny_run / "provenance.json").read_bytes())
    info = read_weights(tiny_run).info
    card = model_card(info, tmp_path, "x")
    assert "reproduce -c 'demo; echo evil' 'seed=$(echo evil)' data.root=STORE" in card
    (tmp_path / ".hydra/hydra.yaml").write_text("hydra: {job: {config_name: imagenette}}\n")
    overrides.write_text("[++command=fit, +model.width=0.25, ++trainer.max_epochs=3, optim.lr=0.02]\n")
    assert "prepare -c imagenette prepare.source=IMAGES data.root=STORE\n" in model_card(info, tmp_path, "x")
    words = "+model.width=0.25 trainer.max_epochs=3 optim.lr=0.02"
    assert f"reproduce -c imagenette {words} data.root=STORE" in model_card(info, tmp_path, "x")
    bomb = ["- &a0 [x]", *(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30))]
    for text in ("\n".join(bomb), "[" * 10_000, "\t"):
        overrides.write_text(text)
        assert "python -m alexnet_pl reproduce -c RUN\n" in model_card(info, tmp_path, "x")


def test_card_says_how_to_prepare_the_images_without_paths(tiny_run: Path, tmp_path: Path) -> None:
    hydra, info = tmp_path / ".hydra", read_weights(tiny_run).info
    hydra.mkdir()
    (tmp_path / "provenance.json").write_bytes((tiny_run / "provenance.json").read_bytes())
    words = (
        "[data.root=/home/me/s, data.name=mine, data.size=72, prepare.source=/home/me/i, prepare.val_share=0.1, seed=1]"
    )
    (hydra / "overrides.yaml").write_text(words)
    made = "data.name=mine data.size=72"
    for name, source, given in (
        ("folder", "/home/me/i", " prepare.source=IMAGES"),
        ("overfeat_demo", "scenes", ""),
    ):
        (hydra / "hydra.yaml").write_text(f"hydra: {{job: {{config_name: {name}}}}}\n")
        (hydra / "config.yaml").write_text(f"{{data: {{name: mine}}, prepare: {{source: {source}}}}}")
        card = model_card(info, tmp_path, "x")
        prepare, reproduce = re.findall(r"^python -m alexnet_pl (.+)$", card, re.MULTILINE)
        assert prepare == f"prepare -c {name} {made} prepare.val_share=0.1{given} data.root=STORE"
        assert reproduce == f"reproduce -c {name} {made} seed=1 data.root=STORE"
        assert "/home" not in card


def card_of_folder_run(run: Path, info: WeightsInfo, store: Path | None, *fit: str) -> str:
    """Card of a run of the recipe `folder` that was started with the overrides `fit`."""
    (run / ".hydra").mkdir(exist_ok=True)
    (run / ".hydra/hydra.yaml").write_text("hydra: {job: {config_name: folder}}\n")
    (run / ".hydra/overrides.yaml").write_text(json.dumps(fit))
    OmegaConf.save(compose("folder", fit), run / ".hydra/config.yaml")
    return model_card(info, run, "x", Store(store).manifest if store else None)


def prepare_store(words: list[str]) -> str:
    """Prepare with the recipe `folder`; return the fingerprint."""
    cfg = compose("folder", words)
    cfg.command = "prepare"
    dispatch.run(cfg, Path(cfg.data.root).parent / "run")
    return Store(cfg.data.root).fingerprint


@pytest.mark.parametrize(
    "given",
    [
        ["prepare.val_share=0.5", "prepare.filter=bicubic", "data.size=40"],
        ["prepare.encoding=jpeg", "prepare.quality=80", "data.name=my_photos", "prepare.images_per_shard=4"],
        ["prepare.source=scenes", "data.name=drawn", "data.size=64", "prepare.objects=[1,2]", "prepare.encoding=whole"],
    ],
)
def test_prepare_line_of_the_card_makes_the_same_store(tiny_run: Path, tmp_path: Path, given: list[str]) -> None:
    """The options were given to `prepare` alone, not to the fit."""
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(8):
            noise = np.random.default_rng(i).integers(0, 256, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "images" / name / f"{i}.png")
    store, again, run = tmp_path / "photos", tmp_path / "STORE", tmp_path / "trained"
    run.mkdir()
    (run / "provenance.json").write_bytes((tiny_run / "provenance.json").read_bytes())
    made = prepare_store([f"prepare.source={tmp_path / 'images'}", *given, f"data.root={store}"])
    info = read_weights(tiny_run).info
    card = card_of_folder_run(run, info, store, f"data.root={store}", "prepare.val_share=0.3", "seed=1")
    (line,) = re.findall(r"^python -m alexnet_pl prepare -c folder (.+)$", card, re.MULTILINE)
    assert "the store records" in " ".join(card.split())
    words = line.replace("=IMAGES", f"={tmp_path / 'images'}").replace("=STORE", f"={again}")
    assert prepare_store(shlex.split(words)) == made
    card = card_of_folder_run(run, info, None, f"data.root={store}")
    assert "settings of the recipe" in " ".join(card.split())
    assert "the store records" not in " ".join(card.split())
