"""Binary codes of all images of a split (§7.1), made by a trained auto-encoder and cached beside it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet_pl.config.run_config import check_links
from alexnet_pl.errors import UserError
from alexnet_pl.models.autoencoder import AutoEncoder
from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.hamming import HammingIndex, encode, pack
from alexnet_pl.retrieval.search import Neighbours
from alexnet_pl.runs.checkpoint import about_checkpoint, read_checkpoint
from alexnet_pl.runs.layout import LAST

CPU = torch.device("cpu")


class CodeBook:
    """Codes of `features`, which must be those that the auto-encoder of `checkpoint` learned from or another split's.

    They lie in the run folder's `codes/<split>.npy`, packed, and are made anew where checkpoint or features changed.
    """

    def __init__(self, checkpoint: Path, features: Features, device: torch.device = CPU) -> None:
        saved = read_checkpoint(checkpoint)
        check_source(checkpoint, saved["alexnet_pl"], features)
        self.net = make_net(saved).to(device)
        self.features, self.bits = features, self.net.bits
        self.about = about_checkpoint(checkpoint, saved["global_step"])
        self.path = checkpoint.parent.parent / "codes" / f"{features.about['dataset']['split']}.npy"
        self.codes = self.read()
        self.index = HammingIndex(self.codes)

    def read(self) -> np.ndarray:
        note, facts = self.path.with_suffix(".json"), {"checkpoint": self.about, "features": self.features.identity}
        try:
            if json.loads(note.read_text()) == facts:
                codes = np.load(self.path)
                if codes.shape == (len(self.features), -(-self.bits // 8)):
                    return codes
        except (OSError, ValueError):
            pass
        codes = encode(self.net.encode, self.features)
        self.path.parent.mkdir(exist_ok=True)
        note.unlink(missing_ok=True)
        np.save(self.path, codes)
        note.write_text(json.dumps(facts, indent=1) + "\n")
        return codes

    def nearest(self, vectors: np.ndarray, k: int = 6, own: np.ndarray | None = None) -> Neighbours:
        """The `k` images of the fewest other bits than the codes of `vectors`, (N, width) as the features are."""
        return self.index.search(pack(self.net.encode(vectors)), k, own)


def make_net(checkpoint: dict[str, Any]) -> AutoEncoder:
    built = {key: value for key, value in checkpoint["alexnet_pl"]["switches"]["codes"].items() if key != "layer"}
    net = AutoEncoder(**built)
    net.load_state_dict({key.removeprefix("net."): value for key, value in checkpoint["state_dict"].items()})
    return net.eval()


def check_source(path: str | Path, saved: dict[str, Any], features: Features) -> None:
    """Raise UserError unless the codes were learned from features of the same checkpoint and layer."""
    learned = saved.get("source")
    if learned is None:
        raise UserError(f"{path}: a network's checkpoint, not one of codes; give the run folder of configs/codes.yaml")
    for key in ("layer", "checkpoint"):
        own = features.identity[key]
        if learned[key] != own:
            raise UserError(
                f"{features.folder}: of another {key} ({own[:12]}) than what the codes of {path} learned from "
                f"({learned[key][:12]}); fit the codes anew"
            )


def open_codes(run: str | Path, features: Features) -> CodeBook:
    """A run folder of configs/codes.yaml, for the features that are searched."""
    checkpoint = Path(run) / LAST
    if not checkpoint.is_file():
        raise UserError(f"{run}: has no {LAST}; fit codes first: fit -c codes codes.features=RUN")
    check_links(Path(run))  # codes are written there
    return CodeBook(checkpoint, features)
