"""Files written whole or not at all, their checksums, and the cache folder."""

import hashlib
import json
from pathlib import Path
from typing import Any

CACHE = "ALEXNET_PL_CACHE"  # environment variable that names the cache folder
DEFAULT_CACHE = "~/.cache/alexnet_pl"


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON; the file is replaced whole or not at all."""
    partial = path.with_name(f"{path.name}.tmp")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    partial.replace(path)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
