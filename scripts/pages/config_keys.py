"""docs/reference/config.md, from the comments of configs/_base.yaml and the two variants."""

import re
from collections.abc import Iterator
from pathlib import Path

from pages.markdown import NOTE, ROOT, table

CONFIGS = ROOT / "configs"
CONFIG_HEAD = """\
Every key that recipes share, from `configs/_base.yaml`. `python -m alexnet_pl fit -c RECIPE --cfg job` prints those of
a recipe with its values; a key that nothing reads is an error that names the nearest one. Keys that only other commands
read are accepted, and a `data.root` that is typed must be a store even there. Every option of Lightning's `Trainer` can
be given as `trainer.OPTION=value`. `???` has no default: it must be given.
"""
VARIANTS_HEAD = """\
The network, its augmentation and the update rule have two sets of defaults, chosen by `variant`
([The two variants](../deviations.md)). Both can be overridden key by key.
"""
Rows = list[tuple[str, ...]]


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


def sections(path: Path) -> dict[str, Rows]:
    """Section → (key, default, comment) of one of our YAML files, in which comments are the documentation."""
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
