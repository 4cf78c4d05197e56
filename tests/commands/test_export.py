"""`export`: other programs that read each format compute the network's probabilities."""

import json
import math
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from markdown_it import MarkdownIt
from omegaconf import OmegaConf
from PIL import Image
from spaces import single_spaces

from alexnet_pl import load
from alexnet_pl.commands import dispatch, registry
from alexnet_pl.config.recipes import compose
from alexnet_pl.config.views import describe_views
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.inference.graphs import FORMATS, largest_difference
from alexnet_pl.inference.model_card import model_card
from alexnet_pl.inference.trained_network import TrainedNetwork
from alexnet_pl.inference.weights import Weights, WeightsInfo, read_weights, write_safetensors
from alexnet_pl.runs.records import DatasetInfo, ImportedWeights, LineageStage


def export(*words: object) -> None:
    dispatch.run_on_folders(registry.find("export"), [str(word) for word in words])


def images(run: Path, count: int) -> torch.Tensor:
    return TrainedRun(run).store.split("val").images(np.arange(count))


def move_store(run: Path) -> None:
    """Let the run's config name a folder where the store no longer is."""
    config = run / ".hydra/config.yaml"
    config.write_text(re.sub(r"^  root: .*$", "  root: /away/store", config.read_text(), flags=re.MULTILINE))


def test_safetensors_have_a_model_card_and_load_back(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tiny_run, f"out={tmp_path}")
    said = capsys.readouterr().out
    assert "safetensors, " in said
    (difference,) = re.findall(r"largest difference of a probability (\S+), on 32 validation images", said)
    assert float(difference) < 1e-6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    given = images(tiny_run, 3)
    torch.testing.assert_close(load(tmp_path)(given), load(tiny_run)(given), atol=1e-6, rtol=1e-5)
    facts = json.loads((tmp_path / "config.json").read_text())
    assert len(facts["classes"]) == 10
    card = (tmp_path / "README.md").read_text()
    result = json.loads((tiny_run / "result.json").read_text())
    assert f"| top-1 | {result['top1_error']:.2f} |" in single_spaces(card)
    assert "It corresponds to no row of the paper." in card
    assert str(tiny_run.parent) not in card
    assert f'alexnet_pl.load("{tmp_path.name}")' in card, "and no path of this machine"
    assert str(tmp_path) not in card
    assert "not finished" not in card


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


def run_example(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Last line that the program in an exported card prints in its folder, of a drawn picture.jpg."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "picture.jpg")
    (program,) = re.findall(r"```python\n(.+?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    exec(program, {})
    return capsys.readouterr().out.splitlines()[-1]


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


def write_graphs_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let format=onnx write weights, since tests of the folder need no graph."""
    monkeypatch.setitem(FORMATS, "onnx", ("model.onnx", *FORMATS["safetensors"][1:]))


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


def test_folder_with_a_file_of_other_weights_is_refused(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_graphs_quickly(monkeypatch)
    out, run = tmp_path / "out", shutil.copytree(tiny_run, tmp_path / "run")
    export(run, f"out={out}", "format=onnx")
    other = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    other["state_dict"]["net.fc8.bias"] += 1
    torch.save(other, run / "checkpoints/last.ckpt")
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(UserError, match=rf"^{out}/model.onnx: of other weights.*; delete it, or choose another folder"):
        export(run, f"out={out}")
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    export(run, f"out={out}", "format=onnx")
    export(run, f"out={out}")
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "views": {"model.onnx": "<script>"}}))
    with pytest.raises(UserError, match="delete it, or choose another folder"):
        export(run, f"out={out}")


def test_card_leaves_out_the_top_5_error_of_five_classes(tiny_run: Path) -> None:
    info = read_weights(tiny_run).info
    assert info.result
    for classes, shown in {5: False, 6: True}.items():
        result = replace(info.result, dataset=replace(info.result.dataset, classes=classes))
        card = single_spaces(model_card(replace(info, result=result), tiny_run, "x"))
        assert ("| top-5 |" in card) == shown
        assert "| top-1 |" in card


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


def test_export_reads_the_options_of_prepare_from_the_runs_store_if_it_is_there(tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / ".hydra/hydra.yaml").write_text("hydra: {job: {config_name: imagenette}}\n")
    (run / ".hydra/overrides.yaml").write_text("[]\n")
    for note in ("that the store records", "settings of the recipe"):
        export(run, f"out={tmp_path}")
        assert note in (tmp_path / "README.md").read_text()
        move_store(run)


@pytest.mark.slow
def test_onnxruntime_matches_the_network_for_any_batch_size(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export(tiny_run, "format=onnx", f"out={tmp_path}")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    network = load(tiny_run)
    for count in (1, 5):
        given = images(tiny_run, count)
        (found,) = session.run(None, {"images": given.numpy()})
        np.testing.assert_allclose(found, network(given).numpy(), atol=1e-5)
    assert {node.domain for node in __import__("onnx").load(tmp_path / "model.onnx").graph.node} == {""}
    facts = json.loads(session.get_modelmeta().custom_metadata_map["alexnet_pl"])
    assert (len(facts["classes"]), facts["views"]) == (10, "ten")
    said = run_example(tmp_path, monkeypatch, capsys)
    assert load(tiny_run).predict("picture.jpg")[0][0][:2] == tuple(json.loads(said.replace("'", '"')))


@pytest.mark.slow
def test_torch_export_matches_the_network_for_any_batch_size(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tiny_run, "format=torch_export", "views=center", f"out={tmp_path}")
    files = {"alexnet_pl.json": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=files).module()
    network = load(tiny_run, "center")
    for count in (1, 5):
        given = images(tiny_run, count)
        with torch.inference_mode():
            torch.testing.assert_close(program(given), network(given), atol=1e-6, rtol=1e-5)
    facts = json.loads(files["alexnet_pl.json"])
    assert (len(facts["classes"]), facts["views"]) == (10, "center")
    said = run_example(tmp_path, monkeypatch, capsys)
    assert network.predict("picture.jpg")[0][0][:2] == tuple(json.loads(said.replace("'", '"')))


@pytest.mark.parametrize("wrong", [0.5, math.nan])
def test_file_that_computes_other_probabilities_is_not_kept(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    def write(network: TrainedNetwork, weights: Weights, path: Path) -> None:
        biased = {**weights.tensors, "net.fc8.bias": weights.tensors["net.fc8.bias"].clone()}
        biased["net.fc8.bias"][3] += wrong
        write_safetensors(replace(weights, tensors=biased), path)

    name, _, read = FORMATS["safetensors"]
    monkeypatch.setitem(FORMATS, "safetensors", (name, write, read))
    with pytest.raises(
        UserError, match=r"^format: the written file's probabilities differ from the network's by up to"
    ):
        export(tiny_run, f"out={tmp_path}")
    assert not list(tmp_path.iterdir())


def test_one_image_is_enough_to_compare(tiny_run: Path, tmp_path: Path) -> None:
    write_safetensors(read_weights(tiny_run), tmp_path / "model.safetensors")
    read = FORMATS["safetensors"][2]
    assert largest_difference(load(tiny_run), tmp_path / "model.safetensors", read, images(tiny_run, 1)) < 1e-6


def test_random_images_are_compared_if_the_store_is_missing(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    move_store(run)
    export(run, f"out={tmp_path}")
    assert "on 32 random images, since the store does not exist" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["format=caffe"], r"format=caffe: one of safetensors, onnx, torch_export"),
        (["format=torchvision"], r"torchvision's AlexNet is another network"),
        (["views=eleven"], r"views=eleven: one of center, ten, nine"),
        (["ckpt_path=first"], r"ckpt_path=first: last or best"),
        (["publish=somewhere"], r"publish=somewhere: hf://USER/REPOSITORY"),
        (["formt=onnx"], r"formt: unknown key; did you mean format\?"),
    ],
)
def test_mistakes_are_reported_in_one_line(tiny_run: Path, tmp_path: Path, words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        export(tiny_run, f"out={tmp_path / 'out'}", *words)
    assert not list(tmp_path.glob("out/*"))


def test_push_without_a_login_lists_the_files(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "get_token", lambda: None)
    write_graphs_quickly(monkeypatch)
    export(tiny_run, f"out={tmp_path}", "publish=hf://someone/alexnet")
    export(tiny_run, f"out={tmp_path}", "format=onnx", "publish=hf://someone/alexnet")
    said = capsys.readouterr().out
    assert "would push README.md, config.json, model.safetensors to hf://someone/alexnet" in said
    assert "would push README.md, config.json, model.safetensors, model.onnx to hf://someone/alexnet" in said


@pytest.mark.parametrize(("name", "text"), [("README.md", "# My project\n"), ("config.json", '{"theme": "dark"}')])
def test_files_of_others_are_not_replaced(tiny_run: Path, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=rf"{name}: .*not written by .*; choose another folder: out=FOLDER"):
        export(tiny_run, f"out={tmp_path}")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, text)]


def test_push_with_a_login_uploads_the_files_of_export_alone(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    calls = []

    class Api:
        def create_repo(self, *words: object, **options: object) -> None:
            calls.append(("create", words))

        def upload_folder(self, **options: object) -> None:
            calls.append(("upload", options["repo_id"], options["allow_patterns"]))

    monkeypatch.setattr(hub, "get_token", lambda: "token")
    monkeypatch.setattr(hub, "HfApi", Api)
    (tmp_path / ".env").write_text("TOKEN=secret")
    for _ in range(2):
        calls.clear()
        export(tiny_run, f"out={tmp_path}", "publish=hf://someone/alexnet")
    assert calls == [
        ("create", ("someone/alexnet",)),
        ("upload", "someone/alexnet", ["README.md", "config.json", "model.safetensors"]),
    ]
