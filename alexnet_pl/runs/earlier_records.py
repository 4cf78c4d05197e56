"""Records of a run before a session that continues it, which belong to its checkpoint until the session saves one."""

from contextlib import suppress
from pathlib import Path

from alexnet_pl.runs.layout import CONFIG, FIT, LAST
from alexnet_pl.runs.started_config import COMMAND, OVERRIDES
from alexnet_pl.temporary_files import replacing

HYDRA = Path(CONFIG).parent


class EarlierRecords:
    """fit.json and the config of a run; none of a folder that holds no run."""

    def __init__(self, run: Path) -> None:
        paths = [run / FIT, run / CONFIG, *(run / HYDRA / name for name in (COMMAND, OVERRIDES))]
        self.last = run / LAST
        is_run = self.last.is_file() and paths[0].is_file()
        self.contents = {path: path.read_bytes() for path in paths if is_run and path.is_file()}
        self.version = self.version_of_last()

    def version_of_last(self) -> tuple[int, int] | None:
        """Which file `last.ckpt` is; each save replaces it."""
        about = self.last.stat() if self.last.is_file() else None
        return about and (about.st_ino, about.st_mtime_ns)

    def write_back(self) -> None:
        """Write the records back as far as the disk holds them, unless the session has saved a checkpoint. Errors are
        not raised, since the session's own error is the one to report."""
        if self.version_of_last() != self.version:
            return
        for path, content in self.contents.items():
            with suppress(OSError), replacing(path) as temporary:
                temporary.write_bytes(content)
