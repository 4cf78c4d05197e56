"""Paths, free space, times and text of files."""

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from alexnet_pl.errors import UserError

DAY = 24 * 3600  # seconds


def list_paths(given: str | Path | Iterable[str | Path]) -> list[Path]:
    """The paths of one or several."""
    return [Path(given)] if isinstance(given, str | Path) else [Path(one) for one in given]


def check_space(folder: Path, needed: int, key: str, advice: str) -> None:
    """Raise UserError, naming `key` and giving `advice`, if the disk of `folder` has less than `needed` bytes free."""
    if (free := shutil.disk_usage(folder).free) < needed:
        sizes = f"{free / 1e9:,.1f} GB free, {needed / 1e9:,.1f} GB are needed"
        raise UserError(f"{key}: {folder} has {sizes}; {advice}")


def modified(path: Path) -> float:
    """Time of the last change; 0 if it is more than a day in the future, since an archive could otherwise make its
    files the newest. The day is for clocks that differ."""
    when = path.stat().st_mtime
    return when if when < time.time() + DAY else 0.0


def write_page(path: Path, text: str) -> None:
    """Write text for people as UTF-8. Bytes of a file's name that are not UTF-8 become escapes, as in CSV files."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
