"""measured.md of a report, and docs/measured.md: all measurements on proxy data sets, with each run's provenance."""

from collections.abc import Sequence
from pathlib import Path

from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import has_top5
from alexnet_pl.paper.deviations import DeviationEffect
from alexnet_pl.paper.proxies import ProxyResults
from alexnet_pl.paper.results import TestRun
from alexnet_pl.paper.specialization import Specialization
from alexnet_pl.reporting.deviation_tables import deviation_tables
from alexnet_pl.reporting.proxy_tables import proxy_tables
from alexnet_pl.reporting.specialization_tables import specialization_tables
from alexnet_pl.runs.layout import METRICS
from alexnet_pl.runs.metrics_log import images_per_second
from alexnet_pl.runs.provenance import read_sessions
from alexnet_pl.table import Table, to_markdown

HEAD = """# What {who} measured

Written by `python -m alexnet_pl report` from the runs that fill no row of the paper: their images, networks or
schedules are not the paper's. Only the direction of a difference can be compared with the paper, not its size.
{about}
| verdict | meaning |
| --- | --- |
| as in the paper, opposite | significant, corrected for multiple comparisons, with the paper's or the opposite sign |
| inconclusive, no significant difference | p of 0.05 or more, over what the column "interval over" names |
| did not train | a network has more than half of the top-5 chance error (top-1 for 20 classes or fewer) |

Comparisons that are missing below are not yet measured.

"""


def proxy_page_tables(
    proxies: Sequence[ProxyResults], effects: list[DeviationEffect], specialization: list[Specialization]
) -> list[Table]:
    """Tables of the paper's comparisons, of as printed against as run, and of Figure 3's halves, on every proxy."""
    compared = [table for results in proxies for table in proxy_tables(results)]
    return [*compared, *deviation_tables(effects), *specialization_tables(specialization)]


def measured_page(
    tables: Sequence[Table], tests: Sequence[TestRun], root: Path, who: str = "these runs", about: str = ""
) -> str:
    """Write the page as Markdown: `proxy_page_tables`, and the provenance of every run below `root`.

    `who`, `about`: whose runs they are in the title, and a paragraph on them.
    """
    proxies = [test for test in tests if not test.claim]
    provenance = [provenance_table(proxies, root)] if proxies else []
    return HEAD.format(who=who, about=about) + to_markdown([*tables, *provenance])


def provenance_table(tests: Sequence[TestRun], root: Path) -> Table:
    rows = [provenance_row(test, root) for test in sorted(tests, key=lambda test: test.path)]
    header = ["test", "top-1, %", "top-5, %", "commit", "date", "torch", "machine", "precision", "images/s", "hours"]
    return Table("Provenance of each number", header, rows)


def provenance_row(test: TestRun, root: Path) -> list[str]:
    result, run = test.result, test.run
    name = f"{run.relative_to(root)}, {result.dataset.split}, {result.views}" if run.is_relative_to(root) else run.name
    try:
        sessions = read_sessions(run)
    except UserError:  # result.json is valid and contains the errors
        sessions = []
    first = sessions[0] if sessions else None
    rate = images_per_second(run) if (run / METRICS).is_file() else None
    seconds = result.trained.seconds
    return [
        name,
        f"{result.top1_error:.2f}",
        f"{result.top5_error:.2f}" if has_top5(result.dataset.classes) else "",
        (result.commit or "unknown")[:10],
        first.time[:10] if first else "",
        (first.packages.get("torch") or "") if first else "",
        first.machine if first else "",
        first.precision if first else "",
        f"{rate:,.0f}" if rate else "",
        f"{seconds / 3600:.2f}" if seconds else "",
    ]
