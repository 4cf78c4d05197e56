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

- `RUN` is a run folder, such as `runs/demo/latest`.
- `RECIPE` is a shipped [recipe](recipes.md)'s name or file, a file of your own, or a run folder, whose config is used
  again. With a command on a trained network, such as `test`, it means the newest run of that recipe. `-c` may be left
  out, except with `bench`.
- `key=value` sets a [config key](config.md), or an option of the commands that have a table of them below.
- `-m` makes a [sweep](../how-to/sweeps.md) of comma-separated values.
- `--cfg job` prints the composed config and runs nothing; `--help` after the recipe prints its keys.
- `--version` prints the version. `completion bash`, `zsh` or `fish` prints a script that completes commands, recipes
  and keys.

A command ends with one of these [exit codes](exit-codes.md); the files that it writes are in [File formats](files.md).
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
