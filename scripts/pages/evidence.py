"""Measurements in docs/measured.md, boxes.md, codes.md, deviations.md and README.md, from the files of kept runs."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kept_runs import KEPT
from studies.cifar10 import CIFAR10

from alexnet_pl.figures.code_curves import picture_codes, save_code_curves
from alexnet_pl.figures.figure1 import write_figure1
from alexnet_pl.figures.figure1_page import figure1_page
from alexnet_pl.figures.figure1_runs import find_runs
from alexnet_pl.paper.box_results import collect_box_tests
from alexnet_pl.paper.deviations import DeviationEffect, measure_deviations
from alexnet_pl.paper.proxies import ProxyResults, group_proxies
from alexnet_pl.paper.results import collect_tests
from alexnet_pl.paper.rows import make_rows
from alexnet_pl.paper.specialization import measure_specialization
from alexnet_pl.reporting import box_page
from alexnet_pl.reporting.box_claim_tables import box_claim_tables
from alexnet_pl.reporting.box_proxy_tables import box_proxy_tables
from alexnet_pl.reporting.code_tables import codes_page, collect_codes
from alexnet_pl.reporting.measured_page import measured_page, proxy_page_tables
from alexnet_pl.reporting.norms_comparison import HEAD, NORMS_MISSING, norms_page
from alexnet_pl.reporting.proxy_tables import format_points
from alexnet_pl.runs.metrics_log import read_rows
from pages.early_learning import early_learning_section
from pages.effects import summarize_effects
from pages.markdown import NOTE, ROOT, table, with_table
from pages.results import ROWS, overfeat_table, results_table
from pages.statements import statement_lines

NORMS, NORMS_RUNS = ROOT / "docs/norms.md", [KEPT / "cifar10", KEPT / "cifar10-tenth"]
FIGURE1, FIGURE1_RUNS = ROOT / "docs/figure1.md", [KEPT / "figure1", KEPT / "figure1-search"]
CODES, RESULTS = ROOT / "docs/codes.md", ROOT / "docs/results.md"
DEVIATIONS, BENCHMARK = ROOT / "docs/deviations.md", ROOT / "docs/bench/cpu.json"
TUNED = {"full": "full network", "dropout": "no dropout", "tanh": "tanh", "towers": "one tower, half the kernels"}
TUNING_HEAD = """
## Learning rates that were tried

Top-1 error in percent on 5,000 held-out training images of tinyimagenet, after four epochs: the full network, and
networks whose change alters what a rate means. A network gets the rate with the lowest error if that is more than one
point below the paper's, 0.01; else the paper's. The chance error is 99 %.

"""
KEPT_RUNS = """
Here images are different and fewer, networks smaller, schedules shorter. No seed was chosen by its result. Each run's
records are in `docs/data/evidence` of the repository; `make evidence` runs what is missing there, and repeats a run
whose records are removed.
"""


def evidence_pages() -> dict[Path, str]:
    """The page of measurements and the cells of docs/deviations.md, from the files saved by scripts/evidence.py."""
    tests = collect_tests([KEPT])
    effects = measure_deviations(tests)
    readme, proxies = ROOT / "README.md", group_proxies(tests)
    tables = proxy_page_tables(proxies, effects, measure_specialization(tests))
    rows, codes = make_rows(tests), collect_codes([KEPT])
    shown = with_table(readme.read_text(encoding="utf-8"), "results", results_table(rows, ROWS, "docs/"))
    results = with_table(RESULTS.read_text(encoding="utf-8"), "results", results_table(rows, None, ""))
    results = with_table(results, "overfeat", overfeat_table(rows))
    deviations = DEVIATIONS.read_text(encoding="utf-8")
    return {
        **cifar10_pages(),
        RESULTS: with_table(results, "statements", statement_lines(KEPT, BENCHMARK, codes)),
        readme: with_table(shown, "proxy", proxy_summary(proxies)),
        ROOT / "docs/boxes.md": NOTE + boxes_page(),
        CODES: NOTE + codes_page(codes, picture_codes(codes)),
        ROOT / "docs/measured.md": NOTE + measured_page(tables, tests, KEPT, "we", KEPT_RUNS) + own_sections(),
        DEVIATIONS: with_effects(with_table(deviations, "effects", summarize_effects(effects)), effects),
    }


def cifar10_pages() -> dict[Path, str]:
    """Pages of CIFAR-10. Figure 1's stays as an earlier command wrote it until all its runs are kept."""
    kept = [folder for folder in NORMS_RUNS if folder.is_dir()]
    pages = {NORMS: (norms_page(kept) if kept else f"{HEAD}{NORMS_MISSING}\nNot yet measured.").rstrip() + "\n"}
    if is_complete("figure1", "figure1-search"):
        pages[FIGURE1] = figure1_page(find_runs(FIGURE1_RUNS), "figure1", FIGURE1_RUNS)
    return pages


def is_complete(*parts: str) -> bool:
    return all(run.is_done for run in CIFAR10.runs(CIFAR10.seeds) if run.part in parts)


def draw_figure1() -> None:
    """Draw the curves of docs/figure1.md."""
    write_figure1(FIGURE1_RUNS, FIGURE1.parent)


def draw_codes() -> None:
    """Draw the curves of docs/codes.md."""
    save_code_curves(collect_codes([KEPT]), CODES.parent)


BOX_IMAGES = """Images of the tables, besides OverFeat's own:

- scenes, scenes_one: drawn by `prepare`, with up to three objects or exactly one.
- ilsvrc2012_val_1000: a thousand ILSVRC-2012 validation photographs with all boxes in one class, 800 of them to learn
  from. The features are those of a small network trained on Imagenette. A regressor whose error is above that of the
  constant box has not learned to place boxes.
- bccd: photographs of blood cells (github.com/Shenggan/BCCD_Dataset). The features are those of the network of the
  drawn scenes.

Neither of the last two is remade by `make evidence`; their commands are in the [lab log](development/log.md).

"""


def boxes_page() -> str:
    tests = collect_box_tests([KEPT])
    tables = [*box_claim_tables(tests), *box_proxy_tables(tests)]
    return box_page.boxes_page(tables, BOX_IMAGES, "[tutorial](tutorials/boxes.md)")


def proxy_summary(proxies: Sequence[ProxyResults]) -> str:
    """Line for README: number of the paper's comparisons with each verdict on the proxy data set."""
    shown = [results for results in proxies if results.dataset == "tinyimagenet"]
    counts = Counter(comparison.verdict for results in shown for comparison in results.comparisons)
    parts = [f"{count} {verdict.replace(', by one run', ' (one run)')}" for verdict, count in counts.items()]
    found = ", ".join(parts) or "not yet measured"
    return (
        "[All rows](docs/results.md). The paper's comparisons on a [proxy](docs/measured.md), 100 classes of "
        f"tiny-ImageNet and a quarter of the width: {found}.\n"
    )


def own_sections() -> str:
    """Sections of docs/measured.md about the kept runs alone."""
    return early_learning_section(KEPT) + tuning_section()


def tuning_section() -> str:
    """Errors of the fits that tuned the learning rate, by network and rate."""
    errors: dict[str, dict[str, float]] = {}
    for path in sorted(KEPT.glob("tuning/*/*/metrics.csv")):
        name, _, rate = path.parent.parent.name.rpartition("-")
        validated = [row["val/top1_error"] for row in read_rows(path) if "val/top1_error" in row]
        errors.setdefault(name, {})[rate] = validated[-1]
    rates = sorted({rate for found in errors.values() for rate in found}, key=float)
    rows = [
        (TUNED[name], *(f"{found[rate]:.1f}" if rate in found else "" for rate in rates))
        for name, found in errors.items()
    ]
    return TUNING_HEAD + table(("network", *(f"rate {rate}" for rate in rates)), rows) if rows else ""


def with_effects(text: str, effects: list[DeviationEffect]) -> str:
    """Fill the last cell of each row whose override was measured: top-1 points and number of runs, with the first of
    the training settings. Cells of earlier measurements are emptied first."""
    text = EFFECT_CELL.sub("not yet measured", text)
    cells = {effect.deviation.key: effect_cell(effect) for effect in reversed(effects)}
    lines = []
    for line in text.splitlines():
        keys = [key for key in cells if line.startswith("| ") and f"`{key}" in line]
        lines.append(f"{line.rsplit(' | ', 1)[0]} | {cells[keys[0]]} |" if keys else line)
    return "\n".join(lines) + "\n"


EFFECT_CELL = re.compile(r"\[[-+0-9.]+ \([^|]* points on [^|]*\]\(measured\.md\)")


def effect_cell(effect: DeviationEffect) -> str:
    top1 = effect.ours["top1_error"]
    runs = "1 run" if top1.runs == 1 else f"{top1.runs} runs"
    return f"[{format_points(top1)} points on {effect.dataset}, {runs}: {effect.verdict}](measured.md)"
