"""docs/reference/commands.md, from the registry of commands."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from alexnet_pl.commands import run_options
from alexnet_pl.commands.registry import COMMANDS, Command
from pages.markdown import NOTE, code, table

COMMANDS_HEAD = """\
    python -m alexnet_pl COMMAND -c RECIPE [key=value ...]
    python -m alexnet_pl COMMAND RUN [RUN ...] [key=value ...]

`RECIPE` is a shipped recipe's name or file, a file of your own, or a run folder, whose config is used again. `RUN` is
a run folder. `-m` makes a sweep of comma-separated values; `--cfg job` prints the composed config and runs nothing;
`--help` after the recipe prints its keys. `completion bash`, `zsh` or `fish` prints a script that completes commands,
recipes and keys; `--version` prints the version.
"""


def commands_page() -> str:
    parts = [NOTE + "# Commands\n", COMMANDS_HEAD, table(("command", "what it does"), command_rows())]
    return "\n".join([*parts, *map(command_section, COMMANDS.values())])


def command_rows() -> Iterator[tuple[str, str]]:
    for name, command in COMMANDS.items():
        yield f"[`{name}`](#{name})", command.help


def command_section(command: Command) -> str:
    parts = [f"## {command.name}\n", f"{command.help[0].upper()}{command.help[1:].rstrip('.')}.\n"]
    if command.default_recipe and not command.default_recipe.startswith("_"):
        parts.append(f"Default recipe: `{Path(command.default_recipe).stem}`.\n")
    if command.options:
        fields = dataclasses.fields(command.options)
        rows = [(f"`{run_options.option_key(one)}`", f"`{value(one.default)}`", one.metadata["help"]) for one in fields]
        parts.append(table(("option", "default", "meaning"), rows))
    if command.keys:
        parts.append("Keys it reads: " + ", ".join(f"`{key}`" for key in command.keys) + ".\n")
    if command.examples:
        parts.append(code("\n".join(f"python -m alexnet_pl {line}" for line in command.examples)))
    return "\n".join(parts)


def value(default: object) -> str:
    return {None: "null", True: "true", False: "false"}.get(default, str(default))  # type: ignore[call-overload]
