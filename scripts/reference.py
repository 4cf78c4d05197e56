"""Write the parts of the documentation that come from the code: docs/reference/ and the tables of results.

python scripts/reference.py          write them
python scripts/reference.py --check  write nothing, exit with 1 if one is out of date
"""

import csv
import dataclasses
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from alexnet_pl.commands import options
from alexnet_pl.commands.registry import COMMANDS, Command
from alexnet_pl.experiment.trainer_options import OTHER_STRATEGIES, REFUSED, WORKS
from alexnet_pl.paper.deviations import DeviationEffect, measure_deviations
from alexnet_pl.paper.proxies import ProxyResults, group_proxies
from alexnet_pl.paper.results import collect_tests
from alexnet_pl.reporting.deviation_tables import summarize_effects
from alexnet_pl.reporting.measured_page import measured_page, measured_tables
from alexnet_pl.reporting.proxy_tables import format_points
from alexnet_pl.runs.metrics_log import read_rows

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
EVIDENCE = ROOT / "docs/data/evidence"
DEVIATIONS = ROOT / "docs/deviations.md"
CLUSTERS = ROOT / "docs/how-to/clusters.md"
BEGIN, END = "<!-- generated: {} -->", "<!-- end -->"
NOTE = "<!-- Written by `make reference` from the code. Do not edit. -->\n"
ROWS = (  # of report.csv that README shows, by part and label; the rest is in docs/results.md
    "CNN", "1 CNN", "5 CNNs", "1 CNN*", "7 CNNs*", "CNN, six convolutional layers",
    "four layers, no normalisation", "four layers, normalisation", "the same with tanh, times that",
)  # fmt: skip
LABELS = {"the same with tanh, times that": "tanh: epochs to 25 % training error, times ReLU's"}
PAGES = {  # rows that were measured in a way that is not the paper's, or by runs that have a page of their own
    "the same with tanh, times that": "[{ratio}]({docs}figure1.md)",
    "four layers, no normalisation": "not yet measured ([a tenth of the schedule]({docs}norms.md))",
    "four layers, normalisation": "not yet measured ([a tenth of the schedule]({docs}norms.md))",
}


def main() -> int:
    stale = {path: text for path, text in pages().items() if not path.is_file() or path.read_text() != text}
    if "--check" in sys.argv:
        print("\n".join(f"{path.relative_to(ROOT)}: out of date; run make reference" for path in stale))
        return int(bool(stale))
    for path, text in stale.items():
        path.write_text(text)
        print(path.relative_to(ROOT))
    return 0


def pages() -> dict[Path, str]:
    reference = ROOT / "docs/reference"
    return {
        reference / "commands.md": commands_page(),
        reference / "recipes.md": recipes_page(),
        reference / "config.md": config_page(),
        reference / "trainer.md": trainer_page(),
        **evidence_pages(),
        CLUSTERS: with_table(CLUSTERS.read_text(), "failures", failures_table()),
        ROOT / "docs/results.md": with_table(
            (ROOT / "docs/results.md").read_text(), "results", results_table(None, "")
        ),
    }


def evidence_pages() -> dict[Path, str]:
    """The page of measurements and the cells of docs/deviations.md, from the kept files of scripts/evidence.py."""
    tests = collect_tests([EVIDENCE])
    effects = measure_deviations(tests)
    readme, proxies = ROOT / "README.md", group_proxies(tests)
    tables = measured_tables(proxies, effects)
    shown = with_table(readme.read_text(), "results", results_table(ROWS, "docs/"))
    return {
        readme: with_table(shown, "proxy", proxy_summary(proxies)),
        ROOT / "docs/measured.md": NOTE + measured_page(tables, tests, EVIDENCE) + tuning_section(),
        DEVIATIONS: with_effects(with_table(DEVIATIONS.read_text(), "effects", summarize_effects(effects)), effects),
    }


def proxy_summary(proxies: Sequence[ProxyResults]) -> str:
    """One line of README: how many of the paper's comparisons had which verdict on the proxy data set."""
    counts = Counter(comparison.verdict for results in proxies for comparison in results.comparisons)
    found = ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "not yet measured"
    return (
        "[All rows](docs/results.md). The paper's comparisons on a [proxy](docs/measured.md), 100 classes of "
        f"tiny-ImageNet and a quarter of the width: {found}.\n"
    )


def tuning_section() -> str:
    """Errors of the fits that tuned the learning rate, by network and rate."""
    errors: dict[str, dict[str, float]] = {}
    for path in sorted(EVIDENCE.glob("tuning/*/*/metrics.csv")):
        name, _, rate = path.parent.parent.name.rpartition("-")
        errors.setdefault(name, {})[rate] = [
            row["val/top1_error"] for row in read_rows(path) if "val/top1_error" in row
        ][-1]
    rates = sorted({rate for found in errors.values() for rate in found}, key=float)
    rows = [
        (TUNED[name], *(f"{found[rate]:.1f}" if rate in found else "" for rate in rates))
        for name, found in errors.items()
    ]
    return TUNING_HEAD + table(("network", *(f"rate {rate}" for rate in rates)), rows) if rows else ""


TUNED = {"full": "full network", "dropout": "no dropout", "tanh": "tanh", "towers": "one tower, half the kernels"}
TUNING_HEAD = """
## Learning rates that were tried

Top-1 error in percent on 5,000 held-out training images of tinyimagenet, after four epochs: the full network, and
networks whose change alters what a rate means. A network gets the rate with the lowest error if that is more than one
point below the paper's, 0.01; else the paper's. Guessing has 99 %.

"""


def with_effects(text: str, effects: list[DeviationEffect]) -> str:
    """The page with the last cell of each row whose override was measured: top-1 points and the number of runs."""
    cells = {effect.deviation.key: effect_cell(effect) for effect in effects}
    lines = []
    for line in text.splitlines():
        keys = [key for key in cells if line.startswith("| ") and f"`{key}" in line]
        lines.append(f"{line.rsplit(' | ', 1)[0]} | {cells[keys[0]]} |" if keys else line)
    return "\n".join(lines) + "\n"


def effect_cell(effect: DeviationEffect) -> str:
    top1 = effect.ours["top1_error"]
    runs = "1 run" if top1.runs == 1 else f"{top1.runs} runs"
    return f"[{format_points(top1)} points on {effect.dataset}, {runs}: {effect.verdict}](measured.md)"


def failures_table() -> str:
    """From docs/data/failures.json, which `make failures` writes."""
    seconds = json.loads((ROOT / "docs/data/failures.json").read_text())
    return table(
        ("of two processes", "seconds until both have ended"), ((case, f"{s:.0f}") for case, s in seconds.items())
    )


def figure1_ratio() -> str:
    """Ratio of epochs in docs/figure1.md, which `figures` writes from the run folders: mean ± standard deviation."""
    rows = (ROOT / "docs/figure1.md").read_text().splitlines()
    row = next(row for row in rows if row.startswith("| how many times faster ReLUs are |"))
    return row.split("|")[3].partition(",")[0].strip()


def commands_page() -> str:
    parts = [NOTE + "# Commands\n", COMMANDS_HEAD, table(("command", "what it does"), command_rows())]
    return "\n".join([*parts, *map(command_section, COMMANDS.values())])


COMMANDS_HEAD = """\
    python -m alexnet_pl COMMAND -c RECIPE [key=value ...]
    python -m alexnet_pl COMMAND RUN [RUN ...] [key=value ...]

`RECIPE` is a shipped recipe's name or file, a file of your own, or a run folder, whose config is used again. `RUN` is
a run folder. `-m` makes a sweep of comma-separated values; `--cfg job` prints the composed config and runs nothing;
`--help` after the recipe prints its keys.
"""


def command_rows() -> Iterator[tuple[str, str]]:
    for name, command in COMMANDS.items():
        yield f"[`{name}`](#{name})", command.help


def command_section(command: Command) -> str:
    parts = [f"## {command.name}\n", f"{command.help[0].upper()}{command.help[1:].rstrip('.')}.\n"]
    if command.default_recipe and not command.default_recipe.startswith("_"):
        parts.append(f"Default recipe: `{Path(command.default_recipe).stem}`.\n")
    if command.options:
        fields = dataclasses.fields(getattr(options, command.options))
        rows = [(f"`{options.option_key(one)}`", f"`{value(one.default)}`", one.metadata["help"]) for one in fields]
        parts.append(table(("option", "default", "meaning"), rows))
    if command.keys:
        parts.append("Keys it reads: " + ", ".join(f"`{key}`" for key in command.keys) + ".\n")
    if command.examples:
        parts.append(code("\n".join(f"python -m alexnet_pl {line}" for line in command.examples)))
    return "\n".join(parts)


def value(default: object) -> str:
    return {None: "null", True: "true", False: "false"}.get(default, str(default))  # type: ignore[call-overload]


def recipes_page() -> str:
    """Each recipe's opening comment: what it reproduces, and its commands."""
    recipes = {path.stem: opening_comment(path) for path in sorted(CONFIGS.glob("[!_]*.yaml"))}
    rows = [(f"[`{name}`](#{name})", first_sentence(text)) for name, text in recipes.items()]
    sections = [f"## {name}\n\n{as_markdown(text)}" for name, text in recipes.items()]
    return "\n".join([NOTE + "# Recipes\n", RECIPES_HEAD, table(("recipe", "what"), rows), *sections])


RECIPES_HEAD = """\
A recipe is a YAML file in `configs/` that stands for a row of a table of the paper, or for a proxy of one on data that
anyone can have. An ablation is an override of a recipe, not another file: `model.norm=false`. `variant=as_printed` with
any of the ImageNet recipes takes the paper's text literally ([The two variants](../deviations.md)).
"""


def opening_comment(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").removeprefix(" ") for line in lines[:end] if "@package" not in line]


def first_sentence(lines: list[str]) -> str:
    paragraph = " ".join(lines[: lines.index("")] if "" in lines else lines)
    return re.split(r"(?<!et al)(?<=[a-z0-9%)”\"])\. ", paragraph)[0].rstrip(".")


def as_markdown(lines: list[str]) -> str:
    """Indented lines are commands; all else is prose."""
    parts: list[str] = []
    commands: list[str] = []
    for line in [*lines, ""]:
        if line.startswith("  "):
            commands.append(line.strip())
            continue
        if commands:
            language = "bash" if commands[0].startswith("python") else "text"
            parts.append("\n" + code("\n".join(commands), language))
            commands = []
        parts.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).strip() + "\n"


def config_page() -> str:
    parts = [NOTE + "# Config keys\n", CONFIG_HEAD]
    for section, rows in sections(CONFIGS / "_base.yaml").items():
        about, keys = [row[2] for row in rows if not row[0]], [row for row in rows if row[0]]
        parts += [f"## {section or 'Top level'}\n", *(f"{text}.\n" for text in about)]
        parts.append(table(("key", "default", "meaning"), keys))
    parts += [
        "## model, augment, optim\n",
        VARIANTS_HEAD,
        table(("key", "as_run", "as_printed", "meaning"), variants()),
    ]
    return "\n".join(parts)


def trainer_page() -> str:
    works = [(f"`trainer.{name}`", about) for name, about in sorted(WORKS.items())]
    refused = [(f"`trainer.{name}`", why) for name, why in sorted(REFUSED.items())]
    strategies = [(f"`{name.rstrip('_')}{'_*' * name.endswith('_')}`", why) for name, why in OTHER_STRATEGIES.items()]
    return "\n".join(
        [
            NOTE + "# Trainer options\n",
            TRAINER_HEAD,
            "## Options that work\n",
            table(("option", "meaning"), works),
            "## Options that are refused\n",
            table(("option", "why, and what to set instead"), refused),
            "## Strategies that are refused\n",
            table(("trainer.strategy", "why"), strategies),
        ]
    )


TRAINER_HEAD = """\
`trainer.OPTION=value` sets an option of
[Lightning's Trainer](https://lightning.ai/docs/pytorch/stable/common/trainer.html). Each either works or is refused in
one line that says why; none is ignored. The defaults that recipes set are in [Config keys](config.md#trainer).
"""
CONFIG_HEAD = """\
Every key that recipes share, from `configs/_base.yaml`. `python -m alexnet_pl fit -c RECIPE --cfg job` prints those of
a recipe with its values; a key that nothing reads is an error that names the nearest one. Every option of Lightning's
`Trainer` can be given as `trainer.OPTION=value`. `???` has no default: it must be given.
"""
VARIANTS_HEAD = """\
The network, its augmentation and the update rule have two sets of defaults, chosen by `variant`
([The two variants](../deviations.md)). Both can be overridden key by key.
"""

Rows = list[tuple[str, ...]]


def sections(path: Path) -> dict[str, Rows]:
    """Section → (key, default, comment) of a YAML file of ours, whose comments are its documentation."""
    found: dict[str, Rows] = {"": []}
    section = ""
    for line in path.read_text().splitlines():
        if parsed := re.match(r"(\w[\w.]*):(?:\s+#\s*(.*))?$", line):
            section, about = parsed[1], parsed[2] or ""
            found[section] = [("", "", f"{about[0].upper()}{about[1:]}")] if about else []
        elif parsed := re.match(r"(?:  )?([A-Za-z][\w.]*):\s+(.+?)(?:\s{2,}#\s*(.*))?$", line):
            section = section if line.startswith(" ") else ""
            name = f"{section}.{parsed[1]}".lstrip(".")
            found[section].append((f"`{name}`", f"`{parsed[2]}`", parsed[3] or ""))
        elif (parsed := re.match(r"\s{3,}#\s*(.*)$", line)) and (rows := found[section]):
            *rest, last = rows[-1]
            rows[-1] = (*rest, f"{last} {parsed[1]}")
    return {name: rows for name, rows in found.items() if rows and name not in ("defaults", "hydra")}


def variants() -> Iterator[tuple[str, ...]]:
    shared = flat(CONFIGS / "_alexnet.yaml")
    as_run, as_printed = (flat(CONFIGS / f"variant/{name}.yaml") for name in ("as_run", "as_printed"))
    for key in [*shared, *as_run]:
        run, printed = as_run.get(key, shared.get(key)), as_printed.get(key, shared.get(key))
        assert run
        assert printed
        about = "; ".join(dict.fromkeys(text for _, text in (run, printed) if text))
        yield key, run[0], printed[0] if printed[0] != run[0] else "the same", about


def flat(path: Path) -> dict[str, tuple[str, str]]:
    return {
        key: (default, about)
        for rows in sections(path).values()
        for key, default, about in rows
        if "." in key and not key.startswith("`schedule")
    }


def results_table(labels: tuple[str, ...] | None, docs: str) -> str:
    """From docs/results.csv, the report.csv that `report` wrote; all rows, or those of `labels`."""
    rows: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    with (ROOT / "docs/results.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            if line["part"].startswith("proxy") or line["command"] == "" or (labels and line["row"] not in labels):
                continue
            cell = f"{line['bound']} {number(line['paper'], 1)}".strip(), number(line["ours"], 2)
            rows.setdefault((line["row"], line["data"], line["place"]), []).append(cell)
    lines = [
        (LABELS.get(label, label), data, place, join(p for p, _ in cells), ours_of(label, [o for _, o in cells], docs))
        for (label, data, place), cells in rows.items()
    ]
    return table(("network", "images", "in the paper", "paper", "ours"), lines)


def ours_of(label: str, values: list[str], docs: str) -> str:
    cell = PAGES.get(label, "not yet measured")
    return join(values) if any(values) else cell.format(docs=docs, ratio=figure1_ratio())


def number(text: str, digits: int) -> str:
    if not text:
        return ""
    return f"{float(text):,.0f}" if abs(float(text)) >= 1000 else f"{float(text):.{digits}f}"


def join(cells: Iterable[str]) -> str:
    return " / ".join(filter(None, cells))


def with_table(page: str, name: str, text: str) -> str:
    """The page with `text` between its two marks."""
    begin = BEGIN.format(name)
    before, rest = page.split(begin, 1)
    _, after = rest.split(END, 1)
    return f"{before}{begin}\n{text}{END}{after}"


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def code(text: str, language: str = "bash") -> str:
    return f"```{language}\n{text}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
