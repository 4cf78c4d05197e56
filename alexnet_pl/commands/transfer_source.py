"""Whether a fit that continues started from the weights that the command line names."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.yaml_file import read_yaml
from alexnet_pl.console import shorten_path
from alexnet_pl.errors import UserError
from alexnet_pl.inference.earlier_network import is_exported, open_earlier_network
from alexnet_pl.inference.weights import HUB
from alexnet_pl.runs.checkpoint import network_sha256, read_checkpoint
from alexnet_pl.runs.checkpoint_metadata import read_lineage
from alexnet_pl.runs.layout import CONFIG, find_checkpoint
from alexnet_pl.training.transfer import TRANSFER_KEY


def check_same_source(cfg: DictConfig, checkpoint: Mapping[str, Any], run: Path | None) -> None:
    """Raise UserError if the run of `checkpoint` started from other weights than `transfer.weights` now has.

    A resumed fit does not read them. Weights that the run's own config names may therefore have changed since, as a
    link to the latest run does, and those that cannot be read are not compared. Older runs do not record them.
    """
    source, lineage = OmegaConf.select(cfg, TRANSFER_KEY), read_lineage(checkpoint["alexnet_pl"])
    started_from = lineage[-1].weights if lineage else ""
    if not source or not started_from or is_same_address(source, recorded_source(run)):
        return
    given = hash_source(source)
    if given not in ("", started_from):
        again = shlex.quote(shorten_path(run)) if run else "RUN"
        raise UserError(
            f"{TRANSFER_KEY}: the resumed run started from other weights ({started_from[:12]}) than {source} has "
            f"({given[:12]}); continue it with `python -m alexnet_pl fit {again}`, or choose another hydra.run.dir"
        )


def recorded_source(run: Path | None) -> str:
    """`transfer.weights` in the run's own config; "" if it has none."""
    try:
        return str(read_yaml(run / CONFIG)["transfer"]["weights"] or "") if run else ""
    except (UserError, KeyError, TypeError):
        return ""


def is_same_address(first: str, second: str) -> bool:
    """Whether two sources are the same address or path, wherever its links lead."""
    return first == second or (HUB not in first + second and os.path.abspath(first) == os.path.abspath(second))


def hash_source(source: str) -> str:
    """`network_sha256` of the weights that a fit starts from: a classifier's, or a box network's. "" if they cannot be
    read, as without network."""
    try:
        if is_exported(source):
            return open_earlier_network(source).lineage[-1].weights
        path = find_checkpoint(source, TRANSFER_KEY, "a checkpoint or a run folder")
        return network_sha256(read_checkpoint(path, TRANSFER_KEY)["state_dict"])
    except UserError:
        return ""
