"""Auto-encoder for short binary codes of fc7's activations (§7.1; §6.1 of 2012, reference [16])."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

BLOCK = 4096  # vectors encoded at a time


def straight_through(logits: Tensor, noise: float, training: bool) -> Tensor:
    """Round logistic units to 0 or 1; the gradient ignores the rounding, as in the authors' auto-encoder."""
    soft = torch.sigmoid(logits)
    return soft + (soft.round() - soft).detach()


def noisy_sigmoid(logits: Tensor, noise: float, training: bool) -> Tensor:
    """Add Gaussian noise to the inputs of logistic units in training, so that only large inputs carry information
    (semantic hashing, Salakhutdinov & Hinton); round to 0 or 1 in evaluation."""
    return torch.sigmoid(logits + noise * torch.randn_like(logits)) if training else (logits > 0).to(logits.dtype)


BINARY: dict[str, Callable[[Tensor, float, bool], Tensor]] = {
    "straight_through": straight_through,
    "noise": noisy_sigmoid,
}


class AutoEncoder(nn.Module):
    """Auto-encoder with a binary code: (N, width) → (N, bits) → (N, width).

    The encoder has `hidden` layers of ReLUs, the decoder the same in reverse. Inputs are centered and divided by one
    number, so that an error of 1 is the error of always predicting the mean.

    Raises ValueError, naming the argument, for sizes that cannot be built.
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
        if min([*hidden, 1]) < 1:
            raise ValueError(f"hidden={hidden}: at least 1 unit a layer")
        if noise < 0:
            raise ValueError(f"noise={noise}: at least 0")
        self.bits, self.binary, self.noise = bits, binary, noise
        self.encoder, self.decoder = (
            stack_linear([width, *hidden, bits]),
            stack_linear([bits, *reversed(hidden), width]),
        )
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))

    def set_statistics(self, mean: np.ndarray, deviation: float) -> None:
        """Set the (width,) mean and the standard deviation of the training vectors."""
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.fill_(deviation or 1.0)

    def logits(self, vectors: Tensor) -> Tensor:
        return self.encoder((vectors - self.mean) / self.scale)

    def code(self, vectors: Tensor) -> Tensor:
        """Codes of −1 and 1 that gradients pass through: (N, width) → (N, bits)."""
        logits = self.logits(vectors).float()  # in bfloat16, rounded units would not be exactly 0 and 1
        return 2 * BINARY[self.binary](logits, self.noise, self.training) - 1

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared reconstruction error of each vector, (N,), which is the fraction of variance that the code
        loses; and the codes, (N, bits)."""
        code = self.code(vectors)
        return (self.decoder(code) - (vectors - self.mean) / self.scale).square().mean(1), code

    @torch.inference_mode()
    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """Codes of vectors: (N, width) → (N, bits) bool. Computed on the network's device."""
        codes = [
            (self.logits(torch.from_numpy(vectors[i : i + BLOCK].astype(np.float32)).to(self.mean.device)) > 0).cpu()
            for i in range(0, len(vectors), BLOCK)
        ]
        return torch.cat(codes).numpy() if codes else np.zeros((0, self.bits), bool)


def stack_linear(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for in_features, out_features in pairwise(widths):
        layers += [nn.Linear(in_features, out_features), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
