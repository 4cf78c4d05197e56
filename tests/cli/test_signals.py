"""Signals end a command with exit code 128 + signal."""

import signal
import sys
import time

import pytest

from alexnet_pl.cli import main, signals


def test_signal_sets_the_exit_code_despite_a_failing_cleanup(monkeypatch: pytest.MonkeyPatch) -> None:
    """OmegaConf restores flags in `finally`, which fails on the incomplete value that the signal left."""

    def start(argv: list[str]) -> None:
        try:
            signals.exit_on_signal(signal.SIGTERM, None)
        finally:
            raise AttributeError("half made")

    monkeypatch.setattr(main, "start", start)
    monkeypatch.setattr(signals, "received", [])
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as end:
            main.respond(["fit"])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert end.value.code == 143


def test_signal_within_a_finalizer_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python ignores exceptions in finalizers and would continue."""

    class Finalized:
        def __del__(self) -> None:
            signals.exit_on_signal(signal.SIGTERM, None)

    monkeypatch.setattr(signals, "received", [])
    monkeypatch.setattr(sys, "unraisablehook", signals.repeat_signal)
    before = signal.signal(signal.SIGTERM, signals.exit_on_signal)
    try:
        with pytest.raises(SystemExit) as end:  # noqa: PT012
            held = Finalized()
            del held
            time.sleep(30)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert end.value.code == 143
