"""`alexnet_pl.load`: the same probabilities as the run's test, on images of any size and type."""

import io
import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from exports import stored_images
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file

import alexnet_pl
from alexnet_pl import UserError, load
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.inference import trained_network
from alexnet_pl.inference.earlier_network import open_earlier_network
from alexnet_pl.inference.weights import read_weights, write_safetensors
from alexnet_pl.json_records import to_json


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    write_safetensors(read_weights(tiny_run), folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("views", ["ten", "center"])
def test_probabilities_match_the_lightning_module(tiny_run: Path, views: str) -> None:
    images = stored_images(tiny_run)
    with torch.inference_mode():
        wanted = TrainedRun(tiny_run).module.log_probabilities(images, views).exp()
    found = load(tiny_run, views)(images)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.sum(1), torch.ones(len(images)))


def test_run_checkpoint_and_export_have_identical_weights(tiny_run: Path, exported: Path) -> None:
    sources = [tiny_run, tiny_run / "checkpoints/last.ckpt", exported, exported / "model.safetensors"]
    first, *others = [load(source) for source in sources]
    for other in others:
        assert other.classes == first.classes
        for name, tensor in first.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize(
    ("key", "value", "said"), [("filter", "x", "filter: x is not one of"), ("switches", {}, "architecture: model or")]
)
def test_checkpoint_from_which_no_network_can_be_built_is_named(
    tiny_run: Path, tmp_path: Path, key: str, value: object, said: str
) -> None:
    content = torch.load(tiny_run / "checkpoints/last.ckpt", weights_only=True)
    content["alexnet_pl"][key] = value
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=rf"^{tmp_path / 'other.ckpt'}: {said}"):
        load(tmp_path / "other.ckpt")


def test_errors_of_other_weights_are_not_read(tiny_run: Path, tmp_path: Path) -> None:
    """The test in a run folder is of one checkpoint; a checkpoint before the last is of no finished fit."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    last = read_weights(run).info
    assert last.result is not None
    assert [stage.finished for stage in last.lineage] == [True]
    other = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    other["state_dict"]["net.fc8.bias"] += 1
    other["global_step"] -= 6
    torch.save(other, run / "checkpoints/best.ckpt")
    info = read_weights(run / "checkpoints/best.ckpt").info
    assert info.result is None
    assert [(stage.finished, stage.training, stage.step) for stage in info.lineage] == [(False, None, last.step - 6)]
    torch.save(other, run / "checkpoints/last.ckpt")
    assert read_weights(run).info.result is None, "resumed after its test"


def test_safetensors_reader_finds_the_checkpoints_tensors(tiny_run: Path, exported: Path) -> None:
    saved = torch.load(tiny_run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    found = load_file(exported / "model.safetensors")
    assert all(torch.equal(tensor, saved[name]) for name, tensor in found.items())
    assert {name for name in saved if name.startswith("net.")} <= set(found)


def test_images_may_be_pillow_images_files_or_tensors_of_any_size(tiny_run: Path, tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8))
    picture.save(tmp_path / "picture.png")
    tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    model = load(tiny_run)
    answers = model.predict([picture, tmp_path / "picture.png", str(tmp_path / "picture.png"), tensor], top=3)
    assert len(answers) == 4
    assert len(answers[0]) == 3
    array = np.array(picture)
    batches = [model.predict(batch, top=3) for batch in (tensor[None], array[None], array)]
    for other in [*answers[1:], model.predict(picture)[0][:3], *(batch[0] for batch in batches)]:
        assert [one.name for one in other] == [one.name for one in answers[0]]
        assert [one.probability for one in other] == pytest.approx([one.probability for one in answers[0]], abs=1e-5)
    assert answers[0][0].probability >= answers[0][1].probability
    assert answers[0][0].name in model.classes
    with torch.inference_mode():
        assert model(tensor[None])[0].max().item() == pytest.approx(answers[0][0].probability, abs=1e-5)


def test_no_images_give_no_rows_and_top_is_at_least_one(tiny_run: Path) -> None:
    model = load(tiny_run)
    for side in (model.size, 300):
        assert model(torch.empty(0, 3, side, side, dtype=torch.uint8)).shape == (0, len(model.classes))
    with pytest.raises(ValueError, match=r"^top=0: at least 1"):
        model.predict(list(stored_images(tiny_run, 1)), top=0)


def test_features_match_figure_4(tiny_run: Path) -> None:
    model, run = load(tiny_run), TrainedRun(tiny_run).module
    images = stored_images(tiny_run)
    with torch.inference_mode():
        wanted = run.net.features(next(run.augment.views(images, "center")))
    torch.testing.assert_close(model.features(list(images)), wanted, rtol=1e-5, atol=1e-5)
    assert model.features(list(images), layer="conv5").shape[:2] == (6, 64)
    assert (model.features(list(images), layer="fc8") < 0).any(), "logits, of which no ReLU cuts the negative ones"
    with pytest.raises(UserError, match=r"layer=conv9: one of conv1, conv2"):
        model.features(list(images), layer="conv9")


def test_pillow_fit_gives_the_input_of_exported_graphs(tiny_run: Path) -> None:
    """docs/how-to/export.md recommends this to programs without this package."""
    model = load(tiny_run)
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (9, 14, 3), dtype=np.uint8))
    picture = coarse.resize((300, 150), Image.Resampling.BICUBIC)
    fitted = ImageOps.fit(picture, (model.size, model.size), Image.Resampling.BILINEAR)
    square = torch.from_numpy(np.array(fitted)).permute(2, 0, 1).float()
    difference = (model.to_batch(picture)[0].float() - square).abs()
    assert difference.mean() < 1
    assert difference.max() < 8


def test_several_layers_are_computed_in_one_pass(tiny_run: Path) -> None:
    model, images = load(tiny_run), list(stored_images(tiny_run, 2))
    found = model.features(images, layer=["fc7", "conv2"])
    assert list(found) == ["fc7", "conv2"]
    assert found["conv2"].shape[:2] == (2, 64)
    torch.testing.assert_close(found["fc7"], model.features(images, layer="fc7"))
    assert model.layers == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


def test_transforms_give_the_networks_input(tiny_run: Path) -> None:
    model = load(tiny_run, "center")
    image = stored_images(tiny_run, 1)
    with torch.inference_mode():
        logits = model.net(model.transforms()(image[0])[None])
        torch.testing.assert_close(torch.softmax(logits, 1), model(image))


def test_transforms_go_to_other_processes_without_the_network(tiny_run: Path) -> None:
    model, image = load(tiny_run), stored_images(tiny_run, 1)[0]
    sent = pickle.dumps(model.transforms())
    assert len(sent) < 4 * 3 * model.augment.crop**2 + 2000, "more than the mean image"
    received = pickle.loads(sent)
    torch.testing.assert_close(received(image), next(model.augment.views(image[None], "center"))[0])


def test_bytes_and_open_files_are_decoded(tiny_run: Path, tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8))
    picture.save(tmp_path / "picture.png")
    model, content = load(tiny_run, "center"), (tmp_path / "picture.png").read_bytes()
    written = io.BytesIO()
    picture.save(written, "PNG")  # leaves the position at the end
    with (tmp_path / "picture.png").open("rb") as file:
        assert torch.equal(model.to_batch([content, written, file]), model.to_batch([picture] * 3))
    assert model.predict(content) == model.predict(written) == model.predict(picture)
    (tmp_path / "text.jpg").write_text("hello")
    with (tmp_path / "text.jpg").open("rb") as file:
        for wrong, name in {
            b"hello": "image of 5 bytes",
            io.BytesIO(b""): "BytesIO",
            file: f"{tmp_path}/text.jpg",
        }.items():
            with pytest.raises(UserError, match=f"^{name}: (not an image|empty file)"):
                model.predict(wrong)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("model.onnx", "a graph for ONNX Runtime; give model.safetensors or the run"),
        ("model.pt2", "a graph for torch.export.load; give model.safetensors or the run"),
        ("away.onnx", "does not exist; give a run folder, checkpoint or model.safetensors"),
        ("away.safetensors", "does not exist; give a run folder, checkpoint or model.safetensors"),
    ],
)
def test_graphs_and_missing_files_are_named_for_what_they_are(tmp_path: Path, name: str, says: str) -> None:
    for graph in ("model.onnx", "model.pt2"):
        (tmp_path / graph).touch()
    for open_weights in (load, open_earlier_network):
        with pytest.raises(UserError, match=f"^{tmp_path / name}: {says}$"):
            open_weights(str(tmp_path / name))


def test_batch_that_is_not_images_is_refused(tiny_run: Path) -> None:
    model = load(tiny_run)
    empty = torch.zeros(1, 3, 0, 72, dtype=torch.uint8)
    for wrong in (torch.zeros(1, 3, 72, 72), torch.zeros(3, 72, 72, dtype=torch.uint8), empty):
        with pytest.raises(ValueError, match="expected uint8 images"):
            model(wrong)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (torch.zeros(3, 72, 72), r"\(3, 72, 72\) torch.float32: expected an image \(3, H, W\) uint8"),
        (torch.zeros(72, 72, 3, dtype=torch.uint8), r"\(72, 72, 3\) torch.uint8: expected an image \(3, H, W\)"),
        (np.zeros((3, 72, 72), np.uint8), r"\(3, 72, 72\) uint8: expected an image \(H, W, 3\) uint8"),
        (np.zeros((0, 72, 3), np.uint8), r"\(0, 72, 3\) uint8: expected an image"),
        (torch.zeros(3, 72, 0, dtype=torch.uint8), r"\(3, 72, 0\) torch.uint8: expected an image"),
        (np.zeros((72, 72, 3)), r"\(72, 72, 3\) float64: expected an image \(H, W, 3\) uint8"),
    ],
)
def test_values_that_are_not_an_image_are_refused_with_their_shape(
    tiny_run: Path, image: torch.Tensor | np.ndarray, says: str
) -> None:
    with pytest.raises(ValueError, match=f"^{says}"):
        load(tiny_run).predict([image])


def test_missing_file_is_named_once(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^{tmp_path}/away.jpg: No such file or directory$"):
        load(tiny_run).predict(tmp_path / "away.jpg")


WRONG = {  # part of the architecture → key → value
    "architecture": ("model", "layres", 3),
    "flip": ("augment", "flip", 1.5),
    "huge": ("augment", "size", 10**10),
    "name": ("model", "name", ["alexnet"]),
}


@pytest.mark.parametrize(
    "what", ["missing", "empty", "text", "foreign", "model", "augment", *WRONG, "tensors", "views", "deep"]
)
def test_anything_but_a_trained_network_is_reported_in_one_line(exported: Path, tmp_path: Path, what: str) -> None:
    path = tmp_path / "model.safetensors"
    tensors = load_file(exported / "model.safetensors")
    facts = json.loads(json.dumps(to_json(read_weights(exported).info)))
    if what == "empty":
        path.touch()
    elif what == "text":
        path.write_text("hello")
    elif what == "foreign":
        save_file({"weight": torch.zeros(3)}, path)
    elif what in WRONG:
        part, key, value = WRONG[what]
        facts["architecture"][part][key] = value
        save_file(tensors, path, {"alexnet_pl": json.dumps(facts)})
    elif what in ("model", "augment"):
        facts["architecture"][what] = {"model": 5, "augment": None}[what]
        save_file(tensors, path, {"alexnet_pl": json.dumps(facts)})
    elif what == "deep":
        save_file(tensors, path, {"alexnet_pl": "[" * 200_000})
    elif what == "tensors":
        tensors["net.fc7.weight"] = torch.zeros(7, 7)
        save_file(tensors, path, {"alexnet_pl": json.dumps(facts)})
    with pytest.raises(UserError) as error:
        load(exported, "eleven") if what == "views" else load(path if what != "missing" else tmp_path / "away")
    assert "\n" not in str(error.value)
    assert what == "views" or str(tmp_path) in str(error.value)


def test_half_precision_weights_are_converted(tiny_run: Path, exported: Path, tmp_path: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in load_file(exported / "model.safetensors").items()}
    save_file(tensors, tmp_path / "model.safetensors", {"alexnet_pl": json.dumps(to_json(read_weights(exported).info))})
    images = stored_images(tiny_run, 3)
    torch.testing.assert_close(load(tmp_path)(images), load(exported)(images), atol=1e-3, rtol=0.05)


def test_linear_layer_learns_from_features(tiny_run: Path) -> None:
    model, images = load(tiny_run), list(stored_images(tiny_run, 4))
    probe = torch.nn.Linear(1024, 2)
    probe(model.features(images)).sum().backward()
    assert probe.weight.grad is not None
    torch.testing.assert_close(probe.weight.grad[0], model.features(images).sum(0))


def test_threads_share_a_network(tiny_run: Path) -> None:
    """Each thread gets the features and probabilities of its own image, as one thread does."""
    model, images = load(tiny_run), stored_images(tiny_run)[:4]

    def use(number: int) -> torch.Tensor:
        image = images[number % 4][None]
        return model(image) if number % 3 == 0 else model.features(image, "conv2" if number % 3 == 1 else "fc7")

    wanted = [use(number) for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(use, [*range(12)] * 8))
    assert all(torch.equal(one, wanted[number % 12]) for number, one in enumerate(found))


def test_many_images_are_computed_in_parts(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images, sizes = load(tiny_run, "center"), list(stored_images(tiny_run, 9)), []
    whole = [model.predict(images), model.features(images, layer=["fc7", "fc8"])]
    monkeypatch.setattr(trained_network, "BATCH", 4)
    model.net.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    parts = [model.predict(images), model.features(images, layer=["fc7", "fc8"])]
    assert sizes == [4, 4, 1], "features end the forward pass early"
    for one, other in zip(whole[0], parts[0], strict=True):
        assert [guess.class_id for guess in one] == [guess.class_id for guess in other]
    for name in ("fc7", "fc8"):
        torch.testing.assert_close(parts[1][name], whole[1][name], rtol=1e-4, atol=1e-5)


def test_oversized_class_list_is_refused_before_allocation(exported: Path, tmp_path: Path) -> None:
    weights = read_weights(exported)
    weights.info.classes.extend([["n", "x"]] * 100_000)
    write_safetensors(weights, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"weights: do not fit the architecture \(size mismatch for net.fc8"):
        load(tmp_path)


def test_only_the_weights_are_downloaded_from_the_hub(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked: dict[str, object] = {}

    def snapshot_download(repository: str, **options: object) -> str:
        asked.update(repository=repository, **options)
        return str(exported)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert len(alexnet_pl.load("hf://someone/alexnet").classes) == 10
    assert asked == {"repository": "someone/alexnet", "allow_patterns": ["model.safetensors"]}
