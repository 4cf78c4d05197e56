"""Folder that `export` writes: one network in one or several formats, with config.json and a model card."""

from dataclasses import dataclass, field
from pathlib import Path

from alexnet_pl.data.loading.augment import CROP_POSITIONS
from alexnet_pl.errors import UserError
from alexnet_pl.inference.card_header import FIRST_LINES
from alexnet_pl.inference.graphs import FORMATS
from alexnet_pl.inference.weights import WeightsInfo, is_graph
from alexnet_pl.json_records import read_record

CARD, CONFIG = "README.md", "config.json"
ADVICE = "choose another folder: out=FOLDER"


@dataclass(frozen=True)
class ExportInfo(WeightsInfo):
    """config.json. `weights`: SHA-256 of the tensors; `views`: those that a graph averages, by its file's name."""

    weights: str = ""
    views: dict[str, str] = field(default_factory=dict)


def exported_formats(out: Path) -> dict[str, str]:
    """Formats whose files lie in the folder, with the names of these files."""
    return {name: file for name, (file, *_) in FORMATS.items() if (out / file).is_file()}


def read_graph_views(out: Path, replaced: str | None, weights: str) -> dict[str, str]:
    """Views of the graphs that lie in the folder, by file name. `replaced`: file that may be replaced by one of other
    weights; `weights`: SHA-256 of the tensors to be written.

    Raises UserError if the folder holds a README.md or config.json that `export` did not write and would replace, or a
    file of other weights, which the new README.md and config.json would not describe.
    """
    card, config = out / CARD, out / CONFIG
    if card.exists() and not card.read_text(encoding="utf-8", errors="replace").startswith(FIRST_LINES):
        raise UserError(f"{card}: not written by export; {ADVICE}")
    before = read_record(config, ExportInfo, ADVICE) if config.exists() else None
    kept = [file for file in exported_formats(out).values() if file != replaced]
    views = {file: before.views.get(file, "") for file in kept if is_graph(file)} if before else {}
    if kept and (before is None or before.weights != weights or not set(views.values()) <= CROP_POSITIONS.keys()):
        raise UserError(
            f"{out / kept[0]}: of other weights, an earlier version or an interrupted export; delete it, or {ADVICE}"
        )
    return views
