"""Collect the test results of run folders (§7), and group those that may be averaged.

Only tests that matching.py accepts enter a column of the paper. All others are proxies: they are compared with each
other if images, crop size and training settings are equal, and grouped by what the paper's rows differ in: parts of
the network, augmentation, views, pre-training, number of networks.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from alexnet_pl.config.recipes import shipped
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import read_result
from alexnet_pl.paper import claims, matching
from alexnet_pl.runs.metrics_log import epochs_to

Kind = tuple[str, frozenset[tuple[str, int]]]
"""Views, and how many networks of which variant."""


@dataclass(frozen=True)
class TestRun:
    """One result.json."""

    path: Path
    result: dict[str, Any]

    @property
    def run(self) -> Path:
        return self.path.parents[2]

    @cached_property
    def claim(self) -> str | None:
        return matching.matching_claim(self.result) if self.whole else None

    @property
    def whole(self) -> bool:
        """Whether all images of the split were counted and all fits were at their ends."""
        ends = all(network.get("training") for network in self.networks)
        return self.result["images"] == self.result["dataset"]["images"] and ends

    @property
    def networks(self) -> list[dict[str, Any]]:
        return self.result.get("members") or [self.result]

    @cached_property
    def kind(self) -> Kind:
        found = Counter(variant_key(one["training"], bool(one.get("lineage"))) for one in self.networks)
        return self.result["views"], frozenset(found.items())

    @cached_property
    def frame(self) -> str:
        """Images and course of training, which comparisons must share."""
        about = self.result["dataset"]
        courses = {json.dumps(course_key(network["training"]), sort_keys=True) for network in self.networks}
        same = courses.pop() if len(courses) == 1 else f"several: {self.path}"
        return json.dumps([about["name"], about["split"], about["fingerprint"], same])

    def number(self, metric: str) -> float | None:
        """Errors in percent; `steps`, `epochs` and `days` of the fit; `epochs_to_25` from its log."""
        trained = self.result.get("trained") or {}
        if metric == "days":
            return trained["seconds"] / 86400 if trained.get("seconds") else None
        if metric == "epochs_to_25":
            return epochs_to(self.run, 25.0, trained)
        return self.result.get(metric, trained.get(metric))


def collect(roots: Iterable[Path]) -> list[TestRun]:
    """Every test below the folders, each once, in the order of their paths."""
    found: dict[tuple[str, ...], TestRun] = {}
    for root in roots:
        if not root.is_dir():
            raise UserError(f"report.runs: {root} is not there; give a folder that holds run folders")
        for path in sorted(root.glob("**/results/*/result.json")):
            try:
                result = read_result(path)
            except UserError as error:  # one broken run must not hide the others
                print(f"left out: {error}", file=sys.stderr)
                continue
            about = result["dataset"]
            key = (result["checkpoint"]["sha256"], about["fingerprint"], about["split"], result["views"])
            found.setdefault(key, TestRun(path, result))
    return list(found.values())


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def variant_key(training: dict[str, Any], pretrained: bool) -> str:
    """Text of what the paper's rows differ in: the network without its size, and the augmentation."""
    parts = flat({"model": training["model"], "augment": training["augment"]})
    return json.dumps(
        [{key: value for key, value in parts.items() if key != "augment.crop"}, pretrained], sort_keys=True
    )


def course_key(training: dict[str, Any]) -> dict[str, Any]:
    """Settings that comparable runs share."""
    return {
        "crop": training["augment"]["crop"],
        **{key: training[key] for key in ("data", "optim", "schedule", "trainer")},
    }


def kind_of(claim: claims.Claim) -> Kind | None:
    """The kind of test that answers a row, on whatever images; None where no recipe of ours makes it."""
    if not claim.recipe or not shipped(claim.recipe):
        return None
    networks = matching.networks(claim.recipe, claim.overrides)
    found = Counter(variant_key(network.training, bool(network.lineage)) for network in networks)
    return claim.views, frozenset(found.items())
