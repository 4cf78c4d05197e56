"""Every figure of a small run: drawn data against numpy; no text is cut off."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.colors import same_color, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from omegaconf import OmegaConf
from running import check_words
from store_copies import copy_as_drawn
from torch import nn
from torch.nn import functional as F

from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures import catalog, examples, figure4, markdown
from alexnet_pl.figures.filter_responses import compute_responses, find_largest
from alexnet_pl.figures.image_names import name_images
from alexnet_pl.figures.labels import format_probability
from alexnet_pl.figures.style import DARK, LIGHT, THEMES, Theme, draw_for_notebook
from alexnet_pl.inference.top_patches import find_top_patches
from alexnet_pl.models.filters import scale_to_unit_range
from alexnet_pl.models.other_alexnets import CaffeAlexNet
from alexnet_pl.models.overfeat import OverFeat


def drawn(picture: catalog.FigureEntry, theme: Theme = LIGHT) -> Figure:
    return draw_for_notebook(picture.drawing, theme)


def images_in(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_figure_3_has_every_kernel_of_the_network(run: TrainedRun) -> None:
    weight = run.module.net.conv1.weight
    halves = images_in(drawn(catalog.kernel_figure(run, True), DARK))
    assert len(halves) == 2
    wanted = scale_to_unit_range(weight).permute(0, 2, 3, 1).numpy()
    tiles = [half[1:12, 1 + 12 * c : 12 * c + 12] for half in halves for c in range(12)]
    np.testing.assert_allclose(np.stack(tiles), wanted, atol=1e-6)
    assert halves[0].shape == (1 * 12 + 1, 12 * 12 + 1, 3), "12 of 24 kernels, a quarter of the width"
    np.testing.assert_allclose(halves[1][0], np.broadcast_to(to_rgb(DARK.page), (145, 3)), atol=1e-6)


def test_imported_caffe_network_has_two_halves() -> None:
    """Its config does not say so, since Caffe's network always has them."""
    net = CaffeAlexNet(10, width=0.25)
    trained: Any = SimpleNamespace(module=SimpleNamespace(net=net), cfg=OmegaConf.create({"model": {"name": "caffe"}}))
    picture = catalog.kernel_figure(trained, True)
    assert "GPU 2" in picture.caption
    assert len(images_in(drawn(picture))) == 2
    weight, numbers = find_largest(trained, 3)
    assert (numbers < len(weight) // 2).tolist() == [True] * 3 + [False] * 3


def test_bars_of_figure_4_match_the_test(run: TrainedRun) -> None:
    table = pq.read_table(run.folder / "results/val-center/probabilities.parquet")
    figure = drawn(catalog.prediction_figure(run, True))
    store = Store(run.cfg.data.root).split("val")
    numbers = [2, 7, 13, 18, 24, 29, 30, 35]  # middle of each eighth of 40 images sorted by class, (i + 6) mod 10
    panels = [axes for axes in figure.axes if axes.patches]
    assert len(panels) == len(numbers) == len(images_in(figure))
    whole = np.empty((len(store), 3, 72, 72), np.uint8)
    store.read(np.arange(len(store)), whole)
    names = [name for _, name in Store(run.cfg.data.root).classes]
    for number, axes, image in zip(numbers, panels, images_in(figure), strict=True):
        row = table.slice(number, 1).to_pylist()[0]
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)][1::2]  # each is on one of length 1
        lengths = [bar.get_width() for bar in bars]
        assert lengths == [float(row["probabilities"][best]) for best in row["best"]]
        assert lengths == sorted(lengths, reverse=True)
        assert sum(lengths) <= 1 + 5 * 2**-11  # rounded to float16
        assert np.array_equal(image, whole[number].transpose(1, 2, 0))
        texts = [text.get_text() for text in axes.texts]
        assert texts[0] == names[row["label"]]
        assert texts[1::2] == [names[best] for best in row["best"]]
        right = [same_color(bar.get_facecolor(), LIGHT.right) for bar in bars]
        assert right == [best == row["label"] for best in row["best"]]
        assert [text.startswith("✓") for text in texts[2::2]] == right


def test_shortened_test_is_drawn_with_the_images_that_it_read(copy: Path) -> None:
    """Rows of its predictions are every third image of the split."""
    saved = copy / "results/val-center/probabilities.parquet"
    about = {b"alexnet_pl": pq.read_metadata(saved).metadata[b"alexnet_pl"]}
    pq.write_table(pq.read_table(saved).take(list(range(1, 40, 3))).replace_schema_metadata(about), saved)
    run = TrainedRun(copy)
    picture = catalog.prediction_figure(run, True)
    split = Store(run.cfg.data.root).split("val")
    predictions, *_ = catalog.saved_predictions(run, examples.find_saved_predictions(run))  # type: ignore[arg-type]
    assert len(predictions) == 8
    for prediction, image in zip(predictions, images_in(drawn(picture)), strict=True):
        number = split.names.index(prediction.name)
        assert number % 3 == 1
        assert np.array_equal(image, split.images(np.array([number]))[0].permute(1, 2, 0).numpy())
    assert picture.caption.startswith("8 of 13 of the 40 val images of ")


def spoil(run: Path, images: int) -> None:
    """Write the saved predictions as a test does whose scores for the first `images` images are not finite, and whose
    labels are not known."""
    saved = run / "results/val-center/probabilities.parquet"
    about = {b"alexnet_pl": pq.read_metadata(saved).metadata[b"alexnet_pl"]}
    table = pq.read_table(saved).replace_schema_metadata(about)
    columns = table.to_pydict()
    columns["label"] = [-1] * len(table)
    columns["best"][:images] = [[-1] * 5] * images
    columns["probabilities"][:images] = [np.full(10, np.nan, np.float16)] * images
    pq.write_table(pa.table(columns, schema=table.schema), saved)


def test_images_without_an_answer_are_left_out_of_figure_4(copy: Path) -> None:
    """-1 counted from the end: they showed the last class, and were right if their label is not known."""
    spoil(copy, 30)
    picture = catalog.prediction_figure(TrainedRun(copy), False)
    bars = [patch for axes in drawn(picture).axes for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(bars) == 8 * 5 * 2
    assert np.isfinite([bar.get_width() for bar in bars]).all()
    assert picture.summary.startswith("0 of 8 right")
    run = TrainedRun(copy)
    predictions, *_ = catalog.saved_predictions(run, examples.find_saved_predictions(run))  # type: ignore[arg-type]
    assert {each.number for each in predictions} <= set(range(30, 40))


def test_figure_4_without_any_answer_is_refused(copy: Path) -> None:
    spoil(copy, 40)
    with pytest.raises(UserError, match="scores are not finite"):
        catalog.prediction_figure(TrainedRun(copy), False)


def test_network_without_finite_scores_has_no_predictions_to_draw(copy: Path) -> None:
    shutil.rmtree(copy / "results")
    run = TrainedRun(copy)
    nn.init.constant_(run.module.net.conv1.weight, float("nan"))
    assert catalog.new_predictions(run)[0] == []


def test_predictions_are_computed_if_there_is_no_test(run: TrainedRun, copy: Path) -> None:
    shutil.rmtree(copy / "results")
    kept, _, _, _ = catalog.saved_predictions(run, examples.find_saved_predictions(run))  # type: ignore[arg-type]
    new, source, _, _ = catalog.new_predictions(TrainedRun(copy))
    assert "not tested yet" in source
    for one, other in zip(kept, new, strict=True):
        assert (one.number, one.name, one.label) == (other.number, other.name, other.label)
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=2e-3)


def test_test_of_another_checkpoint_is_not_drawn(run: TrainedRun, light: Path) -> None:
    assert examples.find_saved_predictions(run) is not None
    (light / "checkpoints").mkdir()
    checkpoint = torch.load(run.checkpoint, weights_only=True)
    torch.save({**checkpoint, "global_step": 99}, light / "checkpoints/last.ckpt")
    assert examples.find_saved_predictions(TrainedRun(light)) is None


def test_test_on_fewer_classes_is_not_drawn(run: TrainedRun, copy: Path) -> None:
    """Class numbers of such a test, as of ImageNet-A, count within its own classes."""
    assert examples.find_saved_predictions(run) is not None
    for saved in copy.glob("results/*/probabilities.parquet"):
        table = pq.read_table(saved)
        about = json.loads(pq.read_metadata(saved).metadata[b"alexnet_pl"])
        about["dataset"]["classes"] = 2
        pq.write_table(table.replace_schema_metadata({b"alexnet_pl": json.dumps(about).encode()}), saved)
    assert examples.find_saved_predictions(TrainedRun(copy)) is None


def test_neighbors_of_figure_4_match_a_plain_search(run: TrainedRun) -> None:
    """Compares all distances of fc7 of the 96 training images, computed layer by layer."""
    store, net, crop = Store(run.cfg.data.root), run.module.net, slice(2, 69)
    seen = {}
    for name in ("train", "val"):
        split = store.split(name)
        whole = np.empty((len(split), 3, 72, 72), np.uint8)
        split.read(np.arange(len(split)), whole)
        view = torch.from_numpy(whole[:, :, crop, crop] - store.mean[None, :, crop, crop]).float()
        with torch.inference_mode():
            maps = net.conv_maps(view).flatten(1)
            fc7 = torch.relu(net.fc7(torch.relu(net.fc6(maps)) / 2))
        seen[name] = whole, fc7.half().double().numpy()
    figure = drawn(catalog.neighbor_figure(run, True))
    found = images_in(figure)
    queries = [1, 3, 5, 7, 9]  # middle of each fifth of 40 images sorted by class, (i + 6) mod 10
    assert len(found) == 5 * 7
    for row, query in enumerate(queries):
        assert np.array_equal(found[7 * row], seen["val"][0][query].transpose(1, 2, 0))
        distances = np.square(seen["train"][1] - seen["val"][1][query]).sum(1)
        shown = [
            int(np.flatnonzero((seen["train"][0] == image.transpose(2, 0, 1)).all((1, 2, 3)))[0])
            for image in found[7 * row + 1 : 7 * row + 7]
        ]
        np.testing.assert_allclose(distances[shown], np.sort(distances)[:6], rtol=1e-3)


def test_figures_leave_out_the_top_5_error_of_five_classes(copy: Path) -> None:
    with_top5 = catalog.training_figure(TrainedRun(copy), True).summary, markdown.run_facts(TrainedRun(copy))[-1]
    assert all("top-5 error" in text for text in with_top5)
    for name, key in {"fit.json": "store", "result.json": "dataset"}.items():
        record = json.loads((copy / name).read_text())
        record[key]["classes"] = 5
        (copy / name).unlink()
        (copy / name).write_text(json.dumps(record))
    without = catalog.training_figure(TrainedRun(copy), True).summary, markdown.run_facts(TrainedRun(copy))[-1]
    for text in without:
        assert "top-1 error" in text
        assert "top-5" not in text


@pytest.mark.parametrize("theme", THEMES, ids=["light", "dark"])
@pytest.mark.parametrize("name", list(catalog.FIGURES))
def test_no_text_overlaps_or_is_cut_off(run: TrainedRun, name: str, theme: Theme) -> None:
    check_words(drawn(catalog.FIGURES[name][1](run, True), theme))


def test_check_detects_cut_off_text() -> None:
    for place in ((-0.2, 0.5), (0.5, 0.99)):
        figure = Figure()
        figure.text(*place, "cut off")
        with pytest.raises(AssertionError, match="cut off"):
            check_words(figure)
    figure.texts[0].set_position((0.5, 0.5))
    figure.text(0.51, 0.5, "over")
    with pytest.raises(AssertionError, match="over"):
        check_words(figure)


def test_long_class_names_are_shortened_at_the_bars() -> None:
    names = ["German short-haired pointer, a dog", "x" * 60, "tench, Tinca tinca"]
    answer = examples.SavedPrediction(0, "a.jpg", 1, np.array([0, 1, 2]), np.array([0.5, 0.3, 0.1]))
    figure = draw_for_notebook(lambda theme: figure4.draw_bars([answer], None, names, theme))
    check_words(figure)
    assert figure.axes[0].texts[1].get_text().startswith("German short-haired p")
    assert figure.axes[0].texts[5].get_text() == "tench"
    picture, classes = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), np.array([[1, 0] * 3])
    near = picture[:, None].repeat(1, 6, 1, 1, 1)
    sheet = draw_for_notebook(lambda _: figure4.draw_neighbors(picture, near, np.array([1]), classes, names))
    check_words(sheet)


@pytest.mark.parametrize("label", [0, 1])
def test_names_at_the_bars_are_cut_by_width(label: int) -> None:
    answer = examples.SavedPrediction(0, "a.jpg", label, np.array([0, 1]), np.array([0.5, 0.4]))
    figure = draw_for_notebook(lambda theme: figure4.draw_bars([answer], None, ["W" * 30, "i" * 40], theme))
    check_words(figure)
    title, wide, probability, narrow, _ = figure.axes[0].texts
    assert title.get_text() == "i" * 40 if label else title.get_text().endswith("W…")
    assert narrow.get_text() == "i" * 40, "of narrow letters, all fit"
    assert wide.get_text().endswith("W…")
    assert wide.get_window_extent().x1 < probability.get_window_extent().x0


def test_names_of_neighbors_are_cut_by_width() -> None:
    picture, classes = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), np.array([[1, 0] * 3])
    near, names = picture[:, None].repeat(1, 6, 1, 1, 1), ["W" * 60, "i" * 30]
    sheet = draw_for_notebook(lambda _: figure4.draw_neighbors(picture, near, np.array([1]), classes, names))
    check_words(sheet)
    shown = {text.get_text() for axes in sheet.axes for text in axes.texts}
    assert "i" * 30 in shown, "of narrow letters, all fit"


def test_probabilities_claim_no_certainty() -> None:
    written = {0.9989: ">0.99", 0.9949: "0.99", 0.004: "<0.01", 0.006: "0.01", 1.0: ">0.99", 0.5: "0.50"}
    assert {value: format_probability(value) for value in written} == written
    answer = examples.SavedPrediction(0, "a.jpg", 1, np.array([0, 1]), np.array([0.9989, 0.001]))
    figure = draw_for_notebook(lambda theme: figure4.draw_bars([answer], None, ["a", "b"], theme))
    assert [text.get_text() for text in figure.axes[0].texts] == ["b", "a", ">0.99", "b", "✓ <0.01"]


def test_captions_name_the_store_and_that_its_images_are_drawn(copy: Path, tiny_store: Path, tmp_path: Path) -> None:
    assert "8 of the 40 val images of tiny (test," in catalog.prediction_figure(TrainedRun(copy), False).caption
    drawn_store = copy_as_drawn(tiny_store, tmp_path / "drawn")
    trained = TrainedRun(copy, str(drawn_store.root))
    trained.checkpoint_info["store"]["fingerprint"] = drawn_store.fingerprint
    assert name_images(trained) == "tiny (drawn)"
    assert " images of 10 classes, drawn images: " in markdown.run_facts(trained)[1]
    gone = TrainedRun(copy, str(tmp_path / "gone"))
    assert name_images(gone) == "tiny"
    gone.cfg.data.name = "demo"
    assert name_images(gone) == "demo (drawn)"


BLINDNESS = {  # Machado, Oliveira and Fernandes (2009), for linear RGB
    "all colors": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(color: str, eye: str) -> np.ndarray:
    """CIELAB of a color as seen with a type of color vision."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLINDNESS[eye]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen
    x, y, z = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", BLINDNESS)
@pytest.mark.parametrize("theme", THEMES, ids=["light", "dark"])
def test_colors_are_distinguishable_with_color_blindness(theme: Theme, eye: str) -> None:
    """A difference of 1 is just visible side by side; 20 is clearly another color."""
    for one, other in (
        (theme.right, theme.other),
        (theme.series[0], theme.series[1]),
        (theme.series[1], theme.series[2]),
        (theme.right, theme.page),
        (theme.other, theme.page),
        (theme.ink, theme.page),
    ):
        assert np.linalg.norm(lab(one, eye) - lab(other, eye)) > 20, (one, other)


def test_strongest_response_is_where_the_kernel_is_planted(run: TrainedRun) -> None:
    """Image equal to the mean except for a kernel's pattern at window 3 down, 5 across in the center view."""
    module, weight = run.module, run.module.net.conv1.weight.detach()
    kernels = torch.tensor([7, 20])
    images = module.augment.mean_image.round()[None].repeat(4, 1, 1, 1)
    for image, kernel in ((1, 7), (2, 20)):
        pattern = weight[kernel] / weight[kernel].abs().max() * 60
        images[image, :, 2 + 12 : 2 + 12 + 11, 2 + 20 : 2 + 20 + 11] += pattern
    images = images.clamp(0, 255).byte()
    found = find_top_patches(module, images, "conv1", kernels, count=2)
    assert found.images[:, 0].tolist() == [1, 2]
    for row, image in ((0, 1), (1, 2)):
        assert torch.equal(found.pixels[row, 0], images[image, :, 14:25, 22:33])
    answers = compute_responses(module, images)[:, kernels]
    assert torch.equal(found.responses, answers.flatten(2).amax(2).sort(0, descending=True).values[:2].T)


def test_responses_are_those_of_the_first_layer_to_its_own_input() -> None:
    """OverFeat divides pixels by `sigma`; its biases would hardly show otherwise."""
    net = OverFeat(3, net="fast", width=0.125, crop=231, sigma=50.0)
    nn.init.constant_(net.conv1.bias, 5.0)
    module = SimpleNamespace(net=net, augment=SimpleNamespace(views=lambda images, _: iter([images.float()])))
    images = torch.randint(0, 256, (2, 3, 231, 231), dtype=torch.uint8)
    expected = F.conv2d(images.float() / 50, net.conv1.weight, net.conv1.bias, stride=4)
    torch.testing.assert_close(compute_responses(module, images), expected)  # type: ignore[arg-type]


def test_images_are_spread_over_classes_also_if_these_take_turns() -> None:
    turns, sorted_labels = np.arange(1000) % 10, np.repeat(np.arange(10), 100)
    for labels in (turns, sorted_labels):
        chosen = examples.spread_over_classes(labels, 8)
        assert len(set(labels[chosen])) == 8
        assert list(chosen) == sorted(set(chosen))
    assert np.array_equal(examples.spread_over_classes(np.full(40, -1), 8), examples.spread_evenly(40, 8))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 2, 4], "from 4 of the 1,000 classes"),
        (range(1000), "spread evenly over the classes"),
        ([-1, -1], "spread evenly over the split"),
    ],
)
def test_captions_say_how_many_classes_the_images_are_of(labels: Sequence[int], words: str) -> None:
    assert examples.describe_spread(np.array(labels), 1000) == words


def test_caption_counts_as_one_would_say(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    prediction = examples.SavedPrediction(0, "a", 3, np.arange(5), np.full(5, 0.1))
    for best, words in ((3, "comes first once"), (2, "comes first 0 times")):
        found = [prediction._replace(best=np.roll(np.arange(5), -best))]
        monkeypatch.setattr(catalog, "saved_predictions", lambda *_, found=found: (found, "of 40 images", None, ""))
        caption = catalog.prediction_figure(run, False).caption
        assert "1 of 40 images, from 1 of the 10 classes, with the five" in caption
        assert words in caption
