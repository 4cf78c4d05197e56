"""Run used by the notebooks: the user's own, or the demo, trained once."""

from pathlib import Path

import pytest

from alexnet_pl import __version__
from alexnet_pl.errors import UserError
from alexnet_pl.experiment import trained_run
from alexnet_pl.experiment.trained_run import TrainedRun


def test_given_run_is_used(tiny_run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert trained_run.example_run(tiny_run) == tiny_run
    monkeypatch.setenv(trained_run.VARIABLE, str(tiny_run))
    assert trained_run.example_run() == tiny_run
    with pytest.raises(UserError, match="not a run folder"):
        trained_run.example_run(tmp_path)


@pytest.mark.slow
def test_demo_is_trained_and_tested_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(trained_run.VARIABLE, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    few = [f"trainer.limit_{name}_batches=2" for name in ("train", "val", "test")]
    monkeypatch.setattr(trained_run, "DEMO", [*trained_run.DEMO, *few, "data.size=72", "augment.crop=67"])
    run = trained_run.example_run()
    assert run == trained_run.FOLDER
    made = (run / "checkpoints/last.ckpt").stat().st_mtime_ns
    assert len(TrainedRun(run).classes) == 10
    assert list(run.glob("results/*/probabilities.parquet"))
    assert trained_run.example_run() == run
    assert (run / "checkpoints/last.ckpt").stat().st_mtime_ns == made


def test_failing_demo_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(trained_run.VARIABLE, raising=False)
    monkeypatch.setattr(trained_run, "DEMO", [*trained_run.DEMO, "data.sise=1"])
    with pytest.raises(UserError, match=r"data.sise: unknown key; did you mean data.size\?"):
        trained_run.example_run()


def test_output_of_a_command_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    trained_run.run_command(["--version"])
    assert __version__ in capsys.readouterr().out
