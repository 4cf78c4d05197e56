"""Merging of boxes (§4.3): the best-matching pair of boxes of a class is merged until no pair matches well enough.

The paper's algorithm, step (d): take the pair with the lowest `match_score`, stop if it is above t, else replace the
two by `box_merge`. It defines match_score as the distance of the centers *plus* the area of the intersection: two equal
boxes of 100 × 100 pixels score 10,000, two disjoint ones 300 pixels apart score 300, and the wrong pair is merged
first. `score="literal"` is this formula, to show that it fails. The default is what the authors presumably meant:

    match_score = distance of centers / mean of the two boxes' √area + (1 − intersection over union)

It is 0 for equal boxes and above 1 for disjoint ones of any size. A merged box has the mean of its members' edges and
the *sum* of their scores: windows that agree on a box add up, and false classes, whose boxes are scattered, do not.
The paper does not print t.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alexnet_pl.detection.boxes import Boxes, box_centers, compute_areas, intersections, shares_of_union

THRESHOLD = 0.5


class Merged(NamedTuple):
    """Merged boxes, highest score first."""

    boxes: Boxes  # (N, 4)
    scores: np.ndarray  # (N,) sums
    members: np.ndarray  # (N,) number of boxes merged into each
    groups: np.ndarray  # (input boxes,) index of the merged box that each belongs to


@dataclass(frozen=True)
class MergeOptions:
    """`threshold`: t. `score`: "normalized", or "literal" in pixels. `weight`: "count", the mean of all members, or
    "pair", the mean of the two boxes as printed, which gives later members more weight."""

    threshold: float = THRESHOLD
    score: str = "normalized"
    weight: str = "count"


class Shapes(NamedTuple):
    """Boxes with what their match scores need of each."""

    boxes: Boxes  # (N, 4)
    centers: np.ndarray  # (N, 2)
    areas: np.ndarray  # (N,)
    roots: np.ndarray  # (N,) square roots of the areas

    def rows(self, rows: slice | np.ndarray) -> "Shapes":
        return Shapes(*(column[rows] for column in self))


def measure_shapes(boxes: Boxes) -> Shapes:
    areas = compute_areas(boxes)
    return Shapes(boxes, box_centers(boxes), areas, np.sqrt(areas))


def match_scores(a: Boxes, b: Boxes, score: str = "normalized") -> np.ndarray:
    """Match score of each pair of boxes, (N, M), symmetric to the last bit; a lower score is a better match."""
    return match_shapes(measure_shapes(a), measure_shapes(b), score)


def match_shapes(a: Shapes, b: Shapes, score: str) -> np.ndarray:
    """The same for boxes that are measured already."""
    shared = intersections(a.boxes, b.boxes)
    distance = np.hypot(*(np.subtract.outer(x, y) for x, y in zip(a.centers.T, b.centers.T, strict=True)))
    if score == "literal":
        return distance + shared
    side = (a.roots[:, None] + b.roots[None]) / 2
    relative_distance = np.divide(distance, side, out=np.where(distance > 0, np.inf, 0.0), where=side > 0)
    return relative_distance + (1 - shares_of_union(shared, a.areas, b.areas))


def merge_classes(boxes: Boxes, scores: np.ndarray, options: MergeOptions) -> list[Merged]:
    """Merge the same boxes (N, 4) for each of several classes with its scores (classes, N). O(N²) in time and memory;
    the pairs are searched once, because they do not depend on the scores.

    The result does not depend on the order of the boxes: they are sorted first, so that ties are resolved equally.
    """
    orders = [np.lexsort((-values, *boxes.T[::-1])) for values in scores]
    ordered = [values[order] for values, order in zip(scores, orders, strict=True)]
    state = PairScores(boxes[orders[0]], np.stack(ordered, 1), options)
    while state.merge_closest():
        pass
    state.drop_merged()
    return [rank_merged(state, order, column) for order, column in zip(orders, state.scores.T, strict=True)]


def rank_merged(state: "PairScores", order: np.ndarray, scores: np.ndarray) -> Merged:
    """Merged boxes of a class. `order`: of its boxes in `state`; `scores`: of the merged boxes."""
    best = np.lexsort((*state.shapes.boxes.T[::-1], -scores))
    rank, groups = np.empty(len(order), int), np.empty(len(order), int)
    rank[state.numbers[best]] = np.arange(len(best))
    groups[order] = rank[state.roots()] if len(order) else groups
    return Merged(state.shapes.boxes[best], scores[best], state.members[best], groups)


class PairScores:
    """Match scores of all pairs of boxes and the closest partner of each, updated as boxes are merged.

    A row per box; rows of boxes that were merged into others are dropped once they are half of all. `scores`: (rows,
    classes).
    """

    def __init__(self, boxes: Boxes, scores: np.ndarray, options: MergeOptions) -> None:
        self.shapes, self.scores, self.options = measure_shapes(boxes.copy()), scores.copy(), options
        self.members = np.ones(len(boxes), int)
        self.alive = np.ones(len(boxes), bool)
        self.numbers = np.arange(len(boxes))  # the box of each row
        self.into = np.arange(len(boxes))  # the box that each was merged into
        self.matrix = match_shapes(self.shapes, self.shapes, options.score)
        np.fill_diagonal(self.matrix, np.inf)
        self.closest = self.matrix.argmin(1) if len(boxes) else np.empty(0, int)
        self.least = self.matrix[np.arange(len(boxes)), self.closest]

    def merge_closest(self) -> bool:
        """Merge the pair with the lowest score; returns False if all scores are above the threshold."""
        if not len(self.least) or not self.least.min() <= self.options.threshold:
            return False
        i = int(self.least.argmin())
        j = int(self.closest[i])
        self.join(min(i, j), max(i, j))
        if 2 * self.alive.sum() < len(self.alive):
            self.drop_merged()
        return True

    def join(self, i: int, j: int) -> None:
        """Merge the box of row j into that of row i."""
        share = self.members[i] / (self.members[i] + self.members[j]) if self.options.weight == "count" else 0.5
        boxes = self.shapes.boxes
        merged = measure_shapes(share * boxes[[i]] + (1 - share) * boxes[[j]])
        for column, value in zip(self.shapes, merged, strict=True):
            column[i] = value[0]
        self.scores[i] += self.scores[j]
        self.members[i] += self.members[j]
        self.alive[j], self.into[self.numbers[j]] = False, self.numbers[i]
        row = match_shapes(self.shapes.rows(slice(i, i + 1)), self.shapes, self.options.score)[0]
        row[~self.alive] = row[i] = np.inf
        self.matrix[i] = self.matrix[:, i] = row
        self.matrix[j] = self.matrix[:, j] = np.inf
        self.update_least(i, j, row)

    def update_least(self, i: int, j: int, row: np.ndarray) -> None:
        """Compare all rows with the new box i; search again those whose partner was i or j and is farther away now.

        If it is as near or nearer, no search is needed: of equal partners the closest is the first, and i comes before
        j. Without this shortcut, many equal boxes would cost a search of all rows at each merge.
        """
        stale = self.alive & ((self.closest == i) | (self.closest == j))
        nearer = self.alive & ((row < self.least) | ((row == self.least) & (i <= self.closest)))
        nearer[i] = False
        self.closest[nearer], self.least[nearer] = i, row[nearer]
        stale &= ~nearer
        stale[i] = True
        rows = np.flatnonzero(stale)
        self.closest[rows] = self.matrix[rows].argmin(1)
        self.least[rows] = self.matrix[rows, self.closest[rows]]
        self.least[j] = np.inf

    def drop_merged(self) -> None:
        rows = np.flatnonzero(self.alive)
        self.closest = (np.cumsum(self.alive) - 1)[self.closest[rows]]  # the order of rows stays, and so do ties
        self.matrix, self.shapes = self.matrix[np.ix_(rows, rows)], self.shapes.rows(rows)
        for name in ("scores", "members", "alive", "numbers", "least"):
            setattr(self, name, getattr(self, name)[rows])

    def roots(self) -> np.ndarray:
        """Index of the merged box that each box belongs to, (N,)."""
        roots = self.into
        while not np.array_equal(roots, roots[roots]):
            roots = roots[roots]
        return roots
