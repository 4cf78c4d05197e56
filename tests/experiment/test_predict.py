"""`predict`: which files are found, and ten-view probabilities of the user's images (§5.1)."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.errors import UserError
from alexnet_pl.experiment import predict
from alexnet_pl.experiment.predict import find_images, make_square, print_predictions, read_batches, write_predictions
from alexnet_pl.experiment.trained_run import load_module
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.training.classifier import Classifier

SIZE, CROP, CPU = 72, 67, torch.device("cpu")
CLASSES = [["n1", "tench"], ["n2", "church, or chapel"], ["n3", "gas pump"]]


def photo(path: Path, seed: int, width: int = 100, height: int = 80) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    for seed, name in enumerate(["b.jpg", "a.PNG", "deep/er/c.jpeg", "deep/a.webp"]):
        photo(root / name, seed)
    (root / "notes.txt").write_text("nothing to see")
    return root


def names(found: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]


def test_file_is_accepted_with_any_suffix(folder: Path) -> None:
    for name in ("b.jpg", "notes.txt"):
        assert find_images(str(folder / name)) == [folder / name]


def test_folder_is_searched_recursively_for_images(folder: Path) -> None:
    assert names(find_images(str(folder)), folder) == ["a.PNG", "b.jpg", "deep/a.webp", "deep/er/c.jpeg"]


def test_list_keeps_its_order(folder: Path) -> None:
    given = [str(folder / "b.jpg"), str(folder / "deep"), str(folder / "a.PNG")]
    assert names(find_images(given), folder) == ["b.jpg", "deep/a.webp", "deep/er/c.jpeg", "a.PNG"]


@pytest.mark.parametrize("given", [None, "", []])
def test_missing_images_option_is_explained(given: str | list[str] | None) -> None:
    with pytest.raises(UserError, match=r"predict\.images=FILE"):
        find_images(given)


def test_missing_or_empty_path_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=rf"^predict.images: {tmp_path}/away\.jpg does not exist"):
        find_images([str(folder), f"{tmp_path}/away.jpg"])
    with pytest.raises(UserError, match=r"^predict.images: .*empty.* holds no images"):
        find_images(str(tmp_path / "empty"))


def test_folder_with_an_image_suffix_is_a_folder(tmp_path: Path) -> None:
    inside = photo(tmp_path / "holiday.jpg/1.png", 0)
    assert find_images(str(tmp_path)) == [inside]


def squares_of(paths: list[Path]) -> list[np.ndarray]:
    return [image.numpy() for _, images in read_batches(paths, make_square(SIZE, "bilinear")) for image in images]


def test_readable_files_become_squares_and_others_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against Pillow: 100 × 80 becomes 90 × 72, of which the middle 72 columns remain."""
    monkeypatch.setattr(predict, "BATCH", 2)
    bad = [folder / "notes.txt", folder / "away.jpg"]
    good = [folder / "b.jpg", folder / "a.PNG"]
    for path, square in zip(good, squares_of([good[0], bad[0], good[1], bad[1], bad[1]]), strict=True):
        assert (square.shape, square.dtype) == ((3, SIZE, SIZE), np.uint8)
        picture = Image.open(path).convert("RGB").resize((90, 72), Image.Resampling.BILINEAR).crop((9, 0, 81, 72))
        assert np.abs(square.transpose(1, 2, 0).astype(float) - np.asarray(picture)).mean() < 1
    named = re.findall(r"not read: (.+?) \(", capsys.readouterr().out)  # the first may follow a progress bar
    assert named == list(map(str, bad))
    with pytest.raises(UserError, match=rf"^predict.images: none of 2 could be read; {bad[0]}: not an image"):
        squares_of(bad)


ROWS = [
    {"file": "a, b.jpg", "labels": [{"class": "n2", "name": 'church, "old"', "probability": 0.75}]},
    {
        "file": "käse.jpg",
        "labels": [
            {"class": "n1", "name": "tench", "probability": 2 / 3},
            {"class": "n3", "name": "gas pump", "probability": 1e-9},
        ],
    },
]


def test_written_files_match_the_rows(tmp_path: Path) -> None:
    path = write_predictions(ROWS, tmp_path)
    assert json.loads((tmp_path / "predictions.json").read_text()) == ROWS
    assert path == tmp_path / "predictions.csv"
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["file"], line["rank"], line["class"], line["name"]) for line in lines] == [
        ("a, b.jpg", "1", "n2", 'church, "old"'),
        ("käse.jpg", "1", "n1", "tench"),
        ("käse.jpg", "2", "n3", "gas pump"),
    ]
    assert [float(line["probability"]) for line in lines] == pytest.approx([0.75, 2 / 3, 1e-9], abs=1e-6)


def test_file_name_that_is_not_utf8_does_not_stop_the_others(tmp_path: Path) -> None:
    """Archives from other systems contain such names; Python decodes the byte as a surrogate."""
    strange = {"file": "caf\udce9.jpg", "labels": ROWS[0]["labels"]}
    with write_predictions([strange, *ROWS], tmp_path).open(newline="", errors="surrogateescape") as file:
        assert [line["file"] for line in csv.DictReader(file)][1:] == ["a, b.jpg", "käse.jpg", "käse.jpg"]


def test_table_escapes_markup_in_names(capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets in names are not markup."""
    labels = [{"class": "n1", "name": "fish [old]", "probability": 0.5}]
    print_predictions([{"file": "to/me [red].jpg", "labels": labels}])
    said = capsys.readouterr().out
    for text in ("me [red].jpg", "fish [old]", "50.0 %"):
        assert text in said


def test_name_that_looks_like_closing_markup_does_not_break_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_predictions([{"file": "a.jpg", "labels": [{"class": "n1", "name": "n[/b]", "probability": 1.0}]}])
    assert "n[/b]" in capsys.readouterr().out


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a network whose outputs differ between images: with initial values, all would be alike."""
    torch.manual_seed(0)
    module = Classifier(AlexNet(num_classes=3, crop=CROP), Augment(SIZE, CROP), {}).eval()
    module.augment.set_statistics(np.random.default_rng(1).uniform(90, 140, (3, SIZE, SIZE)), 500 * np.eye(3))
    with torch.no_grad():
        for name, bias in module.net.named_parameters():
            bias *= not name.endswith("bias")
        logits = module.net(
            100 * torch.randn(8, 3, 6, 6).repeat_interleave(12, 2).repeat_interleave(12, 3)[..., :67, :67]
        )
        module.net.fc8.weight /= logits.std(0)[:, None]
        module.net.fc8.bias -= logits.mean(0) / logits.std(0)
    path = tmp_path_factory.mktemp("checkpoint") / "last.ckpt"
    about = {"switches": {}, "classes": CLASSES}
    torch.save({"state_dict": module.state_dict(), "global_step": 0, "alexnet_pl": about}, path)
    return path


@pytest.fixture(scope="module")
def module(checkpoint: Path) -> Classifier:
    return load_module(str(checkpoint), Classifier(AlexNet(num_classes=3, crop=CROP), Augment(SIZE, CROP), {}))


@torch.no_grad()
def by_hand(module: Classifier, square: np.ndarray) -> np.ndarray:
    """§5.1: softmax outputs averaged over four corners, center, and their reflections.

    As in the program, the center of the mean image is subtracted at every offset.
    """
    last, half = SIZE - CROP, (SIZE - CROP) // 2
    mean = module.augment.mean_image.numpy()[:, half : half + CROP, half : half + CROP]
    total = np.zeros(len(CLASSES))
    for top, left in ((0, 0), (0, last), (last, 0), (last, last), (half, half)):
        patch = square[:, top : top + CROP, left : left + CROP].astype(np.float32)
        for view in (patch, patch[:, :, ::-1]):
            logits = module.net(torch.from_numpy(np.ascontiguousarray(view - mean))[None])[0].double().numpy()
            exponentials = np.exp(logits - logits.max())
            total += exponentials / exponentials.sum() / 10
    return total


def test_probabilities_are_the_average_over_ten_views_best_first(
    module: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several batches, with unreadable files among them."""
    monkeypatch.setattr(predict, "BATCH", 2)
    paths = [photo(tmp_path / f"{seed}.png", seed) for seed in range(4)]
    empty, text = tmp_path / "empty.jpg", tmp_path / "text.jpg"
    empty.write_bytes(b"")
    text.write_text("no image")
    given = [paths[0], empty, paths[1], paths[2], text, paths[3]]
    rows = predict.predict(module, given, "bilinear", CPU)

    said = capsys.readouterr().out
    assert f"not read: {empty} (empty file)\nnot read: {text} (not an image" in said
    assert [row["file"] for row in rows] == [str(path) for path in paths]
    wanted = np.stack([by_hand(module, square) for square in squares_of(paths)])
    for row, probabilities in zip(rows, wanted, strict=True):
        order = np.argsort(-probabilities)
        assert [[label["class"], label["name"]] for label in row["labels"]] == [CLASSES[i] for i in order]
        found = [label["probability"] for label in row["labels"]]
        assert found == pytest.approx(probabilities[order], abs=1e-5)
        assert sum(found) == pytest.approx(1, abs=1e-5)
    assert np.ptp(wanted, axis=0).max() > 0.05, "the network says the same of every image; nothing was compared"
    assert not np.allclose(wanted, 1 / 3, atol=0.05)


def test_with_more_than_five_classes_there_are_five_labels(
    module: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    monkeypatch.setattr(module.net, "fc8", torch.nn.Linear(4096, 7))
    monkeypatch.setattr(module, "classes", [[f"n{i}", f"class {i}"] for i in range(7)])
    rows = predict.predict(module, [photo(tmp_path / "1.png", 1)], "bilinear", CPU)
    found = [label["probability"] for label in rows[0]["labels"]]
    assert len(found) == 5
    assert found == sorted(found, reverse=True)
    assert sum(found) < 1


def test_loaded_network_has_classes_and_mean_and_is_in_eval_mode(module: Classifier, checkpoint: Path) -> None:
    """This is all that predict needs without the store."""
    saved = torch.load(checkpoint, weights_only=True)
    assert module.classes == CLASSES
    assert not module.training
    for name, value in module.state_dict().items():
        assert torch.equal(value, saved["state_dict"][name]), name
