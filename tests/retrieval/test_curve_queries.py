"""Queries of precision-recall curves are a random part of the table's, so that both measure the same."""

from pathlib import Path

import numpy as np
import pytest
from feature_files import make_features

from alexnet_pl.retrieval import code_evaluation
from alexnet_pl.retrieval.code_evaluation import CLASS, FLOAT, CodeComparison

CLASSES, EACH = 10, 40


def make_comparison(root: Path) -> CodeComparison:
    """Images sorted by class, as in stores; those of later classes are farther from their class's mean."""
    chance, labels = np.random.default_rng(0), np.repeat(np.arange(CLASSES), EACH)
    means = chance.standard_normal((CLASSES, 24))
    noise = 0.2 + 0.3 * labels[:, None]
    train, val = (means[labels] + noise * chance.standard_normal((len(labels), 24)) for _ in range(2))
    return CodeComparison(
        make_features(root / "train-fc7", train, labels), make_features(root / "val-fc7", val, labels), None
    )


def test_curves_of_all_queries_meet_the_table(tmp_path: Path) -> None:
    (row,) = make_comparison(tmp_path).float_rows()
    assert row["method"] == FLOAT
    curve = row["curves"][CLASS]
    for rank in (6, 100):
        assert curve["precision"][curve["ranks"].index(rank)] == pytest.approx(row[f"precision_{rank}"]["mean"], 1e-3)


def test_queries_of_curves_are_of_all_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first forty of four hundred would be of one class, which is the easiest."""
    monkeypatch.setattr(code_evaluation, "CURVE_QUERIES", 40)
    comparison = make_comparison(tmp_path)
    labels = comparison.labels[comparison.curve_queries]
    assert (len(labels), len(np.unique(labels))) == (40, CLASSES)
    (row,) = comparison.float_rows()
    curve = row["curves"][CLASS]
    vectors, queries = (one.rows(slice(None)).astype(np.float64) for one in (comparison.train, comparison.tested))
    chosen = comparison.numbers[comparison.curve_queries]
    distances = ((queries[chosen, None] - vectors) ** 2).sum(2)
    right = comparison.train.labels[distances.argsort(1)[:, :6]] == labels[:, None]
    assert curve["precision"][curve["ranks"].index(6)] == pytest.approx(100 * right.mean(), abs=0.5)
