"""Short binary codes (§7.1; §6.1 of 2012): retrieval "could be made efficient by training an auto-encoder to compress
these vectors to short binary codes".

A deep auto-encoder in the manner of Krizhevsky & Hinton (2011), the paper's reference for it, trained by squared error.
Theirs has logistic units and is pre-trained layer by layer as a belief network; here hidden units are ReLUs, and it is
trained as a whole.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from alexnet_pl.errors import UserError
from alexnet_pl.features import Features

BLOCK = 4096  # vectors encoded at a time


def straight_through(logits: Tensor, noise: float, training: bool) -> Tensor:
    """Logistic units rounded to 0 or 1; the gradient ignores the rounding, as theirs does."""
    soft = torch.sigmoid(logits)
    return soft + (soft.round() - soft).detach()


def noisy(logits: Tensor, noise: float, training: bool) -> Tensor:
    """Logistic units whose inputs get Gaussian noise while they learn, so that only large ones carry anything
    (Salakhutdinov & Hinton's semantic hashing); rounded in use."""
    return torch.sigmoid(logits + noise * torch.randn_like(logits)) if training else (logits > 0).to(logits.dtype)


BINARY: dict[str, Callable[[Tensor, float, bool], Tensor]] = {"straight_through": straight_through, "noise": noisy}


class AutoEncoder(nn.Module):
    """(N, width) → (N, bits) → (N, width), through `hidden` layers and back through the same.

    Vectors are centred and divided by one number, so that an error of 1 is that of always answering the mean.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, width: int, bits: int, hidden: list[int], binary: str = "straight_through", noise: float = 4.0
    ) -> None:
        super().__init__()
        if not 1 <= bits <= 4096:
            raise ValueError(f"bits={bits}: from 1 to 4096")
        if binary not in BINARY:
            raise ValueError(f"binary={binary}: one of {', '.join(BINARY)}")
        if min([*hidden, 1]) < 1 or noise < 0:
            raise ValueError(f"hidden={hidden}, noise={noise}: at least 1 unit a layer, and not negative")
        self.bits, self.binary, self.noise = bits, binary, noise
        self.encoder, self.decoder = stack([width, *hidden, bits]), stack([bits, *reversed(hidden), width])
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))

    def set_statistics(self, mean: np.ndarray, deviation: float) -> None:
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.fill_(deviation or 1.0)

    def logits(self, vectors: Tensor) -> Tensor:
        return self.encoder((vectors - self.mean) / self.scale)

    def forward(self, vectors: Tensor) -> Tensor:
        """The mean squared error of each vector, (N,): the share of the variance that the code does not hold."""
        code = BINARY[self.binary](self.logits(vectors), self.noise, self.training)
        told = self.decoder(2 * code - 1)
        return (told - (vectors - self.mean) / self.scale).square().mean(1)

    @torch.inference_mode()
    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """(N, width) → (N, bits) bool, on the network's device."""
        found = [
            (self.logits(torch.from_numpy(vectors[i : i + BLOCK].astype(np.float32)).to(self.mean.device)) > 0).cpu()
            for i in range(0, len(vectors), BLOCK)
        ]
        return torch.cat(found).numpy() if found else np.zeros((0, self.bits), bool)


def stack(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for reads, writes in pairwise(widths):
        layers += [nn.Linear(reads, writes), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def statistics(features: Features) -> tuple[np.ndarray, float]:
    """Mean, (width,) float32, and the root of the mean variance of all numbers, in one pass."""
    total, squares = np.zeros(features.width), np.zeros(features.width)
    for start in range(0, len(features), BLOCK):
        block = features.values[start : start + BLOCK].astype(np.float64)
        total, squares = total + block.sum(0), squares + np.square(block).sum(0)
    mean = total / len(features)
    variance = np.maximum(squares / len(features) - mean**2, 0)
    return mean.astype(np.float32), float(np.sqrt(variance.mean()))


class Codes(L.LightningModule):
    """The auto-encoder and how it learns: Adam, at a rate that falls to zero along a straight line.

    `source`: what its features are of (`Features.identity`); a checkpoint carries it, and codes of other features are
    refused.
    """

    def __init__(
        self, net: AutoEncoder, switches: dict[str, Any], source: dict[str, Any], lr: float = 0.001, epochs: int = 1
    ) -> None:
        super().__init__()
        if lr < 0:
            raise ValueError(f"lr={lr}: not below 0")
        self.net, self.switches, self.source, self.lr, self.epochs = net, switches, source, lr, epochs
        self.progress_metrics: dict[str, float] = {}  # beside the progress bar

    def configure_optimizers(self) -> Any:
        adam = torch.optim.Adam(self.net.parameters(), self.lr, fused=True)
        falling = torch.optim.lr_scheduler.LambdaLR(adam, lambda epoch: max(0.0, 1 - epoch / self.epochs))
        return {"optimizer": adam, "lr_scheduler": falling}

    def training_step(self, vectors: Tensor, index: int) -> Tensor:
        loss = self.net(vectors).mean()
        if not torch.isfinite(loss):
            raise UserError(f"the training loss is {float(loss)} by step {self.global_step}; try a smaller optim.lr")
        self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def validation_step(self, vectors: Tensor, index: int) -> None:
        self.log("val/loss", self.net(vectors).mean(), prog_bar=True, batch_size=len(vectors), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        self.log("step", float(self.global_step), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        course = {"seed": data.seed, "batch_size": data.batch_size}
        checkpoint["alexnet_pl"] = {"switches": self.switches, "course": course, "source": self.source}
