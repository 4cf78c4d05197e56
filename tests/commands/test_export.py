"""`export`: other programs that read each format compute the network's probabilities."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exports import export, run_example, stored_images, write_graphs_quickly
from spaces import single_spaces

from alexnet_pl import load
from alexnet_pl.commands.export import images_to_check
from alexnet_pl.errors import UserError
from alexnet_pl.inference.graphs import FORMATS, largest_difference
from alexnet_pl.inference.trained_network import TrainedNetwork
from alexnet_pl.inference.weights import Weights, read_weights, write_safetensors


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
    given = stored_images(tiny_run, 3)
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


def change_weights(run: Path) -> None:
    content = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    content["state_dict"]["net.fc8.bias"] += 1
    torch.save(content, run / "checkpoints/last.ckpt")


def test_other_weights_replace_a_file_in_the_runs_own_folder_alone(tiny_run: Path, tmp_path: Path) -> None:
    out, run = tmp_path / "out", shutil.copytree(tiny_run, tmp_path / "run")
    export(run)
    export(run, f"out={out}")
    change_weights(run)
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(UserError, match=rf"^{out}/model.safetensors: of other weights.*; delete it, or choose another"):
        export(run, f"out={out}")
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    export(run)
    assert torch.equal(load(run / "export").net.fc8.bias, load(run).net.fc8.bias)


def test_weights_of_another_program_are_not_replaced(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"theirs")
    with pytest.raises(UserError, match=r"model.safetensors: of other weights"):
        export(tiny_run, f"out={tmp_path}")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("model.safetensors", b"theirs")]


def test_folder_with_a_file_of_other_weights_is_refused(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_graphs_quickly(monkeypatch)
    run = shutil.copytree(tiny_run, tmp_path / "run")
    out = run / "export"
    export(run, f"out={out}", "format=onnx")
    change_weights(run)
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
        given = stored_images(tiny_run, count)
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
        given = stored_images(tiny_run, count)
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
    assert largest_difference(load(tiny_run), tmp_path / "model.safetensors", read, stored_images(tiny_run, 1)) < 1e-6


def test_random_images_are_compared_if_the_store_is_missing(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    move_store(run)
    export(run, f"out={tmp_path}")
    assert "on 32 random images, since the store does not exist" in capsys.readouterr().out


def test_random_images_are_compared_if_the_store_has_no_validation_images() -> None:
    def split(name: str) -> None:
        raise UserError(f"no split {name}")

    images, kind = images_to_check(SimpleNamespace(split=split), 8)  # type: ignore[arg-type]
    assert (len(images), kind) == (32, "32 random images, since the store has no validation images")


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
    said, progress = capsys.readouterr()
    assert progress == "writing model.onnx and comparing it with the network, a minute or more …\n"
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
