"""Run used by the notebooks: the user's own, or the demo, trained once."""

import sys
from pathlib import Path

import pytest

from alexnet_pl import __version__
from alexnet_pl.errors import UserError
from alexnet_pl.experiment import example_run
from alexnet_pl.experiment.trained_run import TrainedRun


def test_given_run_is_used(tiny_run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert example_run.example_run(tiny_run) == tiny_run
    monkeypatch.setenv(example_run.VARIABLE, str(tiny_run))
    assert example_run.example_run() == tiny_run
    with pytest.raises(UserError, match="not a run folder"):
        example_run.example_run(tmp_path)


@pytest.mark.slow
def test_demo_is_trained_and_tested_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(example_run.VARIABLE, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    few = [f"trainer.limit_{name}_batches=2" for name in ("train", "val", "test")]
    monkeypatch.setattr(example_run, "DEMO", [*example_run.DEMO, *few, "data.size=72", "augment.crop=67"])
    run = example_run.example_run()
    assert run == example_run.FOLDER
    made = (run / "checkpoints/last.ckpt").stat().st_mtime_ns
    assert len(TrainedRun(run).classes) == 10
    assert list(run.glob("results/*/probabilities.parquet"))
    assert example_run.example_run() == run
    assert (run / "checkpoints/last.ckpt").stat().st_mtime_ns == made


def test_output_that_is_not_utf8_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nprintf 'caf\\351\\n'\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    example_run.run_command(["fit"])
    assert capsys.readouterr().out == "caf\ufffd\n"


def test_output_of_a_command_is_utf8_in_every_locale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """PYTHONIOENCODING stands for the locale, of which the test machine may have none but UTF-8."""
    package = tmp_path / "alexnet_pl"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("print('caf\u00e9')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    monkeypatch.chdir(tmp_path)
    example_run.run_command([])
    assert capsys.readouterr().out == "caf\u00e9\n"


def test_failing_demo_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(example_run.VARIABLE, raising=False)
    monkeypatch.setattr(example_run, "DEMO", [*example_run.DEMO, "data.sise=1"])
    with pytest.raises(UserError, match=r"^reproduce .*: data.sise: unknown key; did you mean data.size\?$") as error:
        example_run.example_run()
    assert "alexnet_pl:" not in str(error.value)


def test_output_of_a_command_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    example_run.run_command(["--version"])
    assert __version__ in capsys.readouterr().out


def test_command_knows_that_a_notebook_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Jupyter sets FORCE_COLOR, by which rich would take a pipe for a terminal."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    package = tmp_path / "alexnet_pl"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("from rich.console import Console\nprint(Console().is_terminal)\n")
    monkeypatch.chdir(tmp_path)
    example_run.run_command([])
    assert capsys.readouterr().out == "False\n"
