"""Errors that the user can correct are reported in one line with exit code 2."""

import errno
import os
import signal
import sys
from pathlib import Path

import pytest
from command_line import alexnet_pl

from alexnet_pl.cli import main


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fit", "-c", "demo", "optim.lrr=1"], "optim.lrr: unknown key; did you mean optim.lr?"),
        (["fit", "-c", "demo", "optin.lr=1"], "optin.lr: unknown key; did you mean optim.lr?"),
        (["fit", "-c", "demo", "transfer.weight=x"], "transfer.weight: unknown key; did you mean transfer.weights?"),
        (["fit", "-c", "demo", "boxes.windows=3"], "boxes.windows: unknown key; this recipe has no section boxes"),
        (["fit", "-c", "demo", "model.units=3"], "model.units: unknown key; did you mean boxes.units?"),
        (["fit", "-c", "demo", "hydra/sweeper=optuna"], "optuna: hydra-optuna-sweeper is not installed; pip install"),
        (["fit", "-c", "demo", "hydra/launcher=jobs"], "hydra/launcher=jobs: one of basic"),
        (["fit", "-c", "demo", "variant=spoken"], "variant=spoken: one of as_printed, as_run"),
        (["fit", "-c", "demo", "seed=1,2"], "seed=1,2: several values; add -m"),
        (["fit", "-c", "demo", "seed=[1"], "seed=[1: "),
        (["fit", "-c", "mine.yaml"], "mine.yaml: defaults: missing.yaml: no recipe beside it or shipped"),
        (
            ["fit", "-c", "typo.yaml"],
            "typo.yaml: defaults: demmo: no recipe beside it or shipped with that name; did you mean demo?",
        ),
        (["fit", "-c", "demo", "seed=${seed}"], "seed: Recursive interpolation detected"),
    ],
)
def test_hydra_error_is_reported_in_one_line_with_exit_code_2(words: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [missing.yaml]\n")
    (tmp_path / "typo.yaml").write_text("defaults: [demmo, _self_]\n")
    done = alexnet_pl(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("alexnet_pl: ")
    assert says in done.stderr


def test_full_disk_is_reported_in_one_line_and_other_errors_with_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, kind, code in (
        (errno.ENOSPC, SystemExit, 2), (errno.EACCES, SystemExit, 2), (errno.EIO, SystemExit, 2),
        (errno.EBADF, OSError, None),
    ):  # fmt: skip

        def run(number: int = number) -> None:
            raise OSError(number, os.strerror(number), "runs/x/last.ckpt")

        monkeypatch.setattr(main, "run", run)
        monkeypatch.setattr(sys, "argv", ["alexnet_pl", "fit", "-c", "demo"])
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(kind) as end:
            main.main()
        assert getattr(end.value, "code", None) == code
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("alexnet_pl: runs/x/last.ckpt: No space left on device; free some space")
    assert said[1].endswith("Permission denied; choose another folder or change its permissions, then try again")
    assert said[2].endswith("Input/output error; check the disk, or the server of the file system, then try again")
