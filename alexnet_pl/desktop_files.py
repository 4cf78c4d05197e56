"""Files that a file manager writes into the folders that it shows; a folder with only these looks empty to the user.
Files with the user's settings (desktop.ini, .directory) do not count."""

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
