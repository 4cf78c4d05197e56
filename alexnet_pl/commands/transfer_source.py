"""Whether a fit that continues started from the weights that the command line names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_pl.errors import UserError
from alexnet_pl.inference.earlier_network import is_exported, open_earlier_network
from alexnet_pl.inference.weights import HUB
from alexnet_pl.runs.checkpoint import network_sha256, read_checkpoint
from alexnet_pl.runs.checkpoint_metadata import read_lineage
from alexnet_pl.runs.layout import find_checkpoint
from alexnet_pl.training.transfer import TRANSFER_KEY


def check_same_source(cfg: DictConfig, checkpoint: Mapping[str, Any]) -> None:
    """Raise UserError if the run of `checkpoint` started from other weights than `transfer.weights`.

    A resumed fit does not read them, so weights that no longer exist are not compared. Older runs do not record them.
    """
    source, lineage = OmegaConf.select(cfg, TRANSFER_KEY), read_lineage(checkpoint["alexnet_pl"])
    started_from = lineage[-1].weights if lineage else ""
    if not source or not started_from or not (source.startswith(HUB) or Path(source).exists()):
        return
    given = hash_source(source)
    if given not in ("", started_from):
        raise UserError(
            f"{TRANSFER_KEY}: the resumed run started from other weights ({started_from[:12]}) than {source} has "
            f"({given[:12]}); give those, or choose another hydra.run.dir"
        )


def hash_source(source: str) -> str:
    """`network_sha256` of the weights that a fit starts from: a classifier's, or a box network's."""
    if is_exported(source):
        return open_earlier_network(source).lineage[-1].weights
    path = find_checkpoint(source, TRANSFER_KEY, "a checkpoint or a run folder")
    return network_sha256(read_checkpoint(path, TRANSFER_KEY)["state_dict"])
