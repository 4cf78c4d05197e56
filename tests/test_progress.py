"""Progress of long stages: a bar on a terminal, lines in a log."""

import sys
from collections.abc import Callable

import pytest

from alexnet_pl import progress
from alexnet_pl.progress import PER_UPDATE, ProgressLines, counted, track


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Function that lets a number of seconds pass."""
    now = [1000.0]
    monkeypatch.setattr(progress, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now[0])}))

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def test_log_gets_a_line_every_minute(pass_time: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    for _ in track(range(10_000), "verify train", 10_000):
        pass_time(0.125)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 10_000 * 0.125 // 60
    assert lines[0] == "verify train: 480 of 10,000, 8.0/s …"
    assert lines[1] == "verify train: 960 of 10,000, 8.0/s …"


def test_rate_leaves_out_what_an_earlier_call_did(
    pass_time: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ProgressLines("prepare", 5000, done=4000)
    pass_time(80)
    lines.update(4040)
    assert capsys.readouterr().err == "prepare: 4,040 of 5,000, 0.5/s …\n"


def test_log_gets_counts_of_items_whose_number_is_not_known(
    pass_time: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in counted(range(PER_UPDATE + 1), "images listed"):
        pass_time(1)
    assert capsys.readouterr().err == "images listed: 256, 1.0/s …\n"


def test_terminal_gets_no_lines(
    pass_time: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = ProgressLines("prepare", 10)
    pass_time(1000)
    lines.update(5)
    monkeypatch.setattr(progress, "draw_bar", lambda items, *_, transient: iter(["a bar", transient]))
    assert list(track([1, 2], "verify", 2)) == ["a bar", True]
    assert capsys.readouterr().err == ""
