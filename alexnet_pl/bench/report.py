"""Tables of `bench` for the terminal, and docs/benchmarks.md from its JSON files."""

import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tabulate import tabulate

from alexnet_pl.bench.targets import check_targets
from alexnet_pl.config.migration import migrate
from alexnet_pl.errors import UserError


def show_preparing(found: dict[str, Any]) -> None:
    console = Console(soft_wrap=True)
    host = found["machine"]
    console.print(f"{host['cpu']}, {host['cores']} cores, load {host['load']}; photographs: {found['photographs']}")
    rates = found["images_per_second"]
    table = Table(title=f"{found['images']:,} photographs to 256 × 256, {found['workers']} workers")
    for heading in ("", "images/s", "slowest to fastest round"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, rate in rates.items():
        table.add_row(name, f"{rate['median']:,.0f}", f"{rate['low']:,.0f} to {rate['high']:,.0f}")
    console.print(table)
    for name, ratio in found["ratios"].items():
        console.print(f"{name}: {ratio:.2f}")
    console.print(f"peak memory of the command, two workers: {found['peak_memory_gb']:.2f} GB")
    for name, times in found["hours"].items():
        spans = ", ".join(f"{format_duration(hours)} on {cores}" for cores, hours in times.items())
        console.print(f"{name} at this rate a core: {spans} cores")


def format_duration(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:,.0f} min"


def show_training(found: dict[str, Any]) -> None:
    console = Console(soft_wrap=True)
    host, stage = found["machine"], found["stages"]
    console.print(f"{host['cpu']}, {host['cores']} cores, GPU: {host['gpu'] or 'none'}, torch {host['torch']}")
    console.print(f"photographs: {found['photographs']}; medians of {found['rounds']} rounds, in turn")
    title = f"A step of {stage['batch_size']} images: {stage['device']}, {stage['precision']}"
    console.print(table(title, ("stage", "ms", "floor, ms"), stage_rows(stage)))
    console.print(table("Images to the network", ("", "images/s", "slowest to fastest round"), loader_rows(found)))
    console.print(table("Training steps", ("", "ms", "images/s"), step_rows(found["steps"], stage["batch_size"])))
    for size, each in found.get("batches", {}).items():
        console.print(table(f"Training steps, batches of {size}", ("", "ms", "images/s"), step_rows(each, int(size))))
    console.print(
        table("A store that is not in memory yet", ("", "images/s", "slowest to fastest round"), ranged(found["cold"]))
    )
    norms = [(name, f"{1e3 * seconds:,.1f}") for name, seconds in found["norms"].items()]
    console.print(table("Response normalisation, forward and backward", ("", "ms"), norms))
    costs = [(name, f"{rate['median']:,.0f}") for name, rate in found["trainer"].items()]
    console.print(table("The trainer beyond the bare loop", ("", "µs a step"), costs))
    console.print(table("What is wanted", ("", "found", "wanted", ""), target_rows(found["gates"])))
    for line in (*fit_lines(found), *projection_lines(found)):
        console.print(line)


def stage_rows(stage: dict[str, Any]) -> list[tuple[str, ...]]:
    floors = stage["floors"]
    return [
        (name, f"{value:,.1f}", f"{floors[name]:,.1f}" if name in floors else "")
        for name, value in stage["milliseconds"].items()
    ]


def loader_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [*ranged(found["feeding"]), *((name, "not run", reason) for name, reason in found["not_run"].items())]


def ranged(rates: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, f"{each['median']:,.0f}", f"{each['low']:,.0f} to {each['high']:,.0f}") for name, each in rates.items()
    ]


def step_rows(steps: dict[str, float], size: int) -> list[tuple[str, ...]]:
    return [(name, f"{1e3 * seconds:,.1f}", f"{size / seconds:,.0f}") for name, seconds in steps.items()]


def target_rows(gates: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    verdicts = {True: "met", False: "not met", None: ""}
    return [
        (
            each["what"],
            "not run" if each["found"] is None else f"{each['found']:,.2f} {each['unit']}",
            f"{'at least' if each['least'] else 'at most'} {each['bound']:g}",
            verdicts[each["met"]],
        )
        for each in gates
    ]


def fit_lines(found: dict[str, Any]) -> list[str]:
    fit = found["fit"]
    lines = [f"fit of {fit['images']}: {fit['images_per_second']:,.1f} images/s over {fit['steps']:,} steps"]
    if fit["shares"]:
        lines.append("  " + ", ".join(f"{name} {share:.1f} %" for name, share in fit["shares"].items()))
    idle = "no GPU" if fit["idle_share"] is None else f"{100 * fit['idle_share']:.0f} % of the time, under the profiler"
    return [*lines, f"GPU idle: {idle}"]


def projection_lines(found: dict[str, Any]) -> list[str]:
    """Time for the paper's 90 epochs at the rate of the measured fit."""
    then = found["projected"]
    used = " and ".join(f"{hours:,.1f} kWh of the {name}" for name, hours in then["kilowatt_hours"].items())
    return [
        f"90 epochs of ILSVRC-2012 at that rate: {format_duration(then['hours'])}",
        f"their energy: {used or 'not measured, as nothing here counts it'}",
    ]


def table(title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    made = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number else "left")
    for row in rows:
        made.add_row(*row)
    return made


HEAD = """# Benchmarks

Written by `python -m alexnet_pl bench report json={names}` from what `bench` measured; no number is typed.
Contenders take turns, once a round, and the median of the rounds counts: ratios of one run can be trusted on a machine
that others use too, the rates themselves less. Every contender has its own defaults; ours are the recipe's. Of a loader
whose rounds differ by more than twice, a gate takes the fastest.
"""
GRAPHED = " A step of ours by itself is a CUDA graph; stock PyTorch computes convolutions in TF32, its default."
NO_GPU = "On a GPU: not yet measured."


def write_benchmarks(paths: list[Path], to: Path) -> None:
    found = [read_measurements(path) for path in paths]
    names = ",".join(os.path.relpath(path) for path in paths)
    parts = [HEAD.format(names=f"[{names}]" if len(paths) > 1 else names)]
    for path, each in zip(paths, found, strict=True):
        parts.append(
            training_section(each, path, to.absolute().parent) if each["stage"] == "train" else prepare_section(each)
        )
    if not any(each["machine"]["gpu"] for each in found):
        parts.append(NO_GPU + "\n")
    to.write_text("\n".join(parts))


def read_measurements(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        if found["stage"] not in ("train", "prepare"):
            raise ValueError(f"stage {found['stage']}")
        return found
    except OSError as error:
        raise UserError(f"bench.output={path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"bench.output={path}: no figures of bench ({error})") from error


def machine_line(found: dict[str, Any]) -> str:
    host = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    return (
        f"{host['cpu']}, {host['cores']} cores, GPU: {host['gpu'] or 'none'}, load {host['load']} before it began; "
        f"Python {host['python']}, {versions}. Photographs: {found['photographs']}."
    )


def prepare_section(found: dict[str, Any]) -> str:
    rates = [
        (name, f"{rate['median']:,.0f}", f"{rate['low']:,.0f} to {rate['high']:,.0f}")
        for name, rate in found["images_per_second"].items()
    ]
    ratios = [(name, f"{ratio:.2f}") for name, ratio in found["ratios"].items()]
    return "\n".join(
        [
            f"## Preparing a store: {found['machine']['cpu']}\n",
            machine_line(found) + f" {found['images']:,} of them to 256 × 256, {found['workers']} workers.\n",
            markdown_rows(("", "images/s", "slowest to fastest round"), rates),
            markdown_rows(("ratio", "times"), ratios),
        ]
    )


def training_section(found: dict[str, Any], path: Path, base: Path) -> str:
    host, stage = found["machine"], found["stages"]
    size, picture = stage["batch_size"], path.with_suffix(".png")
    parts = [
        f"## Training: {host['gpu'] or host['cpu']}\n",
        f"{machine_line(found)} {found['rounds']} rounds.\n",
        f"Ours: {settings(found['recipe'])}; {stage['precision']} unless said otherwise. Stock PyTorch: the same "
        "network of PyTorch's own functions, eager, channels first, `torch.optim.SGD`, its memory as PyTorch has it. "
        f"Loaders: {host['cores']} worker processes or threads each.{GRAPHED if host['gpu'] else ''}\n",
        markdown_rows(("gate", "found", "wanted", ""), target_rows(check_targets(found))),
        f"![rates and stages]({os.path.relpath(picture, base)})\n" if picture.is_file() else "",
        f"A step of {size} images, {stage['device']}, {stage['precision']}, beside the floor that bytes over bandwidth "
        "and operations over the rate of a large product set, both measured in the same run:\n",
        markdown_rows(("stage", "ms", "floor, ms"), stage_rows(stage)),
        markdown_rows(("images to the network", "images/s", "slowest to fastest round"), loader_rows(found)),
        markdown_rows(
            ("a store that is not in memory yet", "images/s", "slowest to fastest round"), ranged(found["cold"])
        ),
        markdown_rows((f"step of {size} images", "ms", "images/s"), step_rows(found["steps"], size)),
        *(
            markdown_rows((f"step of {name} images", "ms", "images/s"), step_rows(each, int(name)))
            for name, each in found.get("batches", {}).items()
        ),
        markdown_rows(
            ("response normalisation", "ms"), [(name, f"{1e3 * s:,.1f}") for name, s in found["norms"].items()]
        ),
        markdown_rows(("the trainer beyond the bare loop", "µs a step"), costs(found)),
        "\n".join(f"- {line.strip()}" for line in (*fit_lines(found), *projection_lines(found))) + "\n",
    ]
    return "\n".join(part for part in parts if part)


def costs(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [(name, f"{rate['median']:,.0f}") for name, rate in found["trainer"].items()]


def settings(recipe: dict[str, Any]) -> str:
    """Settings of the recipe that decide its speed."""
    return ", ".join(
        f"`performance.{key}={str(value).lower()}`" for key, value in migrate(recipe)["performance"].items()
    )


def markdown_rows(headings: tuple[str, ...], found: list[tuple[str, ...]]) -> str:
    align = ("left", *("right" for _ in headings[1:]))
    return tabulate(found, headings, "pipe", disable_numparse=True, colalign=align) + "\n"
