"""Merging of a class's boxes (§4.3): the two that match best become one, until none match well enough.

The paper's algorithm, step (d): take the pair with the least `match_score`, stop if that is above t, else replace the
two by `box_merge`. It defines match_score as the distance of the centres *plus* the area of the intersection, by which
two equal boxes of 100 pixels score 10,000 and two disjoint ones 300 pixels apart score 300, so that the wrong pair is
merged first. `score="literal"` is that formula, kept to show its failure. The default says what the sentence must mean:

    match_score = distance of centres / mean of the two boxes' √area + (1 − intersection over union)

0 for equal boxes, above 1 for disjoint ones, whatever their size. A merged box is the mean of its members' edges, its
score the *sum* of theirs: windows that agree on a box add up, while false classes, which no two windows place alike,
stay behind. t is not printed.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alexnet_pl.detection.boxes import Boxes, areas, as_boxes, centers, intersections

THRESHOLD = 0.5
SCORES = ("normalized", "literal")
WEIGHTS = ("count", "pair")


class Merged(NamedTuple):
    """Best first."""

    boxes: Boxes  # (N, 4)
    scores: np.ndarray  # (N,) sums
    members: np.ndarray  # (N,) how many boxes went into each
    groups: np.ndarray  # (boxes given,) which of the N each went into


@dataclass(frozen=True)
class MergeOptions:
    """`threshold`: t. `score`: normalized, or literal in pixels. `weight`: count, the mean of all boxes that went into
    a merged one, or pair, the mean of the two as printed, by which late members count most."""

    threshold: float = THRESHOLD
    score: str = "normalized"
    weight: str = "count"

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"score={self.score}: one of {', '.join(SCORES)}")
        if self.weight not in WEIGHTS:
            raise ValueError(f"weight={self.weight}: one of {', '.join(WEIGHTS)}")


def match_scores(one: Boxes, other: Boxes, how: str = "normalized") -> np.ndarray:
    """(N, M), symmetric to the last bit: the less, the better two boxes match."""
    shared = intersections(one, other)
    distance = np.hypot(*np.moveaxis(np.abs(centers(one)[:, None] - centers(other)[None]), -1, 0))
    if how == "literal":
        return distance + shared
    sizes, others = areas(one)[:, None], areas(other)[None]
    union = sizes + others - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    side = (np.sqrt(sizes) + np.sqrt(others)) / 2
    away = np.divide(distance, side, out=np.where(distance > 0, np.inf, 0.0), where=side > 0)
    return away + (1 - iou)


def merge(boxes: object, scores: object, options: MergeOptions = MergeOptions()) -> Merged:
    """Merge the boxes (N, 4) of one class, with scores (N,).

    The order of the boxes does not matter: they are sorted first, so that pairs that match equally well are taken in
    the same order. O(N²) in time and memory: the matrix of match scores is kept, with the least of each row.
    """
    given, values = as_boxes(boxes), np.asarray(scores, np.float64).reshape(-1)
    order = np.lexsort((-values, *given.T[::-1]))
    state = Pairs(given[order], values[order], options)
    while state.merge_closest():
        pass
    kept = np.flatnonzero(state.alive)
    best = kept[np.lexsort((*state.boxes[kept].T[::-1], -state.scores[kept]))]
    place = np.empty(len(given), int)
    place[best] = np.arange(len(best))
    groups = np.empty(len(given), int)
    groups[order] = place[state.roots()] if len(given) else groups
    return Merged(state.boxes[best], state.scores[best], state.members[best], groups)


class Pairs:
    """Match scores of all pairs of boxes, and the closest partner of each, kept up to date as boxes are merged."""

    def __init__(self, boxes: Boxes, scores: np.ndarray, options: MergeOptions) -> None:
        self.boxes, self.scores, self.options = boxes.copy(), scores.copy(), options
        self.members = np.ones(len(boxes), int)
        self.alive = np.ones(len(boxes), bool)
        self.into = np.arange(len(boxes))  # the box that each was merged into
        self.matrix = match_scores(boxes, boxes, options.score)
        np.fill_diagonal(self.matrix, np.inf)
        self.closest = self.matrix.argmin(1) if len(boxes) else np.empty(0, int)
        self.least = self.matrix[np.arange(len(boxes)), self.closest]

    def merge_closest(self) -> bool:
        """Merge the pair with the least score; False if there is none at or below the threshold."""
        if not len(self.least) or not self.least.min() <= self.options.threshold:
            return False
        i = int(self.least.argmin())
        j = int(self.closest[i])
        self.join(min(i, j), max(i, j))
        return True

    def join(self, i: int, j: int) -> None:
        """Box j becomes part of box i."""
        share = self.members[i] / (self.members[i] + self.members[j]) if self.options.weight == "count" else 0.5
        self.boxes[i] = share * self.boxes[i] + (1 - share) * self.boxes[j]
        self.scores[i] += self.scores[j]
        self.members[i] += self.members[j]
        self.alive[j], self.into[j] = False, i
        row = match_scores(self.boxes[i : i + 1], self.boxes, self.options.score)[0]
        row[~self.alive] = row[i] = np.inf
        self.matrix[i] = self.matrix[:, i] = row
        self.matrix[j] = self.matrix[:, j] = np.inf
        self.update_least(i, j, row)

    def update_least(self, i: int, j: int, row: np.ndarray) -> None:
        """Rows whose closest was i or j are searched anew; others only held against the new box i."""
        stale = self.alive & ((self.closest == i) | (self.closest == j))
        stale[i] = True
        rows = np.flatnonzero(stale)
        self.closest[rows] = self.matrix[rows].argmin(1)
        self.least[rows] = self.matrix[rows, self.closest[rows]]
        self.least[j] = np.inf
        nearer = self.alive & ~stale & ((row < self.least) | ((row == self.least) & (i < self.closest)))
        self.closest[nearer], self.least[nearer] = i, row[nearer]

    def roots(self) -> np.ndarray:
        """(N,) the box that each ended up in."""
        found = self.into
        while not np.array_equal(found, found[found]):
            found = found[found]
        return found
