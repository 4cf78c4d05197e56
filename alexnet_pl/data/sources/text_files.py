"""Text files of a copy: lists and tables."""

from pathlib import Path

from alexnet_pl.data.archives.remote import client_errors
from alexnet_pl.errors import UserError


def read_text(path: Path, key: str = "prepare.source") -> str:
    """Raises UserError, naming the config key `key` and the file, if it cannot be read or is not UTF-8."""
    try:
        with client_errors(path):
            data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{key}: {path}: cannot be read ({error})") from error
    return decode_text(data, str(path), key)


def decode_text(data: bytes, where: str, key: str = "prepare.source") -> str:
    """Raises UserError, naming the config key `key` and the file `where`, if it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{key}: {where}: cannot be read ({error})") from error
