"""`test test.data=…` against the network's logits restricted to the data set's classes by hand; ReaL labels."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from running import run

from alexnet_pl import load
from alexnet_pl.commands import other_images
from alexnet_pl.commands.evaluate import finished_test
from alexnet_pl.commands.other_images import results_name, write_real_result
from alexnet_pl.commands.prepare import prepare
from alexnet_pl.config.recipes import compose
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.prediction_file import Block, PredictionFile, PredictionFileWriter
from alexnet_pl.evaluation.result import TestDescription
from alexnet_pl.experiment.class_subset import class_rows
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo

WNIDS = [f"n{number:08d}" for number in range(10, 20)]
CPU = ["trainer.accelerator=cpu", "trainer.precision=32-true", "logger=csv"]


@pytest.fixture
def renamed(tiny_run: Path, tmp_path: Path) -> Path:
    """The tiny run, with WordNet ids for its ten classes."""
    out = tmp_path / "run"
    shutil.copytree(tiny_run, out)
    path = out / "checkpoints/last.ckpt"
    content = torch.load(path, weights_only=True)
    content["alexnet_pl"]["classes"] = [[wnid, f"name of {wnid}"] for wnid in WNIDS]
    torch.save(content, path)
    return out


def make_set(tmp_path: Path, name: str, folders: list[str], size: int = 72) -> Path:
    chance = np.random.default_rng(0)
    for folder in folders:
        (tmp_path / "copy" / folder).mkdir(parents=True)
        for i in range(4):
            pixels = chance.integers(0, 256, (9, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((80, 72)).save(tmp_path / "copy" / folder / f"{i}.png")
    root = tmp_path / "store"
    words = [f"data.name={name}", f"data.root={root}", f"data.size={size}", f"prepare.source={tmp_path / 'copy'}"]
    prepare(compose("ilsvrc2012", [*words, "prepare.allow_incomplete=true"]), tmp_path)
    return root


def test_errors_are_restricted_to_the_classes_of_the_set(renamed: Path, tmp_path: Path) -> None:
    outputs = [7, 2, 4]
    root = make_set(tmp_path, "imagenet_a", [WNIDS[output] for output in outputs])
    before = (renamed / "result.json").read_text()
    cfg = compose(str(renamed), [*CPU, "test.views=ten", f"test.data={root}"])
    error = run(cfg, "test", renamed, renamed / "checkpoints/last.ckpt")
    split = Store(root).split("test")
    images, rows = split.images(np.arange(len(split))), sorted(outputs)
    network = load(renamed, "ten")
    with torch.inference_mode():
        views = [network.net(view).double()[:, rows].softmax(1) for view in network.augment.views(images, "ten")]
    wanted = torch.stack(views).mean(0).numpy()
    result = json.loads((renamed / "results/imagenet_a-ten/result.json").read_text())
    assert result["top1_error"] == pytest.approx(error)  # in float32
    assert error == pytest.approx(100 * np.mean(wanted.argmax(1) != split.labels))
    assert (result["dataset"]["name"], result["dataset"]["classes"], result["images"]) == ("imagenet_a", 3, 12)
    assert result["claim"] is None
    (block,) = PredictionFile(renamed / "results/imagenet_a-ten/probabilities.parquet").blocks()
    assert block.probabilities is not None
    np.testing.assert_allclose(block.probabilities, wanted, atol=2e-3)
    assert "name of n00000012" in (renamed / "results/imagenet_a-ten/per_class.csv").read_text()
    assert (renamed / "result.json").read_text() == before, "the run's own test"


def test_test_whose_tables_fail_does_not_look_complete(
    renamed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if an earlier test of the same images was complete. The errors are printed."""
    root = make_set(tmp_path, "imagenet_a", [WNIDS[7], WNIDS[2]])
    cfg, where = compose(str(renamed), [*CPU, f"test.data={root}"]), renamed / "results/imagenet_a-center/result.json"
    run(cfg, "test", renamed, renamed / "checkpoints/last.ckpt")
    assert where.is_file()
    capsys.readouterr()

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(other_images, "write_confusions", fail)
    with pytest.raises(OSError, match="no space"):
        run(cfg, "test", renamed, renamed / "checkpoints/last.ckpt")
    assert not where.exists()
    assert "imagenet_a, 8 test images " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("store", "folder"),
    [("imagenet_a", "imagenet_a"), ("val", "data_val"), ("val_real", "data_val_real"), ("test", "data_test")],
)
def test_results_on_other_images_keep_those_on_the_runs_own(store: str, folder: str) -> None:
    assert results_name(store) == folder


def test_reproduce_tests_other_images_after_the_runs_own(tiny_run: Path, tmp_path: Path) -> None:
    root = make_set(tmp_path, "imagenet_a", [WNIDS[7], WNIDS[2]])
    own, other = (compose(str(tiny_run), [*CPU, *words]) for words in ([], [f"test.data={root}"]))
    own.ckpt_path = other.ckpt_path = str(tiny_run / "checkpoints/last.ckpt")
    assert finished_test(own, tiny_run) is not None
    assert finished_test(other, tiny_run) is None


def test_imagenet_v2_indices_refer_to_sorted_ids() -> None:
    classes = [["n3", "c"], ["n1", "a"], ["n2", "b"]]
    assert class_rows(classes, [["0000", "0"], ["0001", "1"], ["0002", "2"]], "v2") == [1, 2, 0]
    with pytest.raises(UserError, match="names its 2 classes by positions, 0000 to 0001; the network has 3 classes"):
        class_rows(classes, [["0000", "0"], ["0001", "1"]], "v2")


@pytest.mark.parametrize("ids", [["0", "1", "2"], ["00000", "00001", "00002"], ["0002", "0001", "0000"]])
def test_ids_of_digits_are_looked_up_before_positions(ids: list[str]) -> None:
    """Classes of tables without names are numbers; folders may be."""
    classes = [[identity, "a class"] for identity in ids]
    assert class_rows(classes, classes, "own") == [0, 1, 2]
    assert class_rows(classes, classes[2:] + classes[:1], "own") == [2, 0]


def test_network_that_lacks_a_class_is_refused(renamed: Path, tmp_path: Path) -> None:
    root = make_set(tmp_path, "imagenet_r", [WNIDS[0], "n09999999"])
    cfg = compose(str(renamed), [*CPU, f"test.data={root}"])
    with pytest.raises(UserError, match="imagenet_r has 1 classes that the network does not know, such as n09999999"):
        run(cfg, "test", renamed, renamed / "checkpoints/last.ckpt")
    with pytest.raises(UserError, match=r"test.labels: only for ILSVRC-2012's validation images"):
        run(compose(str(renamed), [*CPU, f"test.data={root}", "test.labels=real.json"]), "test", renamed,
            renamed / "checkpoints/last.ckpt")  # fmt: skip


def test_store_of_another_size_is_named_by_its_key(renamed: Path, tmp_path: Path) -> None:
    root = make_set(tmp_path, "imagenet_a", [WNIDS[0]], size=80)
    cfg = compose(str(renamed), [*CPU, f"test.data={root}"])
    says = rf"^test.data={root}: images of 80 pixels, but .* on 72; prepare them with data.size=72$"
    with pytest.raises(UserError, match=says):
        run(cfg, "test", renamed, renamed / "checkpoints/last.ckpt")


def test_missing_store_of_other_images_is_named(renamed: Path, tmp_path: Path) -> None:
    cfg = compose(str(renamed), [*CPU, f"test.data={tmp_path}/away"])
    with pytest.raises(UserError, match=r"test.data=\S+/away: data.root: \S+/away does not exist"):
        run(cfg, "test", renamed, renamed / "checkpoints/last.ckpt")


def test_real_labels_result_has_its_own_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results/val-ten"
    tested = TestDescription(
        dataset=DatasetInfo(name="ilsvrc2012", split="val", images=4),
        views="ten",
        checkpoint=CheckpointInfo(sha256="0"),
        claim="table2.cnn",
    )
    writer = PredictionFileWriter(results / "probabilities.parquet", 10, with_probabilities=False)
    names = [f"val/ILSVRC2012_val_{number:08d}.JPEG" for number in (1, 2, 3, 4)]
    best = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [1, 0, 2, 3, 4], [9, 8, 7, 6, 5]], np.int32)
    writer.add(Block(names, np.zeros(4, np.int32), best, None))
    writer.close(tested)
    write_real_result(tmp_path, results, tested, [{0, 3}, {0}, set(), {5}])
    result = json.loads((tmp_path / "results/val_real-ten/result.json").read_text())
    assert (result["images"], result["dataset"]["split"], result["claim"]) == (3, "val_real", None)
    assert result["top1_error"] == pytest.approx(200 / 3)
    assert result["top5_error"] == pytest.approx(100 / 3)
    assert "ilsvrc2012, 3 of 4 val_real images, ten views: top-1 error 66.67 %" in capsys.readouterr().out
    assert not (tmp_path / "result.json").exists()
