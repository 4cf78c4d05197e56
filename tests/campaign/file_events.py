"""What a process does to files, by Python's audit events; and a kill, or a full disk, at one of these events."""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

RENAMES = ("os.rename", "os.link", "os.symlink")
EVENTS = ("open", "os.remove", "os.mkdir", "os.rmdir", *RENAMES)
WRITING = os.O_WRONLY | os.O_RDWR


class FileEvents:
    """Logs every event below `folder` as a line of `log`, and calls `act` at number `at`, before it happens."""

    def __init__(self, folder: Path, log: Path, at: int = -1, act: Callable[[str, Path], None] | None = None) -> None:
        self.folder, self.at, self.act = str(folder), at, act
        self.count, self.acting = 0, False
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def install(self) -> None:
        """For the rest of this process: an audit hook cannot be taken away."""
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or self.acting or not isinstance(arguments[0], str | os.PathLike):
            return
        if event == "open" and not (arguments[2] or 0) & WRITING:
            return
        path = os.path.abspath(arguments[0])
        if not path.startswith(self.folder):
            return
        number, self.count = self.count, self.count + 1
        self.acting = True
        try:
            os.write(self.log, f"{kind(event, path, arguments)}\n".encode())
            if number == self.at and self.act:
                self.act(event, Path(path))
        finally:
            self.acting = False


def kind(event: str, path: str, arguments: tuple[Any, ...]) -> str:
    """`replace checkpoints/last.ckpt.part`: the event and the file's name, numbers left out."""
    verb = {"open": "write", "os.rename": "replace"}.get(event, event.removeprefix("os."))
    if event == "open" and str(arguments[1] or "").startswith("a"):
        verb = "append"
    name = re.sub(r"\d+|(?<=listing-).*", "#", "/".join(Path(path).parts[-2:]))
    return f"{verb} {name}"


def read_kinds(log: Path) -> list[str]:
    return log.read_text().splitlines()


def kill(event: str, path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def tear(event: str, path: Path) -> None:
    """As a kill within a write leaves it: a file about to be renamed is cut in half, one appended to has half a row."""
    if event == "os.rename" and path.is_file() and path.stat().st_nlink == 1:
        os.truncate(path, path.stat().st_size // 2)
    elif event == "open" and path.suffix == ".csv" and path.is_file():
        with path.open("a") as file:
            file.write("1,0.2")
    os.kill(os.getpid(), signal.SIGKILL)


def disk_full(event: str, path: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
