"""Text of `--help`: for the program, and for each command with the config keys that it reads."""

import re
import shutil
import sys
import textwrap
from dataclasses import fields
from functools import partial
from typing import Any

from alexnet_pl.commands.registry import COMMANDS, Command
from alexnet_pl.commands.run_options import option_key
from alexnet_pl.config.overrides import format_override
from alexnet_pl.config.recipes import SHIPPED, recipe_names

SHARED = ("_base.yaml", "_alexnet.yaml", "variant/as_run.yaml")  # files in which sections are looked up
DESCRIBED = re.compile(r"(.*?)(# )|(  (?:\S+|-c RECIPE|--cfg job) {2,}|  completion )")
"""Beginning of a line of help, up to its comment or its second column."""
MAPPING = re.compile(r"(  \w+): \{(.+)\}(?:  # (.*))?")
WIDTH = 118  # of lines before their indentation
END = (
    "`alexnet_pl fit -c RECIPE --help` prints that recipe's keys. Start here: alexnet_pl fit -c demo",
    "Exit codes: 0 success, 2 user error, explained in one line, 1 program error, 128 + signal: 130 Ctrl-C, 143 "
    "SIGTERM, 138 SIGUSR1 (158 on macOS). A fit saves last.ckpt first: resume with ckpt_path=last; a second signal "
    "quits at once without saving.",
)
OWN = ("codes.yaml", "_boxes.yaml")  # files of the sections that only these recipes have


def fit_to_terminal(text: str) -> str:
    """Break long lines in a terminal; files and pipes get them whole."""
    return wrap_lines(text, shutil.get_terminal_size().columns) if sys.stdout.isatty() else text


def paragraph_width() -> int:
    """Width of lines of prose: the terminal's, but at most 120 characters, as in files and pipes."""
    return min(120, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 120


def wrap_lines(text: str, width: int) -> str:
    """Break lines of more than `width` characters in their description, which goes on below its first line."""
    return "\n".join(part for line in text.splitlines() for part in wrap_line(line, width))


def wrap_line(line: str, width: int) -> list[str]:
    described = DESCRIBED.match(line)
    if len(line) <= width or not described:  # a command to copy stays whole
        return [line]
    before, mark, column = described.groups(default="")
    indent = " " * min(len(before + column), width // 2) + mark
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def usage() -> str:
    of_recipes, of_runs = (
        "\n".join(f"  {name:<10} {one.help}" for name, one in COMMANDS.items() if one.takes == kind)
        for kind in ("recipe", "runs")
    )
    width, column = paragraph_width(), " " * 23
    fill = partial(textwrap.fill, width=width, break_long_words=False, break_on_hyphens=False)
    recipes = fill(", ".join(recipe_names()), initial_indent=column, subsequent_indent=column)
    end = "\n".join(map(fill, END))
    return f"""usage: alexnet_pl COMMAND -c RECIPE [key=value ...] [hydra flags]
       alexnet_pl COMMAND RUN [RUN ...] [key=value ...]
       alexnet_pl COMMAND --help
       alexnet_pl --version

{of_recipes}

{of_runs}

  completion bash, zsh or fish: a script that completes commands, recipes and keys

  -c RECIPE   a YAML file, the name of a shipped recipe, or a run folder (uses its config); -c may be left out
              shipped: {recipes.lstrip()}
  -m          sweep: `seed=1,2,3` runs three jobs, one after the other or by hydra/launcher=…
  --cfg job   print the composed config and run nothing

{end}"""


def command_help(command: Command) -> str:
    words = "[-c RECIPE]" if command.default_recipe else "-c RECIPE"
    if command.needs_checkpoint:
        words = "RUN"
    elif command.takes == "runs":
        words = command.operands
    examples = "\n".join(f"  alexnet_pl {example}" for example in command.examples)
    parts = [
        f"usage: alexnet_pl {command.name} {words} [key=value ...]",
        f"{command.help[0].upper()}{command.help[1:]}.",
        f"Examples:\n{examples}",
        f"Config keys:\n{option_lines(command.options) if command.options else config_lines(command)}",
    ]
    if command.takes == "recipe":
        parts.append(f"`alexnet_pl {command.name} -c RECIPE --help` prints these with the recipe's values.")
    if command.needs_checkpoint:
        parts.append("RUN is a run folder; `-c RECIPE` takes the newest run of that recipe.")
    return "\n\n".join(parts)


def option_lines(options: type[Any]) -> str:
    lines = []
    for one in fields(options):
        value = "…" if one.default is None else one.default
        typed = format_override(option_key(one), value)
        lines.append(f"  {typed:<20} {one.metadata['help']}")
    return "\n".join(lines)


def config_lines(command: Command) -> str:
    """Sections of the config that the command reads, with the comments of configs/*.yaml."""
    shared = [sections((SHIPPED / name).read_text(encoding="utf-8")) for name in SHARED]
    own = {name: text for file in OWN for name, text in sections((SHIPPED / file).read_text(encoding="utf-8")).items()}
    lines: list[str] = []
    for key in command.keys:
        section, _, name = key.partition(".")
        first, *more = [text[section].splitlines() for text in shared if section in text] or [own[section].splitlines()]
        merged = merge_mappings([*first, *(line for text in more for line in text[1:])])  # one heading for all files
        lines += [merged[0], *(line for line in merged[1:] if line.startswith(f"  {name}:") or not name)]
    return textwrap.indent("\n".join(lines), "  ")


def merge_mappings(lines: list[str]) -> list[str]:
    """List a key once whose mapping `{…}` is spread over several files, with all its entries and one comment."""
    merged: dict[str, list[str]] = {}
    key = ""
    for line in lines:
        if line.lstrip().startswith("#") and key:
            merged[key].append(line)
            continue
        new = MAPPING.fullmatch(line)
        key = new[1] if new else line
        merged[key] = join_mappings(merged[key], new) if new and key in merged else [line]
    return [line for entry in merged.values() for line in entry]


def join_mappings(entry: list[str], new: re.Match[str]) -> list[str]:
    """Lines of a key with the entries of two mappings; `entry`: lines of the first, whose comment is kept."""
    first = MAPPING.fullmatch(entry[0])
    assert first
    comment = " ".join(filter(None, (line.partition("# ")[2] for line in entry))) or new[3]
    text = f"{new[1]}: {{{first[2]}, {new[2]}}}{f'  # {comment}' if comment else ''}"
    indent = " " * (len(new[1]) + 2) + "# "
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def sections(text: str) -> dict[str, str]:
    """Text of each top-level key of a YAML file."""
    parts = re.split(r"^(?=\w+:)", text, flags=re.MULTILINE)
    return {part.split(":", 1)[0]: strip_comment(part) for part in parts if re.match(r"\w+:", part)}


def strip_comment(part: str) -> str:
    """Drop blank lines and the unindented comment that introduces the next section."""
    return "\n".join(line for line in part.splitlines() if line.strip() and not line.startswith("#"))
