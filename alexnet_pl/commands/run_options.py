"""Options of commands on run folders (`figures`, `export`, `page`, …), parsed and checked like config sections."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from alexnet_pl.config.overrides import format_override
from alexnet_pl.config.schema import check_keys, instantiate
from alexnet_pl.errors import UserError

Options = TypeVar("Options")


def command_option(default: Any, help: str, key: str = "") -> Any:
    """Dataclass field with a help text. `key`: its name on the command line if that is no Python identifier."""
    return field(default=default, metadata={"help": help, "key": key})


def check_folder(out: str | None) -> None:
    """Raise ValueError if the output folder is a file."""
    if out and Path(out).is_file():
        raise ValueError(f"out={out}: a file; give a folder")


def check_checkpoint(name: str) -> None:
    if name not in ("last", "best"):
        raise ValueError(f"ckpt_path={name}: last or best")


@dataclass(frozen=True)
class FigureOptions:
    out: str | None = command_option(
        None, "output folder; default: RUN/figures, with the page beside it; for Figure 1 docs"
    )
    root: str | None = command_option(None, "prepared store, if it was moved", "data.root")
    photographs: bool = command_option(True, "false: leave out figures that show images of the store")
    inside: bool = command_option(
        False, "true: also draw occlusion maps, Grad-CAM and feature visualizations; takes minutes"
    )
    pictures: str | None = command_option(None, "image or folder for the maps of inside=true; default: test images")

    def __post_init__(self) -> None:
        check_folder(self.out)
        if self.pictures and not self.inside:
            raise ValueError(f"pictures={self.pictures}: only with inside=true")


@dataclass(frozen=True)
class CurveOptions:
    norms: bool = command_option(False, "true: CIFAR-10 errors without and with response normalization, by seed (§4.3)")


@dataclass(frozen=True)
class ExportOptions:
    format: str = command_option("safetensors", "safetensors, onnx or torch_export")
    out: str | None = command_option(None, "output folder; default: RUN/export")
    views: str = command_option("ten", "views that an exported graph averages over (§5.1): ten, center or nine")
    ckpt_path: str = command_option("last", "checkpoint: last or best")
    root: str | None = command_option(
        None, "prepared store, if it was moved; the exported file is checked on its images", "data.root"
    )
    publish: str | None = command_option(
        None, "hf://USER/REPOSITORY: upload the exported files, config.json and README.md to the Hugging Face hub"
    )

    def __post_init__(self) -> None:
        check_folder(self.out)
        check_checkpoint(self.ckpt_path)
        if self.publish is not None and not re.fullmatch(r"hf://[\w.-]+/[\w.-]+", self.publish):
            raise ValueError(f"publish={self.publish}: hf://USER/REPOSITORY")


@dataclass(frozen=True)
class ImportOptions:
    format: str | None = command_option(None, "cuda_convnet, caffe or torchvision; default: by the file's suffix")
    out: str | None = command_option(None, "run folder to write; default: runs/imported/NAME_OF_THE_FILE")
    classes: str | None = command_option(
        None, "file with the class id and name of each output per line, or a development kit"
    )
    mean: str | None = command_option(
        None, "mean image: batches.meta, .binaryproto, Caffe's .npy, or three numbers R,G,B"
    )
    root: str | None = command_option(
        None, "prepared store to test on; also gives classes if classes= is missing", "data.root"
    )

    def __post_init__(self) -> None:
        check_folder(self.out)


@dataclass(frozen=True)
class PageOptions:
    port: int = command_option(7860, "port of the web app")
    host: str = command_option("127.0.0.1", "address to listen on; 0.0.0.0 allows other machines")
    ckpt_path: str = command_option("last", "checkpoint: last or best")
    codes: str | None = command_option(None, "run folder of codes.yaml for search by short codes; default: the newest")
    root: str | None = command_option(None, "prepared store, if it was moved", "data.root")

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ValueError(f"port={self.port}: a number from 1 to 65535")
        check_checkpoint(self.ckpt_path)


def option_key(option: Field[Any]) -> str:
    return option.metadata["key"] or option.name


def split_words(command: str, words: Iterable[str], operands: str = "RUN") -> tuple[list[Path], dict[str, str]]:
    """Split words into (run folders or files, values by key)."""
    folders, given = [], {}
    for word in words:
        key, equals, value = word.partition("=")
        if word.startswith("-"):
            raise UserError(f"{word}: {command} has no flags; alexnet_pl {command} --help lists its keys")
        if equals and not Path(word).is_dir():
            given[key] = value
        else:
            folders.append(Path(word))
    if not folders:
        which = "run folder" if operands.startswith("RUN") else "file"
        raise UserError(f"{command}: which {which}? alexnet_pl {command} {operands.partition(' ')[0]}")
    return folders, given


def typed_options(options: object) -> list[str]:
    """Options that differ from their defaults, as words of a command line."""
    changed = [option for option in fields(options) if getattr(options, option.name) != option.default]  # type: ignore[arg-type]
    return [format_override(option_key(option), getattr(options, option.name)) for option in changed]


def read_options(given: Mapping[str, str], options: type[Options]) -> Options:
    """Options from typed values: null is None, and `~` is the home folder, which a shell expands only before a path."""
    names = {option_key(option): option.name for option in fields(options)}  # type: ignore[arg-type]
    check_keys(given, names, "")
    values = {key: None if value == "null" else os.path.expanduser(value) for key, value in given.items()}
    return instantiate(options, {names[key]: value for key, value in values.items()}, "")
