"""Which form of ImageNet lies in a folder, told by what is in it."""

from collections.abc import Mapping
from pathlib import Path

from alexnet_pl.data.fall import find_archives, read_fall
from alexnet_pl.data.folders import read_folders
from alexnet_pl.data.ilsvrc import find_devkit, read_ilsvrc
from alexnet_pl.data.kaggle import MAPPING, read_kaggle
from alexnet_pl.data.source import Source
from alexnet_pl.errors import UserError


def read_source(source: Path, names: Mapping[str, str], held_out: float = 0.5) -> tuple[str, Source]:
    """(what it is, its classes and images). `names`: readable class names for forms that bring none; `held_out`: the
    share of each synset that becomes `val`, where a copy has no splits of its own.

    Raises UserError where nothing is recognised, or where something of what was recognised is missing or wrong.
    """
    if not source.exists():
        raise UserError(f"data.source: {source} is not there; give the folder that holds the images")
    if source.is_dir() and find_devkit(source):
        return "ILSVRC with its development kit", read_ilsvrc(source)
    if (source / MAPPING).is_file():
        return "Kaggle's ILSVRC-2012", read_kaggle(source)
    if source.is_file() or (not (source / "train").is_dir() and find_archives(source)):
        return "archives of synsets", read_fall(source, held_out)
    return "class folders", read_folders(source, names)
