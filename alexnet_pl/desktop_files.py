"""Files that a desktop writes into a folder as it shows it, which a user takes for empty. Those that hold a user's
settings (desktop.ini, .directory) are none of them."""

from pathlib import Path

NAMES = (".ds_store", "._.ds_store", ".localized", "thumbs.db")


def is_desktop_file(path: Path) -> bool:
    return path.name.lower() in NAMES and path.is_file()


def is_empty(folder: Path) -> bool:
    return all(map(is_desktop_file, folder.iterdir()))


def remove_empty(folder: Path) -> None:
    """Remove a folder with its desktop files. Raises OSError if it holds others."""
    if is_empty(folder):
        for path in filter(is_desktop_file, folder.iterdir()):  # others may have been written since
            path.unlink(missing_ok=True)
    folder.rmdir()
