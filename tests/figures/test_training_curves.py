"""Training curves: drawn data against metrics.csv."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.figures import catalog, markdown, training_curves
from alexnet_pl.figures.style import LIGHT, Theme, draw_for_notebook


def drawn(picture: catalog.FigureEntry, theme: Theme = LIGHT) -> Figure:
    return draw_for_notebook(picture.drawing, theme)


def rows(run: TrainedRun) -> list[dict[str, str]]:
    with (run.folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_curves_match_metrics_csv_and_mark_the_rate_drop(run: TrainedRun) -> None:
    """96 images in batches of 16: six steps per epoch; the rate drops in the second."""
    course = training_curves.read_training_curves(run)
    assert course.drops == [training_curves.Drop(6, "÷10")]
    figure = drawn(catalog.training_figure(run, True))
    loss, error = figure.axes
    lines = {line.get_label(): line for axes in (loss, error) for line in axes.lines}
    logged = {
        (axes, label): [(int(row["step"]) / 6, float(row[name])) for row in rows(run) if row[name]]
        for axes, panel in zip((loss, error), training_curves.PANELS.values(), strict=True)
        for name, (label, _, _) in panel.items()
        if name in rows(run)[0]
    }
    assert len(logged) == 5
    for (axes, label), wanted in logged.items():
        (line,) = [line for line in axes.lines if line.get_label() == label]
        np.testing.assert_allclose(np.stack([line.get_xdata(), line.get_ydata()], 1), wanted)
    for axes in (loss, error):
        assert [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1] == [1.0]  # type: ignore[index]
        assert [text.get_text() for text in axes.texts] == ["learning rate ÷10"]
    assert lines
    figure.draw_without_rendering()
    for axes in (loss, error):
        legend = axes.get_legend()
        assert legend
        assert not legend.get_window_extent().overlaps(axes.get_window_extent()), "no line crosses the legend"


@pytest.mark.parametrize(
    ("ended", "later"), [({"steps": 24}, True), ({"finished": False, "steps": None}, True), ({}, False)]
)
def test_page_says_that_a_run_was_trained_on_after_its_test(ended: dict[str, Any], later: bool, copy: Path) -> None:
    record = json.loads((copy / "fit.json").read_text())
    step = json.loads((copy / "result.json").read_text())["checkpoint"]["step"]
    assert record["steps"] == step == 12
    (copy / "fit.json").unlink()
    (copy / "fit.json").write_text(json.dumps({**record, **ended}))
    said = f"- the test is of step {step}, before the last training; python -m alexnet_pl test {copy} tests again"
    assert (said in markdown.run_facts(TrainedRun(copy))) == later


def test_rate_drops_are_labelled_by_layers_and_factor() -> None:
    before = {"conv1": 0.01, "conv2": 0.01, "fc8": 0.01}
    assert training_curves.describe_drop(before, {"conv1": 0.001, "conv2": 0.001, "fc8": 0.001}) == "÷10"
    assert training_curves.describe_drop(before, {"conv1": 0.0, "conv2": 0.001, "fc8": 0.001}) == "÷10"
    assert training_curves.describe_drop(before, {**before, "conv1": 0.0}) == "conv1 stops"
    assert training_curves.describe_drop(before, {**before, "conv1": 0.002, "fc8": 0.1}) == "conv1 ÷5"
    assert training_curves.describe_drop(before, before) == ""
    two = {**before, "conv1": 0.002, "conv2": 0.001}
    assert training_curves.describe_drop({**before, "conv3": 0.01}, {**two, "conv3": 0.01}) == "conv1 ÷5; conv2 ÷10"
    assert (
        training_curves.describe_drop({**before, "conv3": 0.01}, {**two, "conv3": 0})
        == "conv1 ÷5; conv2 ÷10; conv3 stops"
    )


def test_stages_within_an_epoch_are_marked_within_it() -> None:
    stages = [{"epoch": epoch, "weights": {"all": rate}} for epoch, rate in ((1, 0.01), (2.5, 0.001), (9, 0.0001))]
    drops = training_curves.staged_drops(stages, ["conv1", "fc8"], np.array([0, 100, 200, 300]))
    assert drops == [training_curves.Drop(150.0, "÷10")]


def test_single_validation_is_drawn_as_a_point(light: Path) -> None:
    """A line of one point would be invisible after the first epoch."""
    (light / "metrics.csv").write_text("step,train/loss,val/loss,val/top1_error\n1,2.5,,\n2,2.0,,\n2,,1.5,50\n")
    figure = drawn(catalog.training_figure(TrainedRun(light), True))
    markers = {line.get_label(): line.get_marker() for line in figure.axes[0].lines}
    assert markers == {"training": "", "validation": "o"}


def test_curves_that_hardly_fall_are_drawn_whole(light: Path) -> None:
    """The axis starts at 0, so a margin in proportion to the curve's own range cut the topmost point in half."""
    (light / "metrics.csv").write_text("step,train/loss,val/loss,val/top1_error\n1,2.31,,\n2,2.3,,\n2,,2.3,90\n")
    figure = drawn(catalog.training_figure(TrainedRun(light), True))
    for axes, highest in zip(figure.axes, (2.31, 90), strict=True):
        low, high = axes.get_ylim()
        assert low == 0
        assert highest * 1.04 < high < highest * 1.1
