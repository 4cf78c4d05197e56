"""Test results of run folders (§7), grouped so that only comparable results are averaged.

Only tests that matching.py accepts enter a column of the paper. All others are results on proxies: they are compared
with each other if images, crop size and training settings are equal, and grouped by the differences between the paper's
rows: parts of the network, augmentation, views, pre-training, number of networks.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.nested_keys import dotted_leaves
from alexnet_pl.console import print_warning
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.prediction_file import PredictionFile
from alexnet_pl.evaluation.result import TestedNetwork, TestResult, network_key, read_result
from alexnet_pl.json_records import read_record
from alexnet_pl.models.color_selectivity import KernelColors
from alexnet_pl.paper import matching
from alexnet_pl.paper.claim import ERRORS, FIGURE1_ERROR, Claim
from alexnet_pl.runs.layout import KERNELS, METRICS, PROBABILITIES, read_each
from alexnet_pl.runs.metrics_log import epochs_to, read_errors
from alexnet_pl.runs.records import DatasetInfo

PROXY_KEYS = ("augment.crop", "model.width", "model.init")  # may differ between the networks on a proxy and the paper's
# settings of the optimizer in which the text differs from the program, or the program's networks from each other
VARIED_OPTIM_KEYS = ("bias_lr_scale", "decay_biases", "layer_decay")
VARIED_SCHEDULE_KEYS = ("biases", "freeze_conv1")  # of the chosen schedule: likewise
ORDER_KEY = "shuffle"  # of section data: our order of images differs from the program's
ROUNDING = 0.001  # percent; one of 50,000 images is twice as much
Variant = tuple[str, frozenset[tuple[str, int]], str]
"""Views, number of networks with each `variant_key`, and the images on which an ensemble's weights were tuned."""


@dataclass(frozen=True)
class TestRun:
    """A test: its result.json and the run folder around it."""

    path: Path
    result: TestResult

    @property
    def run(self) -> Path:
        return self.path.parents[2]

    def check(self) -> None:
        """Raise UserError, naming the file, if the log, a count, an error or a network's settings are corrupt."""
        self.metric_value("epochs_to_25")
        self.check_errors()
        if not self.result.images or not self.result.dataset.classes:
            raise UserError(f"{self.path}: corrupt (no images, or no classes); test the run again")
        for training in (network.training for network in self.networks if network.training):
            sections = [training.get(name) for name in ("model", "data", "augment", "optim", "schedule", "trainer")]
            if not all(isinstance(section, dict) for section in sections):
                raise UserError(f"{self.path}: corrupt (training: a section is missing); test the run again")
            for section, key, kind in (("augment", "crop", int), ("trainer", "max_epochs", int | None)):
                if not isinstance(training[section].get(key), kind):
                    raise UserError(f"{self.path}: corrupt (training.{section}.{key}); test the run again")

    def check_errors(self) -> None:
        """Raise UserError if an error differs from that of the saved predictions. An image whose scores are not finite
        counts as wrong in the result alone."""
        for metric in ERRORS:
            wrong, said = self.misclassified(metric), getattr(self.result, metric)
            if wrong is None or not len(wrong) or math.isnan(said):
                continue
            saved, nonfinite = 100 * wrong.mean(), 100 * (self.result.nonfinite or 0) / len(wrong)
            if not saved - ROUNDING <= said <= saved + nonfinite + ROUNDING:
                raise UserError(
                    f"{self.path}: {metric} is {said:.3f} %, but {saved:.3f} % by {PROBABILITIES} beside it; test the "
                    "run again"
                )

    @cached_property
    def claim(self) -> str | None:
        """Key of the claim that the test reproduces, or None."""
        return matching.matching_claim(self.result) if self.is_complete else None

    @property
    def is_complete(self) -> bool:
        """Whether every image of the split was tested and every fit had finished."""
        all_finished = all(network.training for network in self.networks)
        return self.result.images == self.result.dataset.images and all_finished

    @property
    def networks(self) -> Sequence[TestedNetwork]:
        return self.result.networks

    @property
    def store_of_fit(self) -> DatasetInfo:
        """Images that the first network was trained on; the tested store's in older records."""
        store = self.networks[0].trained.store
        return store if store.fingerprint else self.result.dataset

    @property
    def on_store_of_fit(self) -> bool:
        return self.store_of_fit.fingerprint == self.result.dataset.fingerprint

    @cached_property
    def variant(self) -> Variant:
        networks = Counter(variant_key(each.training or {}, bool(each.lineage)) for each in self.networks)
        return self.result.views, frozenset(networks.items()), self.result.weights_tuned_on or ""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Sorted seeds of its networks; () if one is unknown."""
        known = [network.seed for network in self.networks if network.seed is not None]
        return tuple(sorted(known)) if len(known) == len(self.networks) else ()

    def misclassified(self, metric: str) -> np.ndarray | None:
        """(images,) bool: whether each image was misclassified; None unless predictions for all images were saved."""
        if self.predictions is None:
            return None
        labels, best = self.predictions
        wrong = (best[:, : 1 if metric == "top1_error" else 5] != labels[:, None]).all(1)
        return wrong if len(wrong) == self.result.images else None

    @cached_property
    def predictions(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Saved labels (images,) and best classes (images, at most 5) of the tested weights; None if not saved.

        A corrupt file is named on stderr and ignored.
        """
        path = self.path.with_name(PROBABILITIES)
        if not path.is_file():
            return None
        try:
            reader = PredictionFile(path)
            if reader.test.checkpoint.sha256 != self.result.checkpoint.sha256 or not reader.rows:
                return None
            return reader.top_classes()
        except UserError as error:
            print_warning(f"skipped: {error}")
            return None

    @cached_property
    def kernel_colors(self) -> KernelColors | None:
        """Colors of the first layer's kernels of a single network; None if its fit has not saved them.

        A corrupt file is named on stderr and ignored.
        """
        path = self.run / KERNELS
        if len(self.networks) > 1 or not path.is_file():
            return None
        try:
            return read_record(path, KernelColors, "fit the network again")
        except UserError as error:
            print_warning(f"skipped: {error}")
            return None

    @cached_property
    def comparison_group(self) -> str:
        """Images and training settings that compared tests must share; learning rates may be tuned and differ."""
        dataset = self.result.dataset
        settings = {
            json.dumps(comparable_settings(network.training or {}), sort_keys=True) for network in self.networks
        }
        shared = settings.pop() if len(settings) == 1 else f"several: {self.path}"
        return json.dumps([dataset.name, dataset.split, dataset.fingerprint, shared])

    @property
    def learning_rates(self) -> tuple[float | None, ...]:
        """Learning rates of its networks, sorted, without repetition."""
        return tuple(sorted({(network.training or {})["optim"].get("lr") for network in self.networks}))

    @property
    def schedules(self) -> set[str]:
        """`schedule.name` of its networks."""
        return {(network.training or {})["schedule"]["name"] for network in self.networks}

    def metric_value(self, metric: str) -> float | None:
        """Value of a claim's metric: errors in percent, `steps`, `epochs` or `days` of the fit, `epochs_to_25`.

        None if the run folder does not contain it.
        """
        trained = self.result.trained
        if metric == "days":
            return trained.seconds / 86400 if trained.seconds else None
        if metric == "epochs_to_25":
            log = self.run / METRICS
            return epochs_to(read_errors(log), FIGURE1_ERROR) if log.is_file() else None
        return getattr(self.result if metric in ERRORS else trained, metric)


def collect_tests(roots: Iterable[Path]) -> list[TestRun]:
    """All tests below the folders, sorted by path, without copies. Unreadable ones are named on stderr and skipped.

    Raises UserError if a folder does not exist.
    """

    def read(path: Path) -> TestRun:
        test = TestRun(path, read_result(path))
        test.check()
        return test

    tests: dict[tuple[str, ...], TestRun] = {}
    for root in roots:
        if not root.is_dir():
            state = "is not a folder" if root.exists() else "does not exist"
            raise UserError(f"report.runs: {root} {state}; give a folder that holds run folders")
        for test in read_each(sorted(root.glob("**/results/*/result.json")), read):
            result = test.result
            dataset, tuned = result.dataset, result.weights_tuned_on or ""
            key = (result.checkpoint.network, dataset.fingerprint, dataset.split, result.views, tuned)
            tests.setdefault(key, test)
    return list(tests.values())


def variant_key(training: Settings, pretrained: bool) -> str:
    """Settings in which compared networks differ, as text: network (without width and initial weights), augmentation,
    the rules for biases and layers, the order of images. A rule of the schedule is in it only if it is not the
    program's, since networks with another schedule are of the same variant."""
    rules = {key: training["optim"].get(key) for key in VARIED_OPTIM_KEYS}
    schedule = {key: value for key, value in training["schedule"].items() if key in VARIED_SCHEDULE_KEYS}
    order = {ORDER_KEY: training["data"].get(ORDER_KEY)}
    sections = {
        "model": training["model"], "augment": training["augment"], "optim": rules, "data": order, "schedule": schedule
    }  # fmt: skip
    compared = {key: value for key, value in dotted_leaves(sections) if key not in PROXY_KEYS}
    return json.dumps([compared, pretrained], sort_keys=True)


def comparable_settings(training: Settings) -> Settings:
    """Training settings that must be equal for two runs to be compared: not the learning rate, nor a `variant_key`."""
    free = ("lr", *VARIED_OPTIM_KEYS)
    return {
        "crop": training["augment"]["crop"],
        "optim": {key: value for key, value in training["optim"].items() if key not in free},
        "data": {key: value for key, value in training["data"].items() if key != ORDER_KEY},
        "schedule": {key: value for key, value in training["schedule"].items() if key not in VARIED_SCHEDULE_KEYS},
        "trainer": training["trainer"],
    }


def claimed_variant(claim: Claim) -> Variant | None:
    """Variant that a claim is about, on any images; None if no recipe trains it."""
    if not claim.recipe:
        return None
    networks = matching.recipe_networks(claim.recipe, claim.overrides)
    variants = Counter(variant_key(network.training, bool(network.lineage)) for network in networks)
    return claim.views, frozenset(variants.items()), ""


def drop_repetitions(tests: Iterable[TestRun]) -> list[TestRun]:
    """Tests of independently trained networks: drop those that share a network, with equal settings and seed, with an
    earlier test."""
    counted: set[str] = set()
    independent = []
    for test in tests:
        networks = {network_key(network) for network in test.networks}
        if networks.isdisjoint(counted):
            counted |= networks
            independent.append(test)
    return independent
