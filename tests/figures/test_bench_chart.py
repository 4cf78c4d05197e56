"""Chart of `bench`: marks at the measured values; no number is crossed by a line."""

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from running import Compose, check_words

from alexnet_pl.commands.bench import bench
from alexnet_pl.figures.bench_chart import draw_bench_chart
from alexnet_pl.figures.style import THEMES, Theme, draw_for_notebook

KEPT = Path(__file__).parents[2] / "docs/bench"


def read(name: str = "cpu") -> dict[str, Any]:
    return json.loads((KEPT / f"{name}.json").read_text())


def drawn(measured: dict[str, Any], theme: Theme = THEMES[0]) -> Figure:
    figure = draw_for_notebook(lambda theme: draw_bench_chart(measured, theme), theme)
    check_words(figure)
    return figure


def rows(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def test_loaders_have_a_dot_at_the_median_and_whiskers_to_the_slowest_and_fastest_round() -> None:
    """The rounds of DALI on this machine were 148, 408 and 4,109 images/s."""
    measured = read()
    axes = drawn(measured).axes[0]
    assert not axes.patches, "a bar has no length on a logarithmic axis"
    assert axes.get_xscale() == "log"
    marks = [list(line.get_xdata()) for line in axes.lines]
    for name, rate in measured["feeding"].items():
        assert {(rate["low"], rate["high"]), (rate["median"],)} <= {
            tuple(mark)
            for mark, line in zip(marks, axes.lines, strict=True)
            if line.get_ydata()[0] == rows(axes).index(name)
        }
    told = {text.get_text() for text in axes.texts}
    assert "408 (148 to 4,109)" in told
    assert "573" in told


@pytest.mark.parametrize("theme", THEMES, ids=["light", "dark"])
@pytest.mark.parametrize("name", ["cpu", "cpu-amd"])
def test_rooflines_are_those_of_the_file_and_cross_no_number(name: str, theme: Theme) -> None:
    measured = read(name)
    measured["stages"]["rooflines"]["update"] = 1.1 * measured["stages"]["milliseconds"]["update"]  # right of its bar
    axes = drawn(measured, theme).axes[2]
    floors = {rows(axes)[round(sum(line.get_ydata()) / 2)]: line.get_xdata()[0] for line in axes.lines}
    assert floors == measured["stages"]["rooflines"]
    assert "0.0" not in [text.get_text() for text in axes.texts], "transfer takes 0.03 ms"
    for text in axes.texts:
        for line in axes.lines:
            path = axes.transData.transform_path(line.get_path())
            assert not path.intersects_bbox(text.get_window_extent(), filled=False), text.get_text()


def test_report_redraws_the_chart_beside_each_file(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cpu.json").write_text((KEPT / "cpu.json").read_text())
    (tmp_path / "cpu.png").write_bytes(b"of an earlier version")
    bench(config("ilsvrc2012", "bench.suite=report", "bench.output=cpu.json"), tmp_path)
    assert (tmp_path / "cpu.png").read_bytes().startswith(b"\x89PNG")
