"""Figures of `figures RUN inside=true`: their content, and errors if they cannot be drawn."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from running import check_words

from alexnet_pl.commands import dispatch, figures, registry
from alexnet_pl.commands.run_options import FigureOptions
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures import inside
from alexnet_pl.figures.attribution import ExplainedImage, draw_attribution, overlay
from alexnet_pl.figures.style import LIGHT, draw_for_notebook
from alexnet_pl.inference.feature_visualization import maximize_units


@pytest.fixture
def run(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> TrainedRun:
    monkeypatch.setattr(inside, "maximize_units", partial(maximize_units, steps=1))
    monkeypatch.setattr(inside, "PICTURES", 3)
    return TrainedRun(tiny_run)


def test_maps_are_of_test_images_of_different_classes(run: TrainedRun) -> None:
    entry = inside.attribution_figure(run, True)
    figure = draw_for_notebook(entry.drawing)
    check_words(figure)
    panels = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert len(panels) == 3 * 3
    assert "Grad-CAM of conv5" in entry.caption
    split = run.store.split("val")
    found, told = inside.one_image_a_class(run, 3)
    every = split.images(np.arange(len(split)))
    labels = [int(split.labels[i]) for one in found for i in np.flatnonzero((every == one).flatten(1).all(1))]
    assert labels == told
    assert len({*labels}) == 3
    assert "3 val images of tiny," in entry.caption


def test_maps_of_the_users_image(run: TrainedRun, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    entry = inside.attribution_figure(run, True, str(tmp_path / "cat.png"))
    figure = draw_for_notebook(entry.drawing)
    check_words(figure)
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == 3
    assert len({round(box.y0, 6) for box in boxes}) == 1, "side by side"
    assert sum(box.width for box in boxes) > 0.9
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UserError, match=r"pictures: .*text.png: "):
        inside.attribution_figure(run, True, str(tmp_path / "text.png"))


def test_positive_is_orange_and_negative_is_blue() -> None:
    values = torch.tensor([[2.0, 0.0], [0.0, -1.0]])
    gray = ExplainedImage(torch.full((3, 2, 2), 51, dtype=torch.uint8), "x", 1.0, values, values)
    found = overlay(gray, values, LIGHT)
    assert found[0, 0, 0] > 0.7 > found[0, 0, 2]
    assert found[1, 1, 2] > found[1, 1, 0]
    np.testing.assert_allclose(found[0, 1], 0.2)


@pytest.mark.parametrize(
    ("right", "label", "told"), [(True, "tench", "✓ >0.99"), (False, "x" * 99, "✗ >0.99 (is"), (False, None, ">0.99")]
)
def test_columns_say_how_strong_a_map_is_and_whether_the_class_is_right(
    right: bool, label: str | None, told: str
) -> None:
    """A fall of 0.0048 has the same colors as one of 0.3, since each map has its own scale."""
    falls, rises = torch.tensor([[0.0048, 0.0], [0.0, -0.001]]), torch.tensor([[0.1, 0.0], [0.0, -0.3]])
    view = torch.full((3, 2, 2), 51, dtype=torch.uint8)
    columns = [ExplainedImage(view, "W" * 32, 0.9989, each, each, label, right) for each in (falls, rises)]
    figure = draw_for_notebook(lambda theme: draw_attribution(columns, "conv5", theme))
    check_words(figure)
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert {"largest fall 0.005", "largest rise 0.3"} <= {*words}
    assert len([word for word in words if word.startswith(told)]) == 2
    assert sum(word.startswith("WWWWWW") and word.endswith("…") for word in words) == 2


def test_every_layer_has_its_units_with_their_patches(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "SEARCHED", 12)
    entry = inside.unit_figure(run, True)
    figure = draw_for_notebook(entry.drawing)
    check_words(figure)
    assert len(figure.axes) == 5 * 4 * (1 + 6) + 8
    assert "conv1 11, conv2 51, conv3 99, conv4 131, conv5 163 pixels" in entry.caption


def test_missing_input_is_reported_in_one_line(
    run: TrainedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setattr(figures, "figures_of", lambda run: {})
    for name, value in {"SEARCHED": 12, "UNITS": 1, "PATCHES": 2}.items():
        monkeypatch.setattr(inside, name, value)
    words = [str(run.folder), "inside=true", f"out={tmp_path / 'out'}"]
    dispatch.run_on_folders(registry.find("figures"), words)
    said = capsys.readouterr().out
    assert "captum is not installed; pip install -e '.[inside]'" in said
    assert (tmp_path / "out/units-dark.png").is_file(), said
    assert not (tmp_path / "out/attribution.png").exists()
    for make in (inside.attribution_figure, inside.unit_figure):
        with pytest.raises(UserError, match="photographs=false"):
            make(run, False)
    with pytest.raises(ValueError, match=r"pictures=cat.jpg: only with inside=true"):
        FigureOptions(pictures="cat.jpg")
