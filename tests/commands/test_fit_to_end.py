"""A signal that stops torch's compiler while a fit compiles."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch._inductor.exc import CppCompileError

from alexnet_pl.commands.fit_to_end import explaining_killed_compiler
from alexnet_pl.training.callbacks.interrupt import GracefulInterrupt
from alexnet_pl.training.checkpointing import SaveClock


@pytest.mark.parametrize(
    ("caught", "error", "ends_with"),
    [
        (signal.SIGINT, CppCompileError(["g++"], ""), SystemExit),
        (0, CppCompileError(["g++"], ""), CppCompileError),
        (signal.SIGINT, OSError("disk full"), OSError),
    ],
)
def test_only_a_signal_makes_a_failed_compilation_one_line(
    caught: int, error: Exception, ends_with: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C reaches g++ too, and 170 lines of its failure followed."""
    interrupt = GracefulInterrupt(tmp_path / "last.ckpt", SaveClock(5))
    interrupt.caught = caught
    trainer: Any = SimpleNamespace(callbacks=[interrupt], world_size=1)
    with pytest.raises(ends_with) as end, explaining_killed_compiler(trainer):
        raise error
    stopped = ends_with is SystemExit
    assert capsys.readouterr().err == ("stopped while torch compiled, without saving\n" if stopped else "")
    assert not stopped or end.value.code == 130
