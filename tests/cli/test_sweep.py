"""Summary of a sweep: the swept keys, the best job first, and what to type next."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import alexnet_pl

from alexnet_pl.cli import main
from alexnet_pl.cli.sweep import SweepJob, add_job, print_summary
from alexnet_pl.errors import UserError


def job(rate: str, value: float | None, command: str = "fit") -> SweepJob:
    values = {"optim.lr": rate, "model.width": "0.1"}
    return SweepJob(command, values, "val/top1_error", value, Path.cwd() / f"multirun/{rate}")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def test_jobs_are_listed_by_objective_with_swept_keys_alone(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary([job("0.01", 57.1), job("0.001", 42.857), job("0.1", None)])
    text = capsys.readouterr().out
    assert cells(text) == [["0.001", "42.86", "0.001"], ["0.01", "57.10", "0.01"]]
    assert text.splitlines()[0] == "2 jobs in multirun, best first"
    assert "model.width" not in text
    assert text.splitlines()[-1] == "next: python -m alexnet_pl test multirun/0.001"


def test_failed_jobs_are_listed_last_with_the_keys_that_only_they_differ_in(capsys: pytest.CaptureFixture[str]) -> None:
    done = [
        job("0.01", error)._replace(values={"optim.lr": "0.01", "seed": seed}) for error, seed in ((5, "1"), (4, "2"))
    ]
    failed = job("abc", None)._replace(values={"optim.lr": "abc", "seed": "1"}, failed=True)
    print_summary([failed, *done])
    text = capsys.readouterr().out
    assert [row[:3] for row in cells(text)] == [["0.01", "2", "4.00"], ["0.01", "1", "5.00"], ["abc", "1", "failed"]]
    assert text.splitlines()[0] == "2 jobs in multirun, best first; 1 failed"


FAILS_AT_NEGATIVE_RATES = """
import sys
from alexnet_pl.cli import main
from alexnet_pl.errors import UserError

def run(cfg, folder):
    if cfg.optim.lr < 0:
        raise UserError("optim.lr=-1: at least 0")
    return 50.0

main.dispatch.run = run
sys.argv = ["alexnet_pl", *"fit -m -c demo seed=1,2 optim.lr=0.01,-1".split()]
main.main()
"""


def test_sweep_with_failed_jobs_lists_all(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FAILS_AT_NEGATIVE_RATES]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    rows = [["1", "0.01", "50.00"], ["2", "0.01", "50.00"], ["1", "-1", "failed"], ["2", "-1", "failed"]]
    assert [row[:3] for row in cells(done.stdout)] == rows


def test_job_without_a_finite_objective_is_last(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary([job("1", math.nan), job("0.01", 57.1), job("0.1", math.nan), job("0.001", 42.857)])
    assert [rate for rate, *_ in cells(capsys.readouterr().out)] == ["0.001", "0.01", "1", "0.1"]


def test_every_failed_job_is_reported(tmp_path: Path) -> None:
    """Hydra raises the error of the first one alone, at the end."""
    done = alexnet_pl("verify", "-m", "data.root=a,b", cwd=tmp_path)
    assert done.returncode == 2
    first, second, last = (line for line in done.stderr.splitlines() if line.startswith(("job ", "alexnet_pl: ")))
    assert re.fullmatch(r"job 0 in runs/.* failed: data.root: a does not exist; make one: .*", first)
    assert re.fullmatch(r"job 1 in runs/.* failed: data.root: b does not exist; make one: .*", second)
    assert last.startswith("alexnet_pl: data.root: a does not exist; make one: ")


def test_finished_jobs_are_listed_when_a_later_one_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        raise UserError("optim.lr=abc: expected a number")

    monkeypatch.setattr(sys, "argv", ["alexnet_pl"])  # restored after the test
    monkeypatch.setattr(main, "run", run)
    monkeypatch.setattr(main, "finished", [job("0.01", 57.1), job("0.001", 42.857)])
    with pytest.raises(UserError, match="abc"):
        main.start(["fit", "-m", "-c", "demo", "optim.lr=0.01,0.001,abc"])
    assert cells(capsys.readouterr().out) == [["0.001", "42.86", "0.001"], ["0.01", "57.10", "0.01"]]


def test_single_job_and_commands_without_objective_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary([])
    print_summary([job("0.01", 57.1)])
    print_summary([job("0.01", None, "prepare"), job("0.001", None, "prepare")])
    assert capsys.readouterr().out == ""


def test_reproduced_jobs_need_no_test(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary([job("0.01", 50.0, "reproduce"), job("0.001", 40.0, "reproduce")])
    assert "next:" not in capsys.readouterr().out


def test_overrides_are_split_into_keys_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet_pl.cli.sweep.finished", found := [])
    add_job("fit", ["++model.width=0.1", "data.root='a=b'"], "val/loss", 1.0, Path("x"))
    assert found == [SweepJob("fit", {"model.width": "0.1", "data.root": "'a=b'"}, "val/loss", 1.0, Path("x"))]
