"""Text files of a copy: lists and tables."""

from pathlib import Path

from alexnet_pl.errors import UserError


def read_text(path: Path, key: str = "prepare.source") -> str:
    """Raises UserError, naming the config key `key` and the file, if it cannot be read or is no UTF-8."""
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{key}: {path}: cannot be read ({error})") from error
