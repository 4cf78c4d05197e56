"""Hamming search over binary codes (§7.1) with faiss, and two untrained codes as baselines.

Codes are packed eight bits to a byte; 28 bits take four bytes, whose last four bits are 0.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from alexnet_pl.data.loading.loaders import epoch_order
from alexnet_pl.errors import UserError
from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.search import Neighbors, drop_self, import_faiss

SAMPLE = 50_000  # vectors used for the principal components

Encoder = Callable[[np.ndarray], np.ndarray]
"""Function from vectors (N, width) to codes (N, bits) bool."""


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """Pack codes: (N, bits) bool → (N, ⌈bits / 8⌉) uint8."""
    return np.packbits(bits, axis=1)


def tie_order(count: int) -> np.ndarray:
    """Fixed random order of images, in which those at equal distances are ranked."""
    return epoch_order(count, 0, 0)


class HammingIndex:
    """Index of packed codes. Ties, which are frequent for short codes, are broken by a fixed random order.

    In the order of the store, images of the first classes would always come first.
    """

    def __init__(self, codes: np.ndarray) -> None:
        self.order = tie_order(len(codes))
        self.index = import_faiss().IndexBinaryFlat(8 * codes.shape[1])
        self.index.add(np.ascontiguousarray(codes[self.order]))

    def search(self, queries: np.ndarray, k: int = 6, own: np.ndarray | None = None) -> Neighbors:
        """Find the `k` codes that differ in the fewest bits from each of `queries`, (N, bytes) packed.

        `own`: (N,) rows of the queries themselves, which are left out. Raises UserError for a `k` out of range.
        """
        available = self.index.ntotal - (own is not None)
        if not 0 < k <= available:
            raise UserError(f"retrieval.k={k}: from 1 to {available:,} images")
        queries = np.ascontiguousarray(queries)
        start = time.perf_counter()
        distances, positions = self.index.search(queries, k + (own is not None))
        seconds = time.perf_counter() - start
        numbers = self.order[positions]
        distances, numbers = drop_self(own, distances, numbers, k)
        return Neighbors(numbers, distances.astype(np.float64), seconds)


def encode_features(encoder: Encoder, features: Features, rows: int = 16384) -> np.ndarray:
    """Encode all images, a block of `rows` features at a time: (images, bytes) packed."""
    blocks = (features.rows(slice(start, start + rows)) for start in range(0, len(features), rows))
    return np.concatenate([pack_bits(encoder(block)) for block in blocks])


def sample_vectors(features: Features) -> np.ndarray:
    return features.rows(np.sort(epoch_order(len(features), 0, 0)[:SAMPLE]))


def pca_hash(features: Features, bits: int) -> Encoder:
    """Encoder by the signs of the first `bits` principal components."""
    vectors = torch.from_numpy(sample_vectors(features))
    mean = vectors.mean(0)
    if bits > min(vectors.shape):
        raise UserError(f"codes.bits={bits}: more than the {min(vectors.shape):,} components that PCA can find here")
    with torch.random.fork_rng(devices=[]):  # pca_lowrank starts from a random projection
        torch.manual_seed(0)
        _, _, axes = torch.pca_lowrank(vectors, min(bits + 16, *vectors.shape), niter=6)
    return make_sign_encoder(mean.numpy(), axes[:, :bits].numpy())


def random_projection_hash(features: Features, bits: int, seed: int) -> Encoder:
    """Encoder by the signs of `bits` random normal projections of the centered vectors (Charikar 2002)."""
    axes = np.random.Generator(np.random.Philox(seed)).standard_normal((features.width, bits), dtype=np.float32)
    return make_sign_encoder(sample_vectors(features).mean(0), axes)


def make_sign_encoder(mean: np.ndarray, axes: np.ndarray) -> Encoder:
    return lambda vectors: (vectors - mean) @ axes > 0
