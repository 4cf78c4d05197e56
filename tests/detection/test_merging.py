"""Box merging (§4.3): invariants, a search over all pairs as reference, and why the printed score fails."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_class import merge_boxes

from alexnet_pl.detection.boxes import as_boxes, ious
from alexnet_pl.detection.merging import MergeOptions, match_scores, merge_classes
from alexnet_pl.detection.suppression import suppress_overlapping


@st.composite
def scored_boxes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Integers, so that equal boxes and equal scores occur."""
    rng, count = np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.integers(0, 14))
    corners = rng.integers(0, draw(st.sampled_from([4, 60])), (count, 2)).astype(float)
    return np.hstack([corners, corners + rng.integers(1, 40, (count, 2))]), rng.integers(0, 8, count) / 8


WEIGHTS = st.sampled_from(["count", "pair"])


@settings(deadline=None, max_examples=40)
@given(scored_boxes(), WEIGHTS, st.randoms(use_true_random=False))
def test_order_does_not_matter(some: tuple[np.ndarray, np.ndarray], weight: str, random: object) -> None:
    boxes, scores = some
    order = list(range(len(boxes)))
    random.shuffle(order)  # type: ignore[attr-defined]
    one = merge_boxes(boxes, scores, MergeOptions(weight=weight))
    other = merge_boxes(boxes[order], scores[order], MergeOptions(weight=weight))
    assert np.array_equal(one.boxes, other.boxes)
    assert np.array_equal(one.scores, other.scores)
    assert np.array_equal(one.members, other.members)


@settings(deadline=None, max_examples=40)
@given(scored_boxes(), WEIGHTS)
def test_merging_is_idempotent(some: tuple[np.ndarray, np.ndarray], weight: str) -> None:
    once = merge_boxes(*some, MergeOptions(weight=weight))
    twice = merge_boxes(once.boxes, once.scores, MergeOptions(weight=weight))
    assert np.array_equal(once.boxes, twice.boxes)
    assert np.array_equal(once.scores, twice.scores)
    assert set(twice.members.tolist()) <= {1}


@settings(deadline=None, max_examples=40)
@given(scored_boxes())
def test_scores_are_sums_and_boxes_are_means_of_members(some: tuple[np.ndarray, np.ndarray]) -> None:
    boxes, scores = some
    found = merge_boxes(boxes, scores)
    for number in range(len(found.boxes)):
        members = found.groups == number
        assert found.members[number] == members.sum()
        assert found.scores[number] == pytest.approx(scores[members].sum())
        np.testing.assert_allclose(found.boxes[number], boxes[members].mean(0), rtol=1e-12)
    assert found.members.sum() == len(boxes)


@settings(deadline=None, max_examples=40)
@given(scored_boxes(), WEIGHTS, st.integers(0, 99))
def test_classes_with_the_same_boxes_are_merged_as_one_by_one(
    some: tuple[np.ndarray, np.ndarray], weight: str, seed: int
) -> None:
    boxes, scores = some
    rows = np.stack([scores, *np.random.default_rng(seed).random((2, len(boxes)))])
    options = MergeOptions(weight=weight)
    for together, values in zip(merge_classes(as_boxes(boxes), rows, options), rows, strict=True):
        alone = merge_boxes(boxes, values, options)
        assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))


def merge_by_search(boxes: np.ndarray, scores: np.ndarray, options: MergeOptions) -> tuple[list, list]:
    """The printed algorithm: all pairs are scored again after each merge."""
    order = np.lexsort((-scores, *boxes.T[::-1]))
    rows = [(box, score, 1) for box, score in zip(boxes[order], scores[order], strict=True)]
    while len(rows) > 1:
        found = match_scores(np.array([r[0] for r in rows]), np.array([r[0] for r in rows]), options.score)
        found[np.tril_indices(len(rows))] = np.inf
        i, j = np.unravel_index(found.argmin(), found.shape)
        if found[i, j] > options.threshold:
            break
        (a, s, n), (b, t, m) = rows[i], rows[j]
        share = n / (n + m) if options.weight == "count" else 0.5
        rows[i] = share * a + (1 - share) * b, s + t, n + m
        del rows[j]
    return [row[0] for row in rows], [row[1] for row in rows]


@settings(deadline=None, max_examples=60)
@given(scored_boxes(), WEIGHTS, st.sampled_from([("normalized", 0.5), ("normalized", 1.2), ("literal", 30.0)]))
def test_updated_matrix_matches_a_search_over_all_pairs(
    some: tuple[np.ndarray, np.ndarray], weight: str, how: tuple[str, float]
) -> None:
    options = MergeOptions(how[1], how[0], weight)
    boxes, scores = merge_by_search(*some, options)
    found = merge_boxes(*some, options)
    expected = sorted([*box, score] for box, score in zip(boxes, scores, strict=True))
    assert sorted([*box, score] for box, score in zip(found.boxes, found.scores, strict=True)) == expected


def test_printed_score_merges_disjoint_boxes_before_equal_ones() -> None:
    """By the printed formula, two equal boxes of 100 pixels score 10,000, and one 300 pixels away scores 300."""
    boxes = np.array([[0.0, 0, 100, 100], [0, 0, 100, 100], [300, 0, 400, 100]])
    literal = match_scores(boxes, boxes, "literal")
    assert literal[0, 1] == 10_000
    assert literal[0, 2] == 300
    meant = match_scores(boxes, boxes)
    assert meant[0, 1] == 0
    assert meant[0, 2] == pytest.approx(3 + 1)
    scores = np.array([0.5, 0.4, 0.1])
    assert merge_boxes(boxes, scores).members.tolist() == [2, 1]
    printed = merge_boxes(boxes, scores, MergeOptions(300, "literal"))
    assert printed.members.tolist() == [3]
    assert printed.boxes.tolist() == [[100, 0, 200, 100]]  # between the two objects, where there is no object


def test_match_score_does_not_depend_on_the_unit() -> None:
    boxes = np.array([[0.0, 0, 50, 60], [10, 5, 70, 55]])
    assert match_scores(boxes, boxes)[0, 1] == pytest.approx(match_scores(4 * boxes, 4 * boxes)[0, 1])


def test_many_windows_outvote_one_confident_false_class() -> None:
    """Figure 6: about 0.5 per window for the bear adds up; a single window that predicts a whale does not win."""
    rng = np.random.default_rng(1)
    bears = np.array([20.0, 30, 120, 160]) + rng.normal(0, 4, (12, 4))
    merged = merge_boxes(bears, np.full(12, 0.5))
    assert merged.scores.tolist() == [6.0]
    whale = merge_boxes(np.array([[0.0, 0, 60, 50]]), [0.9])
    assert merged.scores[0] > whale.scores[0]
    kept, scores = suppress_overlapping(bears, np.full(12, 0.5))
    assert scores.max() == 0.5  # suppression does not add scores
    truth = np.array([[20.0, 30, 120, 160]])
    assert ious(merged.boxes, truth)[0, 0] > ious(kept[:1], truth)[0, 0]


def test_merged_boxes_are_as_many_as_objects() -> None:
    rng = np.random.default_rng(2)
    middles = np.array([[100.0, 100], [300, 120], [180, 320]])
    centers = np.repeat(middles, 150, 0) + rng.normal(0, 2, (450, 2))
    half = rng.normal(40, 1, (450, 2))
    found = merge_boxes(np.hstack([centers - half, centers + half]), np.ones(450))
    assert found.members.tolist() == [150, 150, 150]


def test_no_boxes_give_no_boxes() -> None:
    assert merge_boxes([], []).boxes.shape == (0, 4)
    assert suppress_overlapping([], [])[0].shape == (0, 4)
