"""Exceptions for mistakes of the user, which are reported in one line, and for a fit that a signal stops."""

from pathlib import Path


class UserError(Exception):
    """A mistake that the user can correct: the command prints the message as one line and exits with code 2.

    The message names the file or key and says what to do.
    """


class StoppedTogether(SystemExit):
    """All processes of a fit stop after the same step, for a signal that one of them received."""


def not_installed(module: str | None, extra: str, wanted_by: str = "") -> UserError:
    """Error for a missing optional package. `extra`: the extra that brings it; `wanted_by`: key or file it is for."""
    is_clone = (Path(__file__).resolve().parents[1] / "pyproject.toml").is_file()
    what = f"-e '.[{extra}]'" if is_clone else f"'alexnet_pl[{extra}]'"
    return UserError(f"{wanted_by and f'{wanted_by}: '}{module} is not installed; pip install {what}")


def reason(error: Exception) -> str:
    """First line of another library's error message, or its type if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
