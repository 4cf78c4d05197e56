"""Model card (README.md) of exported weights, from the records in the run folder."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.config.views import describe_views
from alexnet_pl.data.store.manifest import StoreManifest
from alexnet_pl.escape import escape_text, format_code
from alexnet_pl.evaluation.result import TestResult, printed_errors
from alexnet_pl.inference.card_header import card_header
from alexnet_pl.inference.card_license import license_fields, license_section, trained_on
from alexnet_pl.inference.card_use import use_section
from alexnet_pl.inference.training_commands import training_commands
from alexnet_pl.inference.weights import WeightsInfo
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.runs.provenance import read_sessions
from alexnet_pl.runs.records import ImportedWeights
from alexnet_pl.table import Table, to_markdown

PLAIN = re.compile(r"[\w.+-]+( [\w.+-]+)?")  # a commit, or a package and its version
LIMITATIONS = """## Limitations

Not for decisions about people or safety, or any use where errors matter. The network assigns one of its classes to
every image, whatever it shows, and inherits the biases of its training images.
"""

STORE_NOTE = """The options of `prepare` are those that the store records, except
`prepare.synsets`, `prepare.names` and `prepare.boxes`, which it does not record.

"""

RECIPE_NOTE = """The line of `prepare` shows the settings of the recipe and the fit. The store was not available, so
options that it was made with may be missing, such as `prepare.val_share`, `prepare.filter`, `prepare.encoding` or
`prepare.synsets`.

"""

WEIGHTS = {"safetensors": ""}  # formats of a card that describes weights alone
PROGRAMS = {  # format of imported weights → program
    "cuda_convnet": "the authors' program",
    "caffe": "Caffe's bvlc_alexnet",
    "torchvision": "torchvision's alexnet",
}


class Network(NamedTuple):
    """`tag`: on the Hugging Face hub; `source`: publication or file of the authors' program."""

    title: str
    tag: str
    source: str


ALEXNET = Network("AlexNet", "alexnet", "The network of Krizhevsky, Sutskever and Hinton (2012)")
OTHERS = {  # model.name → network
    "overfeat": Network("OverFeat", "overfeat", "The network of Sermanet et al. (2013)"),
    "conv": Network("Convolutional network of Figure 1", "cifar10", "The network of layers-19pct.cfg of cuda-convnet"),
    "local": Network(
        "Locally connected network",
        "cifar10",
        "The network of layers-conv-local-….cfg of cuda-convnet",
    ),
}


def model_card(
    info: WeightsInfo,
    run: Path,
    source: str,
    store: StoreManifest | None = None,
    formats: Mapping[str, str] = WEIGHTS,
) -> str:
    """Return the card as Markdown, with the YAML header of the Hugging Face hub.

    `source`: argument of `load` in the card's example; `store`: of the run's images, None if it is not available;
    `formats`: those of the files beside the card, with the views that each graph averages.
    """
    name = escape_text(info.store.name or "unknown images")
    network = OTHERS.get(info.architecture["model"].get("name", ""), ALEXNET)
    parts = [
        card_header(info, network.title, network.tag, license_fields(info, store)),
        introduction(info, name, network) + state(run),
        errors_section(info.result),
        "\n".join(["## Use\n", *(use_section(info, source, *one) for one in formats.items())]),
        f"## Training\n\n{origin(info.imported) if info.imported else training_section(run, store)}",
        LIMITATIONS,
        f"## License\n\n{license_section(info, store)}",
    ]
    return "\n".join(parts)


def introduction(info: WeightsInfo, name: str, network: Network) -> str:
    if info.imported:
        return (
            f"# AlexNet, weights of {PROGRAMS[info.imported.format]}\n\n"
            f"Weights that another program trained, converted by `alexnet_pl`: {len(info.classes):,} classes.\n"
        )
    pretraining = f", after training on {escape_text(', '.join(earlier))}" if (earlier := trained_on(info)[:-1]) else ""
    return (
        f"# {network.title}, trained on {name}\n\n{network.source}, trained with `alexnet_pl`: "
        f"{len(info.classes):,} classes, {info.step:,} steps{pretraining}.\n"
    )


def state(run: Path) -> str:
    """Return a sentence if the fit was not finished."""
    fit = read_fit_status(run)
    return "The fit was not finished.\n" if fit and not fit.finished else ""


def origin(imported: ImportedWeights) -> str:
    return (
        f"Read from {format_code(imported.file)}, SHA-256 {format_code(imported.sha256)}, in the format "
        f"{escape_text(imported.format)}. Order of the classes: {escape_text(imported.classes)}. How it was trained is "
        "not known from the file.\n"
    )


def errors_section(result: TestResult | None) -> str:
    """Table of errors with intervals, or the command that measures them."""
    if not result:
        return "## Errors\n\nNot yet measured: `python -m alexnet_pl test RUN`.\n"
    rows = [[label, f"{error:.2f}", interval_text(*ends)] for label, (error, ends) in printed_errors(result).items()]
    images = f"{result.dataset.split} images of {result.dataset.name}, {describe_views(result.views)}"
    table = Table("", ["error", "%", "95 % interval, over images"], rows, align="lrr")
    claim = (
        f"It corresponds to the paper's row {format_code(result.claim)}."
        if result.claim
        else "It corresponds to no row of the paper."
    )
    return "\n".join(
        [
            "## Errors\n",
            f"On {result.images:,} {escape_text(images)}. {claim}\n",
            to_markdown([table]),
        ]
    )


def interval_text(low: float, high: float) -> str:
    """Ends of an interval; "" if they are not known, as in older records."""
    return "" if math.isnan(low) else f"{low:.2f} to {high:.2f}"


def training_section(run: Path, store: StoreManifest | None) -> str:
    """Commands that repeat the training, with commit and package versions of the last session of `fit`."""
    if not (sessions := read_sessions(run)):
        return "The run folder has no provenance.json.\n"
    newest = next((session for session in reversed(sessions) if session.command == "fit"), sessions[-1])
    versions = [f"{name} {version}" for name, version in newest.packages.items() if version]
    packages = ", ".join(filter(PLAIN.fullmatch, versions))
    changed = " with uncommitted changes" if newest.changed_files else ""
    number = newest.commit if newest.commit and PLAIN.fullmatch(newest.commit) else "unknown"
    commit = f"Commit {number}{changed}; {escape_text(newest.arithmetic)}; {packages}."
    commands = training_commands(run, store)
    note = (STORE_NOTE if store else RECIPE_NOTE) if len(commands) > 1 else ""
    return "\n".join(["```", *commands, "```", "", f"{note}{commit}", ""])
