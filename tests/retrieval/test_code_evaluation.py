"""Recall and precision of codes against Python sets; intervals against the textbook formula."""

import numpy as np
import pytest

from alexnet_pl.retrieval.code_evaluation import measure_precision, measure_recall, overlap


def test_recall_matches_set_intersection() -> None:
    chance = np.random.default_rng(0)
    found, truth = (np.stack([chance.permutation(30)[:10] for _ in range(50)]) for _ in range(2))
    by_hand = [len({*a} & {*b}) / 10 for a, b in zip(found.tolist(), truth.tolist(), strict=True)]
    assert overlap(found, truth) == pytest.approx(by_hand)


def test_hand_built_case() -> None:
    """Two queries of classes 0 and 1 with six results each. Images 0 to 5 are of class 0, 6 to 11 of class 1."""
    truth = np.array([[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]])
    found = np.array([[0, 1, 2, 6, 7, 8], [11, 10, 9, 8, 7, 6]])
    recall = measure_recall(found, truth)
    precision = measure_precision(found, np.array([0, 1]), np.repeat([0, 1], 6))
    assert recall["recall_6"]["mean"] == precision["precision_6"]["mean"] == pytest.approx(75)
    half = 1.959964 * np.std([0.5, 1.0], ddof=1) / np.sqrt(2)
    assert recall["recall_6"]["low"] == pytest.approx(100 * (0.75 - half), abs=1e-4)
    assert recall["recall_6"]["high"] == 100
    assert ([*recall], [*precision]) == (["recall_6"], ["precision_6"])


def test_precision_needs_labels() -> None:
    assert measure_precision(np.arange(6)[None], np.array([-1]), np.zeros(6)) == {"precision_6": None}
