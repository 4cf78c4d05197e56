"""docs/reference/config.md, from the comments of configs/_base.yaml, the variants and the recipes of other tasks."""

import re
from collections.abc import Iterator
from pathlib import Path

from pages.markdown import NOTE, ROOT, table

CONFIGS = ROOT / "configs"
CONFIG_HEAD = """\
Every key that recipes share, from `configs/_base.yaml`. `python -m alexnet_pl fit -c RECIPE --cfg job` prints those of
a recipe with its values. [Commands](commands.md) lists the sections that each command reads.

- `???` has no default: it must be given.
- A key that nothing reads is an error that names the nearest one. Keys that only other commands read are accepted, but
  a typed `data.root` must be a store even there. A typed key of a schedule that `schedule.name` does not choose is
  refused.
- A key that the recipe does not set is typed with a plus sign: `+schedule.steps.divide_by=2`.
- Every option of Lightning's `Trainer` can be given as `trainer.OPTION=value` ([Trainer options](trainer.md)).
"""
VARIANTS_HEAD = """\
The network, its augmentation and the update rule have two sets of defaults, chosen by `variant`
([The two variants](../deviations.md)). Both can be overridden key by key.
"""
OTHER_SECTIONS = {"codes": "codes.yaml", "boxes": "_boxes.yaml", "detect": "_boxes.yaml"}  # not in _base.yaml
OVERFEAT_HEAD = """\
OverFeat's networks (`-c overfeat_fast`, `-c overfeat_accurate`) have no variants. Its other keys are those above.
"""
MORE_HEAD = """\
Keys without a default in a shared file. A plus sign adds one to a recipe that does not set it: `+model.width=0.5`.
"""
MORE = (
    ("`model.width`", "`1.0`", "AlexNet: factor of the numbers of kernels and units; 0.25 in `tinyimagenet`"),
    ("`model.net`", "`accurate`", "OverFeat: fast (Table 1) or accurate (Table 3)"),
    ("`model.local3_maps`", "`32`", "network of §4.3: maps of layer local3; 64 in `cifar10_11pct`"),
    ("`optim.layer_decay`", "`{}`", "weight decay by layer, such as {fc10: 0.01}; of others optim.weight_decay"),
    ("`schedule.lr_by_activation`", "none", "`cifar10`: optim.lr for each value of model.activation"),
)
Rows = list[tuple[str, ...]]


def config_page() -> str:
    parts = [NOTE + "# Config keys\n", CONFIG_HEAD]
    for section, rows in sections(CONFIGS / "_base.yaml").items():
        parts += section_lines(section or "Top level", rows)
    for section, name in OTHER_SECTIONS.items():
        parts += section_lines(section, sections(CONFIGS / name)[section])
    parts += [
        "## model, augment, optim\n",
        VARIANTS_HEAD,
        table(("key", "as_run", "as_printed", "meaning"), variants()),
        "## model and augment of OverFeat\n",
        OVERFEAT_HEAD,
        table(("key", "default", "meaning"), overfeat_rows()),
        "## Keys of some recipes\n",
        MORE_HEAD,
        table(("key", "default", "meaning"), MORE),
    ]
    return "\n".join(parts)


def section_lines(title: str, rows: Rows) -> list[str]:
    """Heading, description and table of a section."""
    about, keys = [row[2] for row in rows if not row[0]], [row for row in rows if row[0]]
    return [f"## {title}\n", *(f"{text}.\n" for text in about), table(("key", "default", "meaning"), keys)]


def overfeat_rows() -> Rows:
    found = sections(CONFIGS / "_overfeat.yaml")
    return [row for section in ("model", "augment") for row in found[section]]


def sections(path: Path) -> dict[str, Rows]:
    """Section → (key, default, comment) of one of our YAML files, in which comments are the documentation."""
    found: dict[str, Rows] = {"": []}
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
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
