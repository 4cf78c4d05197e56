"""Search by Hamming distance over binary codes (§7.1) with faiss, and two untrained codes as baselines.

A code's bits are packed eight to a byte; 28 bits take four bytes, of which the last four bits are 0.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.errors import UserError
from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.search import Neighbours, drop_self, faiss

SAMPLE = 50_000  # vectors that the principal components are taken from

Encoder = Callable[[np.ndarray], np.ndarray]
"""(N, width) → (N, bits) bool."""


def pack(bits: np.ndarray) -> np.ndarray:
    """(N, bits) bool → (N, bits / 8 rounded up) uint8."""
    return np.packbits(bits, axis=1)


class HammingIndex:
    """Packed codes to search. Ties, of which short codes have many, are broken by a fixed random order:
    in the store's own, images of the first classes would always come first."""

    def __init__(self, codes: np.ndarray) -> None:
        self.order = epoch_order(len(codes), 0, 0)
        self.index = faiss().IndexBinaryFlat(8 * codes.shape[1])
        self.index.add(np.ascontiguousarray(codes[self.order]))

    def search(self, queries: np.ndarray, k: int = 6, own: np.ndarray | None = None) -> Neighbours:
        """The `k` codes of the fewest other bits than each of `queries`, packed; but not `own` (N,), the queries
        themselves."""
        most = self.index.ntotal - (own is not None)
        if not 0 < k <= most:
            raise UserError(f"retrieval.k={k}: from 1 to {most:,} images")
        queries = np.ascontiguousarray(queries)
        began = time.perf_counter()
        distances, places = self.index.search(queries, k + (own is not None))
        seconds = time.perf_counter() - began
        numbers = self.order[places]
        distances, numbers = drop_self(own, distances, numbers, k)
        return Neighbours(numbers, distances.astype(np.float64), seconds)


def encode(encoder: Encoder, features: Features, rows: int = 16384) -> np.ndarray:
    """The packed codes of all images, a block of features at a time."""
    blocks = (features.rows(slice(start, start + rows)) for start in range(0, len(features), rows))
    return np.concatenate([pack(encoder(block)) for block in blocks])


def sample(features: Features) -> np.ndarray:
    return features.rows(np.sort(epoch_order(len(features), 0, 0)[:SAMPLE]))


def pca_hash(features: Features, bits: int) -> Encoder:
    """The signs of the first `bits` principal components."""
    some = torch.from_numpy(sample(features))
    mean = some.mean(0)
    if bits > min(some.shape):
        raise UserError(f"codes.bits={bits}: more than the {min(some.shape):,} components that PCA can find here")
    with torch.random.fork_rng(devices=[]):  # it begins with a random projection
        torch.manual_seed(0)
        _, _, axes = torch.pca_lowrank(some, min(bits + 16, *some.shape), niter=6)
    return signs(mean.numpy(), axes[:, :bits].numpy())


def random_projection_hash(features: Features, bits: int, seed: int) -> Encoder:
    """The signs of `bits` random directions from the mean, normally distributed (Charikar 2002)."""
    axes = np.random.Generator(np.random.Philox(seed)).standard_normal((features.width, bits), dtype=np.float32)
    return signs(sample(features).mean(0), axes)


def signs(mean: np.ndarray, axes: np.ndarray) -> Encoder:
    return lambda vectors: (vectors - mean) @ axes > 0
