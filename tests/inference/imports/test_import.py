"""`import`: its run folder can be tested and exported, but matches no row of the paper and resumes no fit."""

import json
import pickle
from pathlib import Path
from typing import Any

import caffe_files
import cuda_convnet_net
import numpy as np
import pytest
import torch
from made_results import claim_test
from python2_pickle import OldStyle, dumps
from running import Compose, run

from alexnet_pl.commands import dispatch, registry
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.store.store import Store
from alexnet_pl.digests import sha256
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.inference.imports import run_folder
from alexnet_pl.inference.imports.torchvision_weights import LAYERS
from alexnet_pl.json_records import parse_record
from alexnet_pl.paper.matching import matching_claim
from alexnet_pl.runs.provenance import describe_session

MEAN = "mean=123,117,104"


def call(*words: object) -> None:
    dispatch.run_on_folders(registry.find("import"), list(map(str, words)))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("caffe") / "bvlc_alexnet.caffemodel"
    return caffe_files.write_caffemodel(path, caffe_files.random_weights())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty noisy squares of ten classes in a store named ilsvrc2012."""
    from PIL import Image

    from alexnet_pl.commands.prepare import prepare

    copy = tmp_path_factory.mktemp("copy")
    chance = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in range(10):
            folder = copy / split / f"n{label:08d}"
            folder.mkdir(parents=True)
            Image.fromarray(chance.integers(0, 256, (256, 256, 3), dtype=np.uint8)).save(folder / f"{split}.png")
    root = tmp_path_factory.mktemp("stores") / "ilsvrc2012"
    words = [f"prepare.source={copy}", f"data.root={root}", "prepare.allow_incomplete=true", "prepare.workers=1"]
    prepare(compose("ilsvrc2012", words), root)
    return root


def test_run_folder_is_tested_and_records_the_origin(
    weights: Path, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "imported"
    call(weights, f"data.root={store}", MEAN, f"out={out}")
    said = capsys.readouterr().out
    assert "caffe, 227,314 parameters, 10 classes (assumed: sorted WordNet ids)" in said
    assert f"next: python -m alexnet_pl test {out}" in said
    run(compose(str(out), ["trainer.accelerator=cpu", "trainer.precision=32-true"]), "test", out,
        out / "checkpoints/last.ckpt")  # fmt: skip
    result = json.loads((out / "result.json").read_text())
    assert result["imported"]["sha256"] == sha256(weights)
    assert result["imported"]["file"] == "bvlc_alexnet.caffemodel"
    assert (result["claim"], result["training"], result["seed"], result["finished"]) == (None, None, None, False)
    assert "weights of bvlc_alexnet.caffemodel (caffe)" in capsys.readouterr().out
    dispatch.run_on_folders(registry.find("export"), [str(out)])
    card = (out / "export/README.md").read_text()
    assert "# AlexNet, weights of Caffe's bvlc_alexnet" in card
    assert sha256(weights) in card
    assert "trained with `alexnet_pl`" not in card


@pytest.mark.parametrize("is_folder", [True, False])
def test_first_of_two_concurrent_imports_is_kept(
    weights: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_folder: bool
) -> None:
    out = tmp_path / "imported"
    first = out / "first" if is_folder else out

    def describe(*words: Any) -> Any:
        first.parent.mkdir(exist_ok=True)
        first.write_text("by another process")
        return describe_session(*words)

    monkeypatch.setattr(run_folder, "describe_session", describe)
    with pytest.raises(UserError, match=r"out=\S+imported: exists already; give another folder, or remove it"):
        call(weights, f"data.root={store}", MEAN, f"out={out}")
    assert first.read_text() == "by another process"
    assert list(tmp_path.iterdir()) == [out]


def test_fit_does_not_resume_from_imported_weights(weights: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "imported"
    call(weights, f"data.root={store}", MEAN, f"out={out}")
    cfg = compose(str(out), ["logger=csv"])
    for command, given in (("fit", out / "checkpoints/last.ckpt"), ("reproduce", None)):
        with pytest.raises(UserError, match=r"was imported from bvlc_alexnet.caffemodel and holds no state of a fit"):
            run(cfg, command, out, given)


def test_imported_weights_match_no_row_of_the_paper() -> None:
    found = claim_test("table2.cnn")
    assert matching_claim(parse_record(found, TestDescription)) == "table2.cnn"
    found["imported"] = {"file": "91.1", "sha256": "0" * 64, "format": "cuda_convnet"}
    assert matching_claim(parse_record(found, TestDescription)) is None


def test_classes_of_the_authors_program_are_in_ilsvrc_order(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from alexnet_pl.inference.imports import class_order
    from alexnet_pl.inference.imports.foreign import ForeignNetwork

    manifest = SimpleNamespace(ilsvrc_ids=[3, 1, 2])
    made: Any = SimpleNamespace(classes=[["a", "ant"], ["b", "bee"], ["c", "cow"]], manifest=manifest)
    network = ForeignNetwork({}, {}, {"fc8.bias": torch.zeros(3)}, "ILSVRC class numbers", number_order=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_order, "Store", lambda _: made)
        found = class_order.output_classes(network, None, "store")
        assert found == ([["b", "bee"], ["c", "cow"], ["a", "ant"]], "assumed: ILSVRC class numbers")
        manifest.ilsvrc_ids = None
        with pytest.raises(UserError, match="prepared without a development kit"):
            class_order.output_classes(network, None, "store")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], r"classes: not given; add classes=FILE"),
        (["classes=nine.txt"], r"nine.txt: 9 classes; the weights have 10 outputs"),
        (["classes=twice.txt"], r"classes=\S+twice.txt: needs one class per line"),
        (["classes=away.txt"], r"classes=\S+away.txt: cannot be read"),
        (["classes=ten.txt"], r"mean: the weights come without their mean image; add mean=imagenet_mean"),
        (["classes=ten.txt", "mean=away.npy"], r"mean=\S+away.npy: no such file"),
        (["classes=ten.txt", "mean=small.npy"], r"mean=\S+small.npy: 32 × 32 pixels, not 256 × 256"),
        (["classes=ten.txt", "mean=ten.txt"], r"mean=\S+ten.txt: not a mean image"),
        (["classes=ten.txt", "mean=empty.npy"], r"mean=\S+empty.npy: not a mean image"),
        (["classes=ten.txt", "mean=words.npy"], r"mean=\S+words.npy: not a mean image"),
        (["classes=ten.txt", MEAN, "out=."], r"out=\S+: exists already"),
        (["format=keras"], r"format=keras: one of cuda_convnet, caffe, torchvision"),
        (["format=torchvision"], r"torch cannot read it as weights"),
        (["format=cuda_convnet"], r"not a pickle"),
        (["clases=ten.txt"], r"clases: unknown key; did you mean classes\?"),
    ],
)
def test_mistakes_are_reported_in_one_line(weights: Path, tmp_path: Path, words: list[str], says: str) -> None:
    (tmp_path / "nine.txt").write_text("".join(f"n{i} name\n" for i in range(9)))
    (tmp_path / "ten.txt").write_text("".join(f"n{i} name\n" for i in range(10)))
    (tmp_path / "twice.txt").write_text("n1 a\n" * 10)
    np.save(tmp_path / "small.npy", np.zeros((3, 32, 32)))
    np.save(tmp_path / "words.npy", np.full((3, 32, 32), "word"))
    (tmp_path / "empty.npy").touch()
    there = [word.replace("=", f"={tmp_path}/", 1) if "." in word else word for word in words]
    with pytest.raises(UserError, match=says) as error:
        call(weights, *there)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"caffenet": True}, r"CaffeNet \(bvlc_reference_caffenet\), which pools before it normalizes"),
        ({"alpha": 1.0}, r"lrn1 has size, α, β, k = 5, 1, 0.75, 1"),
        ({"k": 2.0}, r"lrn1 has size, α, β, k = 5, 0.0001, 0.75, 2"),
    ],
)
def test_other_caffe_networks_are_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = caffe_files.write_caffemodel(tmp_path / "net.caffemodel", caffe_files.random_weights(), **change)
    with pytest.raises(UserError, match=says):
        call(path)


@pytest.mark.parametrize("kernels", [0, 1, 960])
def test_caffemodel_with_another_number_of_kernels_is_reported_in_one_line(tmp_path: Path, kernels: int) -> None:
    weights = caffe_files.random_weights()
    weights["conv1"] = [np.zeros((kernels, 3, 11, 11), np.float32), np.zeros(kernels, np.float32)]
    path = caffe_files.write_caffemodel(tmp_path / "net.caffemodel", weights)
    with pytest.raises(UserError, match=r"net.caffemodel: ") as error:
        call(path)
    assert "\n" not in str(error.value)


def test_caffemodel_with_corrupt_settings_is_reported_in_one_line(tmp_path: Path) -> None:
    """Padding of a convolution as a number that does not end: its bytes in the file are unique."""
    path = caffe_files.write_caffemodel(tmp_path / "net.caffemodel", caffe_files.random_weights())
    whole = path.read_bytes()
    setting = b"\x18\x02\x20\x05\x28\x02"  # pad = 2, kernel_size = 5, group = 2
    assert whole.count(setting) == 1
    path.write_bytes(whole.replace(setting, setting[:-1] + b"\x82"))
    with pytest.raises(UserError, match=r"net.caffemodel: .*corrupt"):
        call(path)


@pytest.mark.parametrize("v1", [False, True])
def test_corrupt_caffemodel_is_reported_in_one_line(tmp_path: Path, v1: bool) -> None:
    whole = caffe_files.write_caffemodel(tmp_path / "net.caffemodel", caffe_files.random_weights(), v1).read_bytes()
    for name, data in {
        "empty": b"",
        "cut": whole[:-1000],
        "text": b"hello " * 50,
        "half": whole[len(whole) // 2 :],
    }.items():
        path = tmp_path / f"{name}.caffemodel"
        path.write_bytes(data)
        with pytest.raises(UserError, match=rf"{name}.caffemodel: ") as error:
            call(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda n: n["rnorm1a"].update(minDiv=1.0), r"rnorm1a has minDiv 1, not 2"),
        (lambda n: n["rnorm1a"].pop("minDiv"), r"rnorm1a has minDiv 1, not 2"),
        (lambda n: n["pool2b"].update(pool="avg"), r"the inputs of conv3a come from different layers"),
        (lambda n: n["hs1a"].update(keep=0.8), r"hs1a has keep 0.8, not 0.5"),
        (lambda n: n["hs1b"].update(type="dropout", keep=0.8), r"hs1b has keep 0.8, not 0.5"),
        (lambda n: n["hs1b"].update(type="dropout"), r"the inputs of fc2048ba come from different layers"),
        (
            lambda n: n["conv2b"].update(stride=[2]) or n["conv2a"].update(stride=[2]),
            r"conv2 has stride 2, AlexNet has 1",
        ),
        (lambda n: n["conv4a"].update(inputs=["conv3b_neuron"]), r"conv4a reads conv3b; not the paper's network"),
        (
            lambda n: n["fc1000"].update(weights=n["fc1000"]["weights"][:1]),
            r"fc1000 does not have one weight matrix per input",
        ),
        (lambda n: n.pop("fc1000"), r"not five or six convolutions and three fully connected"),
        (lambda n: n["conv3a"].update(inputs=["low", "pool2b"]), r"low is missing"),
        (lambda n: n["fc1000"]["weights"][0].fill(np.nan), r"fc8.weight has values that are not finite"),
        (lambda n: n["hs1a"].update(inputs=["fc2048ba_neuron"]), r"form a cycle"),
        (dict.clear, r"has no layers with weights"),
        (lambda n: n["conv1a"].update(weights=["x"]), r"91.1: not AlexNet in the format cuda_convnet, or corrupt"),
        (lambda n: n["conv1a"].update(weights=5), r"91.1: not AlexNet in the format cuda_convnet, or corrupt"),
        (lambda n: n["fc1000"].update(biases={}), r"91.1: not AlexNet in the format cuda_convnet, or corrupt"),
        (lambda n: n["conv1a"].pop("filterSize"), r"91.1: not AlexNet in the format cuda_convnet, or corrupt"),
    ],
)
def test_other_networks_of_the_authors_program_are_refused(tmp_path: Path, change: Any, says: str) -> None:
    layers = cuda_convnet_net.net145()
    change(layers)
    (tmp_path / "91.1").write_bytes(dumps({"model_state": {"layers": layers}}))
    with pytest.raises(UserError, match=says):
        call(tmp_path / "91.1")


def test_malicious_pickle_calls_nothing(tmp_path: Path) -> None:
    """Tests all ways in which a pickle can call code: reduce, old-style instances, new-style instances."""
    trap = tmp_path / "called"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trap,)

    layers = cuda_convnet_net.net145()
    for number, op in enumerate([pickle.dumps(Trap()), dumps(OldStyle("os", "abort", x=1)), dumps([])]):
        state = dumps({"model_state": {"layers": layers}, "op": None})[:-3] + op[2:-1] + b"u."
        (tmp_path / "91.1").write_bytes(state)
        with pytest.raises(UserError, match="classes: not given"):
            call(tmp_path / "91.1")
        assert not trap.exists(), number


def test_other_torchvision_network_is_reported_in_one_line(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, tmp_path / "vgg.pth")
    with pytest.raises(
        UserError, match=r"vgg.pth: has no features.0.bias; not the state dict of torchvision's alexnet"
    ):
        call(tmp_path / "vgg.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"list.pth: has no features.0.weight"):
        call(tmp_path / "list.pth")


@pytest.mark.parametrize("shape", [(512,), (0,), ()])
def test_torchvision_weights_with_another_number_of_kernels_are_reported_in_one_line(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    weights = {f"{name}.{part}": torch.zeros(1) for name in LAYERS.values() for part in ("weight", "bias")}
    weights["features.0.weight"], weights["features.0.bias"] = (
        torch.zeros(*(shape or (64,)), 3, 11, 11),
        torch.zeros(shape),
    )
    torch.save(weights, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"net.pth: ") as error:
        call(tmp_path / "net.pth")
    assert "\n" not in str(error.value)


def test_store_classes_are_sorted(store: Path, config: Compose) -> None:
    """The order of imported outputs relies on this."""
    ids = [identity for identity, _ in Store(store).classes]
    assert ids == sorted(ids)
