"""SIGINT and SIGTERM: a command ends with exit code 128 + signal, after it has cleaned up."""

import os
import signal
import sys
import threading
from typing import NoReturn

received: list[int] = []  # numbers of the signals


def handle_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, exit_on_signal)
    sys.unraisablehook = repeat_signal


def exit_on_signal(number: int, frame: object) -> NoReturn:
    received.append(number)
    raise SystemExit(128 + number)


def exit_if_received() -> None:
    """Exit if a signal arrived before this job began, or while the jobs of a sweep were waited for."""
    if received:
        raise SystemExit(128 + received[0])


def repeat_signal(ignored: "sys.UnraisableHookArgs") -> None:
    """Send the signal again if it arrived in a finalizer, where Python prints exceptions and continues."""
    if received and isinstance(ignored.exc_value, SystemExit):
        threading.Timer(0.05, os.kill, (os.getpid(), received[-1])).start()
    else:
        sys.__unraisablehook__(ignored)
