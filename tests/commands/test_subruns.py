"""Commands that run others in child processes."""

import signal
import subprocess
import sys
from typing import Any

import pytest

from alexnet_pl.commands import subruns

FIT = "import signal, sys\nsignal.signal(signal.SIGUSR1, lambda *_: sys.exit(138))\nprint(flush=True)\nsignal.pause()"


class Fit(subprocess.Popen):
    """A child that ends with code 138 on SIGUSR1, which its parent receives first."""

    def __init__(self, command: list[str], **keys: Any) -> None:
        super().__init__([sys.executable, "-c", FIT], stdout=subprocess.PIPE, **keys)
        assert self.stdout
        with self.stdout:
            self.stdout.readline()

    def wait(self, timeout: float | None = None) -> int:
        signal.raise_signal(signal.SIGUSR1)
        return super().wait(timeout)


def test_notice_of_slurm_reaches_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """`reproduce` of a recipe that pre-trains, or `ensemble`, would end at once and leave the fit behind."""
    monkeypatch.setattr(subprocess, "Popen", Fit)
    before = signal.signal(signal.SIGUSR1, lambda *_: pytest.fail("not passed on"))
    try:
        with pytest.raises(SystemExit) as end:
            subruns.run_cli("fit")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert end.value.code == 138


def test_end_of_the_terminal_reaches_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fit is in a session of its own, to which the terminal sends nothing; SIGHUP ends it with -1, that is 129."""

    def wait(child: Fit) -> int:
        signal.raise_signal(signal.SIGHUP)
        return Fit.__base__.wait(child)  # type: ignore[union-attr]

    monkeypatch.setattr(subprocess, "Popen", Fit)
    monkeypatch.setattr(Fit, "wait", wait)
    before = signal.signal(signal.SIGHUP, lambda *_: pytest.fail("not passed on"))
    try:
        with pytest.raises(SystemExit) as end:
            subruns.run_cli("fit")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert end.value.code == 129


def test_signal_that_this_process_ignores_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a worker of a sweep Ctrl-C would be the first of two signals, and the second ends a fit without saving."""

    def wait(child: Fit) -> int:
        signal.raise_signal(signal.SIGINT)
        child.send_signal(signal.SIGUSR1)
        return Fit.__base__.wait(child)  # type: ignore[union-attr]

    monkeypatch.setattr(subprocess, "Popen", Fit)
    monkeypatch.setattr(Fit, "wait", wait)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as end:
            subruns.run_cli("fit")
    finally:
        signal.signal(signal.SIGINT, before)
    assert end.value.code == 138, "130, or a traceback, of a child that got Ctrl-C too"
