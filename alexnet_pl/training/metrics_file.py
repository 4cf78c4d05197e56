"""metrics.csv: the log of a fit, which a resumed fit continues."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from alexnet_pl.runs.metrics_log import is_complete_row, read_rows
from alexnet_pl.temporary_files import replacing


class ResumableMetricsWriter(ExperimentWriter):
    """Writer of `metrics.csv` that keeps the rows of a resumed run, which Lightning's writer deletes.

    Only the first `rows` rows are kept, since the resumed run writes later ones again. Without `rows` (None), as in
    older checkpoints, rows of steps after `step` are dropped. Raises UserError for a file with a corrupt row.
    """

    def __init__(self, folder: str, step: int, rows: int | None = None) -> None:
        super().__init__(folder)
        self.rows = 0
        path = Path(self.metrics_file_path)
        if not path.exists():
            return
        read_rows(path)
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            complete = [row for row in reader if is_complete_row(row) and int(row["step"]) <= step]
        kept_rows = complete[:rows]
        self.rows = len(kept_rows)
        self.metrics_keys = list(reader.fieldnames or [])
        self.replace_file(kept_rows)

    def replace_file(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Replace the file atomically."""
        path = Path(self.metrics_file_path)
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        """Replace the file atomically; Lightning's method empties it first."""
        with Path(self.metrics_file_path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.replace_file(rows)

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        super().log_metrics({name: shorten(float(value)) for name, value in metrics_dict.items()}, step)
        self.rows += 1

    def _check_log_dir_exists(self) -> None:
        """Keep the existing file, which Lightning's method deletes."""


@np.errstate(over="ignore")
def shorten(value: float) -> float:
    """The shortest decimal of a value from a float32 tensor, which has the same float32: 17.2, not 17.200000762939453.
    Other values are unchanged."""
    single = np.float32(value)
    return float(str(single)) if value == float(single) else value


class MetricsFile(CSVLogger):
    """Logger that writes `metrics.csv`; a run resumed at `step` appends after the first `rows` rows."""

    def __init__(self, run: Path, step: int, rows: int | None = None) -> None:
        super().__init__(str(run), name="", version="", flush_logs_every_n_steps=1)
        self.step, self.kept_rows = step, rows

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        if not isinstance(self._experiment, ResumableMetricsWriter):
            self._experiment = ResumableMetricsWriter(self.log_dir, self.step, self.kept_rows)
        return self._experiment
