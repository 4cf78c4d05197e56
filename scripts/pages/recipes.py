"""docs/reference/recipes.md, from the opening comments of configs/."""

import re
from pathlib import Path

from pages.markdown import NOTE, ROOT, code, table

RECIPES_HEAD = """\
A recipe is a YAML file in `configs/` that stands for a row of a table of the paper, or for a proxy of one on data that
anyone can have. Start with `demo` (no data, a minute), `ilsvrc2012` (the paper's main run), `folder` or `finetune`
(your own images).

An ablation is an override of a recipe, not another file: `model.norm=false`. `variant=as_printed` takes the paper's
text literally ([The two variants](../deviations.md)). It works with recipes that train AlexNet; those of CIFAR-10,
OverFeat, boxes and codes have no variants. `fall2009`, `fall2009_chain`, `fall2011`, `fall2011_chain`, `finetune2012`
and `finetune2012_2009` set their rates by stage and accept it only with another schedule, such as
`schedule.name=plateau`.
"""


def recipes_page() -> str:
    """Opening comment of each recipe: what it reproduces, and its commands."""
    recipes = {path.stem: opening_comment(path) for path in sorted((ROOT / "configs").glob("[!_]*.yaml"))}
    rows = [(f"[`{name}`](#{name})", first_sentence(text)) for name, text in recipes.items()]
    sections = [f"## {name}\n\n{as_markdown(text)}" for name, text in recipes.items()]
    return "\n".join([NOTE + "# Recipes\n", RECIPES_HEAD, table(("recipe", "what"), rows), *sections])


def opening_comment(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").removeprefix(" ") for line in lines[:end] if "@package" not in line]


def first_sentence(lines: list[str]) -> str:
    paragraph = " ".join(lines[: lines.index("")] if "" in lines else lines)
    return re.split(r"(?<!et al)(?<=[a-z0-9%)”\"])\. ", paragraph)[0].rstrip(".")


def as_markdown(lines: list[str]) -> str:
    """Convert a comment: indented lines are commands, all others prose."""
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
