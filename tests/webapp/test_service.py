"""Answers of the demo app: a classifier's labels, evidence and similar images; a box network's boxes."""

import base64
import io
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from photographs import drawn, save_png
from PIL import Image
from torch.nn import functional as F

from alexnet_pl.config.views import DenseViews
from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store.store import Store
from alexnet_pl.detection.finder import PredictedBoxes
from alexnet_pl.errors import UserError
from alexnet_pl.webapp import box_service
from alexnet_pl.webapp.answer import Answer, Explanation, Label, Truth, to_json
from alexnet_pl.webapp.box_service import BoxService
from alexnet_pl.webapp.service import DemoService


@pytest.mark.usefixtures("_here")
def test_answer_matches_the_network_and_brute_force_neighbors(place: Path, tmp_path: Path) -> None:
    lookup = DemoService(place / "run")
    image = lookup.read(save_png(tmp_path / "one.png", drawn(7)).read_bytes())
    answer = lookup.answer(image)
    with torch.inference_mode():
        views = torch.cat(list(lookup.module.augment.views(image, "ten")))
        said = F.softmax(lookup.module.net(views), 1).mean(0)
    names = [name for _, name in synthetic.CLASSES]
    best = sorted(range(len(said)), key=lambda i: -float(said[i]))[:5]
    assert [label.name for label in answer.labels] == [sorted(synthetic.CLASSES)[i][1] for i in best]
    assert [label.probability for label in answer.labels] == pytest.approx([float(said[i]) for i in best], rel=1e-4)
    assert {label.name for label in answer.labels} <= set(names)

    features = np.load(place / "run/features/train-fc7/features.npy").astype(np.float64)
    with torch.inference_mode():
        (center,) = lookup.module.augment.views(image, "center")
        own = lookup.module.net.features(center).half().double().numpy()  # type: ignore[operator]
    distances = np.sqrt(((features - own) ** 2).sum(1))
    floats, codes = answer.searches
    assert [near.distance for near in floats.near] == [f"distance {d:.1f}" for d in np.sort(distances)[:6]]
    store = Store(lookup.cfg.data.root).split("train")
    for near, number in zip(floats.near, np.argsort(distances, kind="stable"), strict=False):
        pixels = np.empty((1, 3, 72, 72), np.uint8)
        store.read(np.array([number]), pixels)
        assert np.array_equal(near.image, pixels[0])
    bits = np.unpackbits(np.load(place / "runs/codes/one/codes/train.npy"), axis=1)
    assert lookup.codes is not None
    mine = lookup.codes.net.encode(own.astype(np.float16))
    differing = np.sort((bits != mine).sum(1))[:6]
    assert [near.distance for near in codes.near] == [f"Hamming distance {d}" for d in differing]
    assert "96 × 32 bits" in codes.note


@pytest.mark.parametrize(("dense", "shape"), [(DenseViews(), (1, 3, 72, 96)), (None, (1, 3, 72, 72))])
def test_dense_views_classify_the_whole_image_as_predict_does(
    dense: DenseViews | None, shape: tuple[int, ...], tmp_path: Path
) -> None:
    """The picture that is shown, its Grad-CAM and the searches are of the center in both cases."""
    service, seen = DemoService.__new__(DemoService), list[tuple[int, ...]]()
    center = Augment(72, 67).center
    module: Any = SimpleNamespace(dense=dense, views=dense.name if dense else "center", filter="bilinear")
    module.augment = SimpleNamespace(size=72, center=center)
    service.module, service.cfg = module, OmegaConf.create({})

    def see(image: torch.Tensor, *_: Any) -> Any:
        seen.append(tuple(image.shape))
        return [Label("one", 1.0, 0)], 0.5

    for name in ("predict_labels", "explain", "search_features", "search_codes"):
        setattr(service, name, see)
    image = service.read(save_png(tmp_path / "wide.png", drawn(7, 120)[:, :90]).read_bytes())
    answer = service.answer(image)
    assert seen == [shape, *[(1, 3, 72, 72)] * 3]
    left = (shape[3] - 72) // 2
    assert np.array_equal(answer.image, center(image[0, :, :, left : left + 72]).numpy())
    assert answer.sees_whole == bool(dense)
    assert answer.note == f"{'Fine windows at scales 1, 2, 4, 6' if dense else 'Center view'}, 500 ms."


@pytest.mark.usefixtures("_here")
def test_missing_features_or_codes_name_the_command(place: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(place / "run", bare, ignore=shutil.ignore_patterns("features"))
    floats, codes = DemoService(bare).answer(drawn(3, 72)[None]).searches
    assert (floats.near, codes.near) == ([], [])
    assert f"python -m alexnet_pl features {bare}" in floats.note
    assert f"python -m alexnet_pl reproduce -c codes codes.features={bare}" in codes.note


@pytest.mark.usefixtures("_here")
def test_labels_need_no_faiss(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    answer = DemoService(place / "run").answer(drawn(3, 72)[None])
    assert answer.labels
    assert ["pip install" in search.note for search in answer.searches] == [True, True]


def corrupt(place: Path, tmp_path: Path, how: str) -> Path:
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    if how == "no checkpoint":
        shutil.rmtree(run / "checkpoints")
    if how == "store away":
        path = run / ".hydra/config.yaml"
        path.write_text(re.sub(r"root: .*tiny", "root: /gone/tiny", path.read_text()))
    if how == "other features":
        path = run / "checkpoints/last.ckpt"
        checkpoint = torch.load(path, weights_only=True)
        checkpoint["state_dict"]["net.fc8.bias"] += 1
        torch.save(checkpoint, path)
    return run


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("no checkpoint", "has no checkpoints/last.ckpt; `python -m alexnet_pl fit "),
        ("store away", "data.root: /gone/tiny does not exist"),
        ("other features", "features"),
    ],
)
def test_unsuitable_run_folder_is_reported_in_one_line(place: Path, tmp_path: Path, how: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        DemoService(corrupt(place, tmp_path, how))
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("_here")
def test_grad_cam_of_the_first_label_covers_the_center_crop(place: Path, tmp_path: Path) -> None:
    """Against the definition: ReLU of conv5's maps, each weighted by the mean gradient of the label's logit."""
    lookup = DemoService(place / "run")
    image = lookup.read(save_png(tmp_path / "one.png", drawn(7)).read_bytes())
    answer = lookup.answer(image)
    assert np.array_equal(answer.image, image[0, :, 2:69, 2:69])
    net = lookup.module.net
    (view,) = lookup.module.augment.views(image, "center")
    kept: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        maps = F.relu(output)
        kept.append(maps)
        return maps

    handle = net.conv5.register_forward_hook(keep)
    with torch.enable_grad():
        logit = net(view.clone().requires_grad_())[0, answer.labels[0].number]
        (gradient,) = torch.autograd.grad(logit, kept[0])
    handle.remove()
    expected = F.relu((gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1))[0].detach().numpy()
    assert answer.explanation
    assert answer.explanation.heat is not None
    assert np.allclose(answer.explanation.heat, expected / max(expected.max(), 1e-12), atol=1e-5)


@pytest.mark.usefixtures("_here")
def test_the_store_is_opened_once_for_all_answers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening verifies the checksum of every small file, which takes seconds for the store of ImageNet."""
    opened: list[str] = []

    class CountedStore(Store):
        def __init__(self, root: str, check: bool = True) -> None:
            opened.append(str(root))
            super().__init__(root, check)

    monkeypatch.setattr("alexnet_pl.data.loading.datamodule.Store", CountedStore)
    service = DemoService(place / "run")
    for _ in range(2):
        assert all(search.near for search in service.answer(drawn(3, 72)[None]).searches)
        assert service.example()
    assert len(opened) == 1


@pytest.mark.usefixtures("_here")
def test_whether_there_are_examples_is_known_without_reading_an_image(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = DemoService(place / "run")
    monkeypatch.setattr("alexnet_pl.data.store.split.Split.images", lambda *_: pytest.fail("an image was read"))
    assert service.has_examples
    bare = corrupt(place, tmp_path, "store away")
    shutil.rmtree(bare / "features")
    away = DemoService(bare)
    assert not away.has_examples
    assert away.example() is None


def test_json_preserves_pixels_and_text() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    heat = np.array([[0.0, 1.0], [0.5, 0.25]])
    found = to_json(Answer(image, "note", [Label("<b>", 0.5, 3)], Explanation(heat, "why")), Truth("<b>", 4))
    assert (found["width"], found["height"], found["boxes"]) == (7, 5, None)
    assert found["correct"] == {"name": "<b>", "number": 4}, "another class of the same name"
    assert found["labels"] == [{"name": "<b>", "probability": 0.5, "number": 3}]
    assert np.array_equal(pixels(found["image"]), image.transpose(1, 2, 0))
    assert pixels(found["explanation"]["heat"])[..., 3].tolist() == [[0, 255], [128, 64]]


def pixels(url: str) -> np.ndarray:
    head, data = url.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_boxes_are_scaled_with_a_large_image(monkeypatch: pytest.MonkeyPatch) -> None:
    confident = PredictedBoxes(np.array([1]), np.array([0.9]), np.array([[100.0, 200.0, 300.0, 400.0]]))
    finder = SimpleNamespace(
        scales=(1,),
        options=SimpleNamespace(confidence=0.5),
        find_in_photograph=lambda image, filter_name: image,
        select_confident=lambda _: confident,
        describe_left_out=lambda: "",
    )
    monkeypatch.setattr(box_service, "BoxRun", lambda *_: SimpleNamespace(finder=finder, names=["cat", "dog"], cfg={}))
    service = BoxService(Path("run"))
    answer = service.answer(torch.zeros(3, 1000, 2048, dtype=torch.uint8))
    assert answer.image.shape == (3, 500, 1024)
    assert answer.boxes == [("dog", 0.9, 50.0, 100.0, 150.0, 200.0)]
    assert service.answer(torch.zeros(3, 500, 1024, dtype=torch.uint8)).boxes == [
        ("dog", 0.9, 100.0, 200.0, 300.0, 400.0)
    ]


def test_only_the_most_confident_boxes_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.linspace(1, 0.6, 25)
    many = PredictedBoxes(np.zeros(25, int), scores, np.tile([0.0, 0.0, 5.0, 5.0], (25, 1)))
    options = SimpleNamespace(confidence=0.5)
    finder = SimpleNamespace(
        scales=(1,),
        options=options,
        find_in_photograph=lambda image, filter_name: image,
        select_confident=lambda _: many,
        describe_left_out=lambda: "7 windows not merged",
    )
    monkeypatch.setattr(box_service, "BoxRun", lambda *_: SimpleNamespace(finder=finder, names=["cat"], cfg={}))
    answer = BoxService(Path("run")).answer(torch.zeros(3, 9, 9, dtype=torch.uint8))
    assert answer.boxes
    assert [box.confidence for box in answer.boxes] == scores[:20].tolist()
    assert answer.note.startswith(
        "Boxes with a confidence of at least 0.5; 5 more are not shown; 7 windows not merged; "
    )
