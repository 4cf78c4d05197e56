"""metrics.csv: epochs to a training error (Figure 1), validations, median speed."""

from pathlib import Path

import pytest

from alexnet_pl.errors import UserError
from alexnet_pl.runs import metrics_log
from alexnet_pl.runs.metrics_log import epochs_to, images_per_second, read_errors, read_rows, validations

LOG = """step,train/epoch_top1_error,train/images_per_second,val/top1_error
2,,100.0,
4,60.0,,
4,,,70.0
6,,300.0,
8,30.0,,
8,,,50.0
10,,200.0,
"""


@pytest.mark.parametrize(
    ("errors", "target", "epochs"),
    [
        ([60.0, 30.0, 20.0], 25.0, 2.5),  # half way from 30 to 20
        ([60.0, 30.0, 20.0], 30.0, 2.0),  # reached exactly at the end of an epoch
        ([20.0], 25.0, 75 / 80),  # interpolated from 100 at the start
        ([60.0, 30.0], 25.0, None),
        ([60.0, 26.0, 25.1, 25.0], 25.0, 4.0),
        ([], 25.0, None),
    ],
)
def test_epochs_to_an_error_are_interpolated_between_epoch_ends(
    errors: list[float], target: float, epochs: float | None
) -> None:
    assert epochs_to(errors, target) == (None if epochs is None else pytest.approx(epochs))


def test_log_content(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(LOG)
    assert read_errors(tmp_path / "metrics.csv") == [60.0, 30.0]
    assert {step: row["val/top1_error"] for step, row in validations(tmp_path).items()} == {4: 70.0, 8: 50.0}
    assert images_per_second(tmp_path) == 200.0
    (tmp_path / "metrics.csv").write_text(LOG.splitlines()[0] + "\n")
    assert images_per_second(tmp_path) is None


def test_each_version_of_a_log_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / "metrics.csv", []
    path.write_text(LOG)
    monkeypatch.setattr(metrics_log, "read_rows", lambda path: read.append(path) or read_rows(path))
    for _ in range(3):
        assert (read_errors(path), images_per_second(tmp_path)) == ([60.0, 30.0], 200.0)
    assert read == [path]
    path.write_text(LOG + "12,20.0,,\n")
    assert read_errors(path) == [60.0, 30.0, 20.0]
    path.write_text(LOG + "14,200.0,,\n")
    with pytest.raises(UserError, match=r"metrics.csv: line 9: corrupt"):
        read_errors(path)
    path.unlink()
    with pytest.raises(UserError, match=r"metrics.csv: cannot be read"):
        read_errors(path)


def test_truncated_last_row_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,train/loss,val/loss\n2,1.5,\n4,1.")
    assert read_rows(tmp_path / "metrics.csv") == [{"step": 2, "train/loss": 1.5}]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("step,loss\n2,1.5\n4\n6,1.0\n", "line 3: corrupt"),
        ("step,loss\n2,1.5,7\n4,1.0\n", "line 2: corrupt"),
        ("step,loss\n2,1.5\n4,one\n", "line 3: corrupt .could not convert string to float: 'one'"),
        ("step,loss\n-2,1.5\n", "line 2: corrupt"),
        *(
            (f"step,val/top1_error\n2,50\n4,{error}\n", r"line 3: corrupt .val/top1_error: .* is no percentage")
            for error in ("-50", "nan", "inf", "100.1")
        ),
        ("loss\n1.5\n", "line 2: corrupt"),
        ("step,loss\n2,\xff\n", "cannot be read"),
        ('step,loss\n2,"1"5\n', "cannot be read"),
    ],
)
def test_corrupt_row_is_named(lines: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(lines, encoding="latin-1")
    with pytest.raises(UserError, match=f"metrics.csv: {says}"):
        read_rows(tmp_path / "metrics.csv")
