"""Table of short binary codes (§7.1) from tests of configs/codes.yaml."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from alexnet_pl.evaluation import intervals
from alexnet_pl.evaluation.intervals import Sample
from alexnet_pl.files import JsonObject
from alexnet_pl.reporting import tables
from alexnet_pl.reporting.tables import Table
from alexnet_pl.retrieval.code_evaluation import FLOAT, FLOAT_PIXELS, METHODS, RANKS, UNTRAINED
from alexnet_pl.retrieval.code_result import CodesResult, read_codes_result

ORDER = [FLOAT, METHODS["fc7"], *UNTRAINED, METHODS["pixels"], FLOAT_PIXELS]
METRICS = {f"recall_{k}": f"neighbours found of {k}, %" for k in RANKS} | {
    f"precision_{k}": f"of its class among {k}, %" for k in RANKS
}
HEADER = ["method", "bits", *METRICS.values(), "bytes an image", "queries/s"]

Key = tuple[str, int | None]


def collect_codes(roots: Iterable[Path]) -> list[list[CodesResult]]:
    """Tests of finished codes below the folders, in groups that searched for the same images."""
    groups: dict[tuple[object, ...], list[CodesResult]] = {}
    for path in sorted({path.resolve() for root in roots for path in root.glob("**/results/*/codes.json")}):
        test = read_codes_result(path)
        searched = test.network.checkpoint.sha256, test.dataset.fingerprint, test.dataset.split, test.queries
        if test.codes.finished:
            groups.setdefault(searched, []).append(test)
    return list(groups.values())


def code_tables(roots: Iterable[Path]) -> list[Table]:
    return [code_table(tests) for tests in collect_codes(roots)]


def code_report(run: Path) -> str:
    """The table of a run folder of codes as Markdown, for a notebook."""
    return tables.markdown(code_tables([run]))


def code_table(tests: list[CodesResult]) -> Table:
    by_key: dict[Key, dict[int, JsonObject]] = {}
    for test in sorted(tests, key=lambda test: -test.machine.load):  # of equal rows the least disturbed one stays
        for row in test.rows:
            by_key.setdefault((row["method"], row["bits"]), {})[test.seed] = row
    keys = sorted(by_key, key=lambda key: (key[1] or 0, ORDER.index(key[0])))
    rows = [line(key, list(by_key[key].values())) for key in keys]
    return Table(f"Short codes (§7.1), no row of the paper: {describe_code(tests[0])}", HEADER, rows, notes(tests))


def line(key: Key, rows: Sequence[JsonObject]) -> list[str]:
    method, bits = key
    speed = sum(row["queries_per_second"] for row in rows) / len(rows)
    cells = [cell([row[metric] for row in rows if row.get(metric)]) for metric in METRICS]
    if method == FLOAT:
        cells[: len(RANKS)] = ["100"] * len(RANKS)
    return [method, str(bits or ""), *cells, f"{rows[0]['bytes']:,}", f"{speed:,.0f}"]


def cell(values: Sequence[dict[str, float]]) -> str:
    """One run, or several that agree: over queries. Several seeds: over runs."""
    if not values:
        return ""
    means = [value["mean"] for value in values]
    if len(set(means)) == 1:
        return f"{means[0]:.1f} ± {(values[0]['high'] - values[0]['low']) / 2:.1f}"
    found = intervals.mean_ci(Sample(means))
    return f"{found.mean:.1f} ± {found.high - found.mean:.1f}, {found.runs} seeds"


def describe_code(test: CodesResult) -> str:
    dataset, epochs = test.dataset, test.network.epochs
    queries = f"{test.queries:,} of {dataset.images:,} {dataset.split} images"
    among = f"{dataset.train_images:,} training images (store {dataset.fingerprint[:12]})"
    trained = f", network of {epochs:.0f} epochs" if epochs else ""
    return f"{dataset.name}, {queries} looked up among {among}{trained}"


def notes(tests: list[CodesResult]) -> tuple[str, ...]:
    network, dataset = tests[0].network, tests[0].dataset
    error = f", top-1 error {network.val_top1_error:.2f} % on val by then" if network.val_top1_error else ""
    end = "" if network.finished else f", before the end of its training ({network.epochs_wanted} epochs)"
    step, name = network.checkpoint.step, network.checkpoint.sha256[:12]
    machine = max((test.machine for test in tests), key=lambda machine: machine.load)
    return (
        f"The network: checkpoint {name}, step {step:,}{end}{error}. Of {dataset.classes} equally frequent classes, "
        f"one image in {dataset.classes} is of the query's class by chance.",
        "Neighbours: the share of the nearest by fc7's float vectors, exactly searched, that the method finds too; of "
        "these vectors themselves 100 % by definition.",
        "After ± half of the 95 % interval, over queries; over runs where several seeds are there. Equal Hamming "
        "distances are ordered by chance, once for all.",
        f"Queries/s: search for {RANKS[-1]} neighbours of all queries at once, {machine.threads} threads, without "
        f"computing vectors or codes; of codes the fastest of five times. {machine.cpus} CPU cores, on which up to "
        f"{machine.load:.0f} programs wanted to run meanwhile (load average).",
    )


PAGE = """# Short binary codes

Written by `python -m alexnet_pl report` from run folders of `configs/codes.yaml`, whose commands
make them. The paper (§7.1) proposes these codes and prints no number: retrieval by fc7's vectors "could be made
efficient by training an auto-encoder to compress these vectors to short binary codes. This should produce a much better
image retrieval method than applying auto-encoders to the raw pixels". `scripts/codes.sh RUN OUT` makes this page anew
from the run folder of a network.

"""
