"""Initial network of fine-tuning (§7), from a run folder, a checkpoint, exported weights or hf://."""

from pathlib import Path

from alexnet_pl.config.migration import SCHEMA
from alexnet_pl.config.options import SOURCES
from alexnet_pl.inference.weights import FILE, GRAPHS, HUB, Weights, read_weights
from alexnet_pl.runs.layout import find_checkpoint
from alexnet_pl.runs.records import LineageStage
from alexnet_pl.training.transfer import TRANSFER_KEY, EarlierNetwork, read_earlier_network, record_weights


def open_earlier_network(source: str) -> EarlierNetwork:
    """Open the network to fine-tune. Raises UserError, naming `source`, if it is not a trained network."""
    if is_exported(source):
        return from_exported(source, read_weights(source))
    return read_earlier_network(find_checkpoint(source, TRANSFER_KEY, SOURCES))


def is_exported(source: str) -> bool:
    """Whether a source is exported weights, not a checkpoint or a run folder."""
    path = Path(source)
    return source.startswith(HUB) or path.suffix in (".safetensors", *GRAPHS) or (path / FILE).is_file()


def from_exported(source: str, weights: Weights) -> EarlierNetwork:
    info = weights.info
    lineage = info.lineage or [LineageStage(schema=SCHEMA, store=info.store, step=info.step)]  # of an older file
    return EarlierNetwork(source, info.architecture, weights.tensors, record_weights(lineage, weights.tensors))
