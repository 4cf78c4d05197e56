"""Small files of a tar archive, plain or gzipped, read in one pass to the archive's end."""

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

from alexnet_pl.data.archives.remote import client_errors, open_binary
from alexnet_pl.data.archives.tar import is_gzipped
from alexnet_pl.errors import UserError, reason

LARGEST = 2**27  # bytes; the largest list of ILSVRC's detection kit has 2 million


def stream_files(path: Path, accept: Callable[[str], bool], key: str) -> Iterator[tuple[str, bytes]]:
    """Yield (path within the archive, content) of each file for whose path `accept` is true.

    Raises UserError, naming the config key `key` and the archive, if it is corrupt. tarfile does not verify the CRC-32
    of a gzipped archive; gzip does, at the end of the file, which is therefore read.
    """
    try:
        with client_errors(path), ExitStack() as stack:
            file, mode = stack.enter_context(open_binary(path)), "r|*"
            if is_gzipped(path):
                file, mode = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=file))), "r|"
            with tarfile.open(fileobj=file, mode=mode) as tar:  # type: ignore[call-overload]
                for member in tar:
                    if member.isreg() and accept(member.name):
                        yield member.name, read_member(tar, member)
                    tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all members otherwise
            while file.read(1 << 20):
                pass
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{key}: {path}: corrupt or incomplete archive ({reason(error)}); get it again") from error


def read_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > LARGEST:
        raise tarfile.TarError(f"{member.name} has {member.size:,} bytes")
    content = tar.extractfile(member)
    assert content
    return content.read()
