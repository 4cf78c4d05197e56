"""§7.1: tables of short binary codes, from tests of configs/codes.yaml."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from alexnet_pl.console import pluralize
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.intervals import Sample
from alexnet_pl.files import list_paths
from alexnet_pl.json_records import JsonObject
from alexnet_pl.retrieval.code_evaluation import FLOAT, method_sort_key
from alexnet_pl.retrieval.code_result import CodesResult, RowKey, optimizer_settings, read_codes_result, rows_by_method
from alexnet_pl.retrieval.precision_recall import RANKS
from alexnet_pl.runs.fit_status import read_fit_status
from alexnet_pl.runs.layout import read_each
from alexnet_pl.table import Table, to_markdown

METRICS = {f"recall_{k}": f"recall at {k}, %" for k in RANKS} | {
    f"precision_{k}": f"same class among {k}, %" for k in RANKS
}
UNRECORDED_CURVE_QUERIES = 500  # the first of the store, as versions took that did not record `curve_queries`
HEADER = ["method", "bits", *METRICS.values(), "bytes per image", "queries/s"]


def collect_codes(roots: Iterable[Path]) -> list[list[CodesResult]]:
    """Tests of fully trained codes below the folders, grouped by network, store, split, queries, and shape and training
    of the auto-encoders. Corrupt ones are named on stderr."""
    groups: dict[tuple[object, ...], list[CodesResult]] = {}
    paths = sorted({path.resolve() for root in roots for path in root.glob("**/results/*/codes.json")})
    for test in read_each(paths, read_known_methods):
        shape = *test.codes.hidden, test.codes.binary, test.codes.noise, json.dumps(test.training, sort_keys=True)
        group = test.network.checkpoint.sha256, test.dataset.fingerprint, test.dataset.split, test.queries, shape
        if test.codes.finished:
            groups.setdefault(group, []).append(test)
    return list(groups.values())


def read_known_methods(path: Path) -> CodesResult:
    """Read codes.json, with the training settings of the run's fit.json if it lacks them. Raises UserError if it is
    invalid, or has a method that tables and legends have no place for."""
    test = read_codes_result(path)
    for row in test.rows:
        try:
            method_sort_key(row["method"])
        except ValueError as error:
            raise UserError(f"{path}: method {row['method']!r} is unknown to this version; test again") from error
    if test.training is None and (status := read_fit_status(path.parents[2])):
        return replace(test, training=optimizer_settings(status.training))
    return test


def code_report(runs: str | Path | Iterable[str | Path]) -> str:
    """Table of one or several run folders of configs/codes.yaml as Markdown, for a notebook."""
    return to_markdown([code_table(tests) for tests in collect_codes(list_paths(runs))])


def codes_page(groups: list[list[CodesResult]], pictures: list[str]) -> str:
    """Page of tables with precision-recall curves. `pictures`: Markdown of each group's drawing, empty if it has
    none."""
    parts = [PAGE]
    for tests, picture in zip(groups, pictures, strict=True):
        parts.append(to_markdown([code_table(tests)]))
        if picture:
            images, queries = tests[0].dataset.train_images, describe_curve_queries(tests)
            parts.append(CURVES.format(picture=picture, queries=queries, images=images, marked=RANKS[-1]))
    return "\n".join(parts).rstrip() + "\n"


def describe_curve_queries(tests: Sequence[CodesResult]) -> str:
    if counts := {test.curve_queries for test in tests} - {0}:
        return f"{max(counts):,} queries, drawn at random,"
    return f"the first {min(UNRECORDED_CURVE_QUERIES, tests[0].queries):,} queries, images of a few classes,"


def code_table(tests: list[CodesResult]) -> Table:
    by_key = rows_by_method(tests)
    keys = sorted(by_key, key=lambda key: (key[1] or 0, method_sort_key(key[0])))
    rows = [code_row(key, list(by_key[key].values())) for key in keys]
    return Table(f"Short codes (§7.1), no row of the paper: {describe_code(tests[0])}", HEADER, rows, code_notes(tests))


def code_row(key: RowKey, rows: Sequence[JsonObject]) -> list[str]:
    method, bits = key
    speed = sum(row["queries_per_second"] for row in rows) / len(rows)
    cells = [format_share([row[metric] for row in rows if row.get(metric)]) for metric in METRICS]
    if method == FLOAT:
        cells[: len(RANKS)] = ["100"] * len(RANKS)
    return [method, str(bits or ""), *cells, f"{rows[0]['bytes']:,}", f"{speed:,.0f}"]


def format_share(values: Sequence[dict[str, float]]) -> str:
    """Mean ± half of the interval, in percent: over queries for one run or equal runs, else over seeds."""
    if not values:
        return ""
    means = [value["mean"] for value in values]
    if len(set(means)) == 1:
        return f"{means[0]:.1f} ± {(values[0]['high'] - values[0]['low']) / 2:.1f}"
    estimate = intervals.mean_ci(Sample(means))
    return f"{estimate.mean:.1f} ± {estimate.high - estimate.mean:.1f}, {estimate.runs} seeds"


def describe_code(test: CodesResult) -> str:
    epochs = test.network.epochs
    return test.dataset.name + (f", network of {pluralize(round(epochs), 'epoch')}" if epochs else "")


def describe_search(test: CodesResult) -> str:
    dataset = test.dataset
    queries = f"{test.queries:,} of {dataset.images:,} {dataset.split} images as queries"
    return f"{queries} against {dataset.train_images:,} training images (store {dataset.fingerprint[:12]})."


def code_notes(tests: list[CodesResult]) -> tuple[str, ...]:
    network, dataset = tests[0].network, tests[0].dataset
    error = f", top-1 error {network.val_top1_error:.2f} % on val at that step" if network.val_top1_error else ""
    end = "" if network.finished else f", before the end of its training ({network.epochs_wanted} epochs)"
    machine = max((test.machine for test in tests), key=lambda machine: machine.load)
    hidden = " and ".join(f"{units:,}" for units in tests[0].codes.hidden)
    threads = pluralize(machine.threads, "thread")
    step, name = network.checkpoint.step, network.checkpoint.sha256[:12]
    return (
        describe_search(tests[0]),
        f"Network: checkpoint {name}, step {step:,}{end}{error}. With {dataset.classes} equally frequent classes, one "
        f"image in {dataset.classes} has the query's class by chance.",
        f"Auto-encoders: hidden layers of {hidden or 'no'} units.",
        "Recall: share of the nearest images by fc7's float vectors (exact search) that the method finds too; 100 % "
        "for these vectors by definition.",
        "±: half of the 95 % interval, over queries, or over runs if there are several seeds. Equal Hamming distances "
        "are in one fixed random order.",
        f"Queries/s: search for {RANKS[-1]} neighbors of all queries at once, {threads}, without "
        f"computing vectors or codes; for codes the fastest of five times. {machine.cpus} CPU cores, load average up "
        f"to {machine.load:.0f} meanwhile.",
    )


PAGE = """# Short binary codes

The paper (§7.1) proposes short codes for retrieval, without numbers: search by fc7's vectors "could be made efficient
by training an auto-encoder to compress these vectors to short binary codes. This should produce a much better image
retrieval method than applying auto-encoders to the raw pixels".

Written by `python -m alexnet_pl report` from run folders of `configs/codes.yaml`; `scripts/codes.sh RUN OUT` makes them
from the run folder of a network.
"""
CURVES = """## Precision and recall

{picture}

Mean precision and recall over {queries} if the 1, 2, … nearest of {images:,} images are
retrieved; a dot where {marked} are. To be found: above, the {marked} nearest images by fc7's float vectors; below,
images of the query's class. One seed; equal Hamming distances are in one fixed random order.

"""
