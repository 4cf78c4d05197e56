"""Neighbor loss for short codes (§7.1): codes of near vectors differ in few bits.

An auto-encoder's error says nothing about the order of images by Hamming distance, by which codes are searched. This
loss is that of stochastic neighbor embedding (Hinton & Roweis 2002), with Hamming distances in the low-dimensional
space. It needs no labels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.03  # of vectors, as a share of the mean squared distance in the batch
SCALE = 4.0  # of Hamming distances, divided by √bits: those of random codes have a standard deviation of √bits / 2
MASKED = -1e9  # logit of a vector's distance to itself; that of another is above -34 times the vectors in the batch


def neighbor_loss(vectors: Tensor, codes: Tensor, others: tuple[Tensor, Tensor], first: int = 0) -> Tensor:
    """Mean Kullback-Leibler divergence between the neighbors of each vector and those of its code.

    Probability of j as neighbor of i: ∝ exp(−‖xᵢ − xⱼ‖² / (0.03 · mean)) for vectors, ∝ exp(−4 · bits apart / √bits)
    for codes. `vectors`: (N, width); `codes`: (N, bits) of −1 and 1; `others`: all vectors and codes of the batch, of
    which the N are the rows from `first`. Computed in float32 under autocast too.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        all_vectors, all_codes = (one.float() for one in others)
        itself = torch.arange(len(vectors), device=vectors.device)[:, None] + first
        itself = itself == torch.arange(len(all_vectors), device=vectors.device)
        squares = torch.cdist(vectors.float(), all_vectors).square()
        bits_apart = (codes.shape[1] - codes.float() @ all_codes.T) / 2
        mean = 2 * all_vectors.var(0, correction=0).sum()  # of all pairs' squared distances
        temperature = (TEMPERATURE * mean).clamp_min(torch.finfo(torch.float32).tiny)
        near = (-squares / temperature).masked_fill(itself, MASKED).log_softmax(1)
        found = (-SCALE / codes.shape[1] ** 0.5 * bits_apart).masked_fill(itself, MASKED).log_softmax(1)
        return F.kl_div(found, near, reduction="batchmean", log_target=True)
