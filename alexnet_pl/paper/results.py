"""Collect the test results of run folders (§7), and group those that may be averaged.

Only tests that matching.py accepts enter a column of the paper. All others are proxies: they are compared with each
other if images, crop size and training settings are equal, and grouped by what the paper's rows differ in: parts of
the network, augmentation, views, pre-training, number of networks.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.migration import leaves
from alexnet_pl.config.recipes import shipped
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import TestedNetwork, TestResult, network_key, read_result
from alexnet_pl.paper import matching
from alexnet_pl.paper.claim import ERRORS, Claim
from alexnet_pl.runs.layout import METRICS, PROBABILITIES
from alexnet_pl.runs.metrics_log import epochs_to, read_errors

OF_A_PROXY = (
    "augment.crop",
    "model.width",
    "model.init",
)  # keys in which a proxy's networks may differ from the paper's
Kind = tuple[str, frozenset[tuple[str, int]], str]
"""Views, how many networks of which variant, and the images that an ensemble's weights were tuned on, if any."""


@dataclass(frozen=True)
class TestRun:
    """One result.json."""

    path: Path
    result: TestResult

    @property
    def run(self) -> Path:
        return self.path.parents[2]

    @cached_property
    def claim(self) -> str | None:
        return matching.matching_claim(self.result) if self.whole else None

    @property
    def whole(self) -> bool:
        """Whether all images of the split were counted and all fits were at their ends."""
        ends = all(network.training for network in self.networks)
        return self.result.images == self.result.dataset.images and ends

    @property
    def networks(self) -> Sequence[TestedNetwork]:
        return self.result.networks

    @cached_property
    def kind(self) -> Kind:
        variants = Counter(variant_key(one.training or {}, bool(one.lineage)) for one in self.networks)
        return self.result.views, frozenset(variants.items()), self.result.weights_tuned_on or ""

    @cached_property
    def key(self) -> str:
        """What tells its networks from those of other tests: training them again would give no independent result."""
        return json.dumps(sorted(network_key(one) for one in self.networks))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of its networks, sorted; () where one was not noted."""
        known = [network.seed for network in self.networks if network.seed is not None]
        return tuple(sorted(known)) if len(known) == len(self.networks) else ()

    def wrong(self, metric: str) -> np.ndarray | None:
        """(images,) bool: the images that it got wrong; None if it did not keep its answers, or not of all images."""
        from alexnet_pl.evaluation.predictions import Reader  # not at the top: loads torch

        path = self.path.with_name(PROBABILITIES)
        if not path.is_file():
            return None
        reader = Reader(path)
        if reader.test.checkpoint.sha256 != self.result.checkpoint.sha256:
            return None
        best = 1 if metric == "top1_error" else 5
        blocks = list(reader.blocks(probabilities=False))
        wrong = np.concatenate([(block.best[:, :best] != block.labels[:, None]).all(1) for block in blocks])
        return wrong if len(wrong) == self.result.images else None

    @cached_property
    def frame(self) -> str:
        """Images and course of training, which comparisons must share."""
        dataset = self.result.dataset
        courses = {json.dumps(course_key(network.training or {}), sort_keys=True) for network in self.networks}
        same = courses.pop() if len(courses) == 1 else f"several: {self.path}"
        return json.dumps([dataset.name, dataset.split, dataset.fingerprint, same])

    def number(self, metric: str) -> float | None:
        """Errors in percent; `steps`, `epochs` and `days` of the fit; `epochs_to_25` from its log."""
        trained = self.result.trained
        if metric == "days":
            return trained.seconds / 86400 if trained.seconds else None
        if metric == "epochs_to_25":
            log = self.run / METRICS
            return epochs_to(read_errors(log), 25.0) if log.is_file() else None
        return getattr(self.result if metric in ERRORS else trained, metric)


def collect(roots: Iterable[Path]) -> list[TestRun]:
    """Every test below the folders, each once, in the order of their paths."""
    found: dict[tuple[str, ...], TestRun] = {}
    for root in roots:
        if not root.is_dir():
            raise UserError(f"report.runs: {root} does not exist; give a folder that holds run folders")
        for path in sorted(root.glob("**/results/*/result.json")):
            try:
                run = TestRun(path, read_result(path))
                run.number("epochs_to_25")  # reads the log
            except UserError as error:  # one broken run must not hide the others
                print(f"left out: {error}", file=sys.stderr)
                continue
            result = run.result
            key = (result.checkpoint.network, result.dataset.fingerprint, result.dataset.split, result.views)
            found.setdefault(key, run)
    return list(found.values())


def variant_key(training: Settings, pretrained: bool) -> str:
    """Text of what the paper's rows differ in: the network without its size and first weights, and the augmentation."""
    parts = {
        ".".join(map(str, path)): value
        for path, value in leaves({"model": training["model"], "augment": training["augment"]})
    }
    compared = {key: value for key, value in parts.items() if key not in OF_A_PROXY}
    return json.dumps([compared, pretrained], sort_keys=True)


def course_key(training: Settings) -> Settings:
    """Settings that comparable runs share."""
    return {
        "crop": training["augment"]["crop"],
        **{key: training[key] for key in ("data", "optim", "schedule", "trainer")},
    }


def kind_of(claim: Claim) -> Kind | None:
    """The kind of test that answers a row, on whatever images; None where no recipe of ours makes it."""
    if not claim.recipe or not shipped(claim.recipe):
        return None
    networks = matching.networks(claim.recipe, claim.overrides)
    found = Counter(variant_key(network.training, bool(network.lineage)) for network in networks)
    return claim.views, frozenset(found.items()), ""


def independent(tests: Iterable[TestRun]) -> list[TestRun]:
    """The tests without repetitions of the same networks: the same settings by the same seed count once."""
    found: dict[str, TestRun] = {}
    for test in tests:
        found.setdefault(test.key, test)
    return list(found.values())
