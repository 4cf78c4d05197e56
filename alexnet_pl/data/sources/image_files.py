"""Files of a folder that are images, and folders of images by class."""

from collections import Counter
from pathlib import Path

from alexnet_pl.data.archives.remote import list_folder, walk_files
from alexnet_pl.data.archives.tar import is_desktop_file
from alexnet_pl.data.sources.base import SkippedFiles
from alexnet_pl.errors import UserError

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff",
)  # fmt: skip


INNER = "images"  # folder within a class folder that may hold its images, as in tiny-ImageNet's train/


def find_class_folders(root: Path) -> dict[str, Path]:
    """Folders in `root` by name. Raises UserError for a link to nothing, which may be a class that would be lost."""
    paths = [path for path in root.iterdir() if not path.name.startswith(".")]
    folders = {path.name: path for path in paths if path.is_dir()}
    for path in paths:
        if path.name not in folders and not path.suffix and path.is_symlink() and not path.exists():
            raise UserError(f"prepare.source: {path} is a link to {path.readlink()}, which does not exist")
    return folders


def has_images(folder: Path) -> bool:
    return folder.is_dir() and any(map(is_image, folder.iterdir()))


def find_image_files(folder: Path, skipped_files: SkippedFiles | None = None) -> list[Path]:
    """Find the images of a class, sorted: in its folder, or all in a subfolder `images`; other files are counted in
    `skipped_files`.

    Raises UserError for images in any other subfolder, which would be lost.
    """
    found, folders, others = [], [], Counter[str]()
    for name, is_folder in list_folder(folder):
        if is_folder and name[0] != ".":
            folders.append(folder / name)
        elif is_image(Path(name)):
            found.append(folder / name)
        elif not is_folder and not is_desktop_file(name):
            others[Path(name).suffix.lower()] += 1
    if skipped_files is not None:
        skipped_files[folder] = others
    if not found and folders == [folder / INNER]:
        return find_image_files(folder / INNER, skipped_files)
    for inner in sorted(folders):
        if lost := next(filter(is_image, sorted(walk_files(inner))), None):
            raise UserError(
                f"prepare.source: {lost} is in a folder within {folder}, which is not read; move the images "
                f"of {lost.parent} to {folder}, or out of the copy"
            )
    return sorted(found)


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.name[0] != "."
