"""Binary codes of all images of a split (§7.1), computed by a trained auto-encoder and cached in its run folder."""

import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from alexnet_pl.config.run_config import check_links
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import JsonObject, to_json, write_json
from alexnet_pl.models.autoencoder import AutoEncoder
from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.hamming import HammingIndex, encode_features, pack_bits
from alexnet_pl.retrieval.search import Neighbors
from alexnet_pl.runs.checkpoint import describe_checkpoint, read_checkpoint
from alexnet_pl.runs.layout import LAST, run_of_checkpoint

CPU = torch.device("cpu")


class CodeBook:
    """Binary codes of `features` by the auto-encoder of `checkpoint`, searchable by Hamming distance.

    Codes are cached as `codes/<split>.npy` in the run folder and recomputed if they, checkpoint or features change.
    Raises UserError if the auto-encoder was trained on features of another network or layer.
    """

    def __init__(self, checkpoint: Path, features: Features, device: torch.device = CPU) -> None:
        saved = read_checkpoint(checkpoint)
        check_code_source(checkpoint, saved["alexnet_pl"], features)
        self.net = make_autoencoder(saved).to(device)
        self.features, self.bits = features, self.net.bits
        self.checkpoint_info = describe_checkpoint(checkpoint)
        run = run_of_checkpoint(checkpoint) or checkpoint.parent
        self.path = run / "codes" / f"{features.info.dataset.split}.npy"
        self.codes = self.read_or_encode()

    @cached_property
    def index(self) -> HammingIndex:
        return HammingIndex(self.codes)

    def read_or_encode(self) -> np.ndarray:
        metadata_path = self.path.with_suffix(".json")
        metadata = {"checkpoint": to_json(self.checkpoint_info), "features": self.features.identity}
        try:
            codes = np.load(self.path)
            same = json.loads(metadata_path.read_text(encoding="utf-8")) == {**metadata, "sha256": array_sha256(codes)}
            if same and codes.shape == (len(self.features), -(-self.bits // 8)):
                return codes
        except (OSError, ValueError, EOFError, RecursionError, MemoryError):  # the last for a header of a huge array
            pass
        codes = encode_features(self.net.encode, self.features)
        self.path.parent.mkdir(exist_ok=True)
        metadata_path.unlink(missing_ok=True)
        np.save(self.path, codes)
        write_json(metadata_path, {**metadata, "sha256": array_sha256(codes)})
        return codes

    def nearest(self, vectors: np.ndarray, k: int = 6, own: np.ndarray | None = None) -> Neighbors:
        """Find the `k` images whose codes differ in the fewest bits from those of `vectors`, (N, width) features."""
        return self.index.search(pack_bits(self.net.encode(vectors)), k, own)


def array_sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def make_autoencoder(checkpoint: JsonObject) -> AutoEncoder:
    built = {key: value for key, value in checkpoint["alexnet_pl"]["switches"]["codes"].items() if key != "layer"}
    net = AutoEncoder(**built)
    net.load_state_dict({key.removeprefix("net."): value for key, value in checkpoint["state_dict"].items()})
    return net.eval()


def check_code_source(path: str | Path, saved: JsonObject, features: Features) -> None:
    """Raise UserError unless the codes were trained on features of the same checkpoint and layer."""
    learned = saved.get("source")
    if learned is None:
        raise UserError(f"{path}: checkpoint of a network, not of codes; give a run folder of configs/codes.yaml")
    for key in ("layer", "checkpoint"):
        current = features.identity[key]
        if learned[key] != current:
            raise UserError(
                f"{features.folder}: of another {key} ({current[:12]}) than what the codes of {path} learned from "
                f"({learned[key][:12]}); fit the codes again"
            )


def open_codes(run: str | Path, features: Features) -> CodeBook:
    """Open the codes of a run folder of configs/codes.yaml for `features`. Raises UserError if there are none."""
    checkpoint = Path(run) / LAST
    if not checkpoint.is_file():
        raise UserError(f"{run} has no {LAST}; fit codes first: fit -c codes codes.features=RUN")
    check_links(Path(run))  # codes are written there
    return CodeBook(checkpoint, features)
