"""Files of a copy, below a folder or in a tar or zip archive."""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from alexnet_pl.data.archives.location import ByteLocation, zip_location
from alexnet_pl.data.archives.remote import client_errors, is_remote, walk_files
from alexnet_pl.data.archives.tar import TAR_SUFFIXES, Member, is_desktop_file, list_members, whole_archive
from alexnet_pl.data.archives.tar_stream import LARGEST, stream_files
from alexnet_pl.data.archives.zip import list_zip_members
from alexnet_pl.errors import UserError

SUFFIXES = (*TAR_SUFFIXES, ".zip")


def is_archive(path: Path) -> bool:
    """Whether a file is named like an archive that can be read in place."""
    return path.name.endswith(SUFFIXES) and not is_desktop_file(path.name)


def list_archive(path: Path, accept: Callable[[str], bool]) -> Iterator[Member]:
    """List the files of a tar or zip archive for whose path `accept` is true, in the archive's order."""
    if path.suffix != ".zip":
        return (member for member in list_members(whole_archive(path)) if accept(member.path))
    files = list_zip_members(path, accept)
    return (Member(PurePosixPath(file.name).name, zip_location(path, file), file.name) for file in files)


def read_files(source: Path, accept: Callable[[str], bool], key: str) -> Iterator[tuple[str, bytes]]:
    """Yield (path within, content) of the small files in a folder or an archive for whose path `accept` is true.

    Raises UserError, naming the config key `key` and the archive, if it is corrupt or a file is large. Other files have
    no content.
    """
    if source.is_dir():
        for path in sorted(walk_files(source)):
            if accept(path.relative_to(source).as_posix()):
                check_small(0 if is_remote(path) else path.stat().st_size, f"{key}: {path}")
                with client_errors(path):
                    content = path.read_bytes()
                yield path.relative_to(source).as_posix(), content
    elif source.suffix == ".zip":
        for member in list_zip_members(source, accept, key):
            check_small(member.size, f"{key}: {source}: {member.name}")
            yield member.name, read_intact(zip_location(source, member), f"{key}: {source}: {member.name}")
    elif source.name.endswith(TAR_SUFFIXES):
        yield from stream_files(source, accept, key)


def read_intact(location: ByteLocation, where: str) -> bytes:
    """Read a table or annotation. Raises UserError, which begins with `where`, if it is corrupt."""
    try:
        return location.read()
    except (ValueError, OSError) as error:
        raise UserError(f"{where}: corrupt ({error}); get it again") from error


def check_small(size: int, where: str) -> None:
    if size > LARGEST:
        raise UserError(f"{where}: {size:,} bytes, more than any list or annotation has; get it again")
