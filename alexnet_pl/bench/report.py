"""Report of `bench`: tables for the terminal, and docs/benchmarks.md from its JSON files."""

import json
import os
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tabulate import tabulate

from alexnet_pl.bench.targets import check_targets
from alexnet_pl.config.migration import migrate
from alexnet_pl.errors import UserError
from alexnet_pl.files import JsonObject


def print_prepare_tables(measured: JsonObject) -> None:
    """Print the results of `measure_prepare`."""
    console = Console(soft_wrap=True)
    host = measured["machine"]
    console.print(f"{host['cpu']}, {host['cores']} cores, load {host['load']}; photographs: {measured['photographs']}")
    rates = measured["images_per_second"]
    table = Table(title=f"{measured['images']:,} photographs to 256 × 256, {measured['workers']} workers")
    for heading in ("", "images/s", "slowest to fastest round"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, rate in rates.items():
        table.add_row(name, f"{rate['median']:,.0f}", f"{rate['low']:,.0f} to {rate['high']:,.0f}")
    console.print(table)
    for name, ratio in measured["ratios"].items():
        console.print(f"{name}: {ratio:.2f}")
    peak = measured["peak_memory_gb"]
    memory = "not measured on this system" if peak is None else f"{peak:.2f} GB"
    console.print(f"peak memory of the command, two workers: {memory}")
    for name, times in measured["hours"].items():
        spans = ", ".join(f"{format_duration(hours)} on {cores}" for cores, hours in times.items())
        console.print(f"{name} at this rate per core: {spans} cores")


def format_duration(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:,.0f} min"


def print_training_tables(measured: JsonObject) -> None:
    """Print the results of `measure_training`."""
    console = Console(soft_wrap=True)
    host, stage = measured["machine"], measured["stages"]
    console.print(f"{host['cpu']}, {host['cores']} cores, GPU: {host['gpu'] or 'none'}, torch {host['torch']}")
    console.print(f"photographs: {measured['photographs']}; medians of {measured['rounds']} interleaved rounds")
    title = f"A step of {stage['batch_size']} images: {stage['device']}, {stage['precision']}"
    console.print(make_rich_table(title, ("stage", "ms", "roofline, ms"), stage_rows(stage)))
    console.print(
        make_rich_table("Images to the network", ("", "images/s", "slowest to fastest round"), loader_rows(measured))
    )
    console.print(
        make_rich_table("Training steps", ("", "ms", "images/s"), step_rows(measured["steps"], stage["batch_size"]))
    )
    for size, times in measured.get("batches", {}).items():
        console.print(
            make_rich_table(f"Training steps, batches of {size}", ("", "ms", "images/s"), step_rows(times, int(size)))
        )
    console.print(
        make_rich_table(
            "A store outside the page cache",
            ("", "images/s", "slowest to fastest round"),
            cold_rows(measured["cold"]),
        )
    )
    norms = [(name, f"{1e3 * seconds:,.1f}") for name, seconds in measured["norms"].items()]
    console.print(make_rich_table("Response normalization, forward and backward", ("", "ms"), norms))
    if costs := overhead_rows(measured):
        console.print(make_rich_table("Overhead of the trainer over a bare loop", ("", "µs per step"), costs))
    console.print(make_rich_table("Targets", ("", "measured", "target", ""), target_rows(check_targets(measured))))
    for line in (*fit_lines(measured), *projection_lines(measured)):
        console.print(line)


def stage_rows(stage: JsonObject) -> list[tuple[str, ...]]:
    rooflines = stage["rooflines"]
    return [
        (name, f"{value:,.1f}", f"{rooflines[name]:,.1f}" if name in rooflines else "")
        for name, value in stage["milliseconds"].items()
    ]


def loader_rows(measured: JsonObject) -> list[tuple[str, ...]]:
    return [
        *rate_rows(measured["feeding"]),
        *((name, "not run", reason) for name, reason in measured["not_run"].items()),
    ]


def rate_rows(rates: JsonObject) -> list[tuple[str, ...]]:
    return [
        (name, f"{each['median']:,.0f}", f"{each['low']:,.0f} to {each['high']:,.0f}") for name, each in rates.items()
    ]


def cold_rows(rates: JsonObject) -> list[tuple[str, ...]]:
    return rate_rows(rates) or [("not measured: this system cannot drop files from its page cache", "", "")]


def step_rows(steps: dict[str, float], size: int) -> list[tuple[str, ...]]:
    return [(name, f"{1e3 * seconds:,.1f}", f"{size / seconds:,.0f}") for name, seconds in steps.items()]


def target_rows(targets: list[JsonObject]) -> list[tuple[str, ...]]:
    verdicts = {True: "met", False: "not met", None: ""}
    return [
        (
            each["what"],
            "not run" if each["found"] is None else f"{each['found']:,.2f} {each['unit']}",
            f"{'at least' if each['least'] else 'at most'} {each['bound']:g}",
            verdicts[each["met"]],
        )
        for each in targets
    ]


def fit_lines(measured: JsonObject) -> list[str]:
    fit = measured["fit"]
    lines = [f"fit of {fit['images']}: {fit['images_per_second']:,.1f} images/s over {fit['steps']:,} steps"]
    if fit["shares"]:
        parts = [f"{name} {share:.1f} %" for name, share in fit["shares"].items() if name != "checkpoints"]
        lines.append(f"  {', '.join(parts)} (checkpoints alone {fit['shares'].get('checkpoints', 0):.1f} %)")
    idle = "no GPU" if fit["idle_share"] is None else f"{100 * fit['idle_share']:.0f} % of the time, under the profiler"
    return [*lines, f"GPU idle: {idle}"]


def projection_lines(measured: JsonObject) -> list[str]:
    """Time and energy of the paper's 90 epochs at the rate of the measured fit."""
    projected = measured["projected"]
    energy = " and ".join(f"{hours:,.1f} kWh of the {name}" for name, hours in projected["kilowatt_hours"].items())
    return [
        f"90 epochs of ILSVRC-2012 at that rate: {format_duration(projected['hours'])}",
        f"energy: {energy or 'not measured: this machine has no counter'}",
    ]


def make_rich_table(title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    rich_table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        rich_table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        rich_table.add_row(*row)
    return rich_table


HEAD = """# Benchmarks

Written by `python -m alexnet_pl bench report bench.output={names}` from the JSON files of `bench`. The candidates run
in turn, once per round, and the median over the rounds counts: on a shared machine, ratios within one run are reliable,
the rates themselves less so. Every candidate has its own defaults; ours are the recipe's. If a loader's rounds differ
by more than a factor of two, targets use its fastest round.
"""
GPU_NOTE = " Our steps run as a CUDA graph unless noted; stock PyTorch computes convolutions in TF32, its default."
NO_GPU = "On a GPU: not yet measured."


def write_benchmarks(paths: list[Path], to: Path) -> None:
    """Write docs/benchmarks.md from JSON files of `bench`, one section each. Raises UserError for other files."""
    measurements = [read_measurements(path) for path in paths]
    names = ",".join(os.path.relpath(path) for path in paths)
    parts = [HEAD.format(names=f"[{names}]" if len(paths) > 1 else names)]
    for path, each in zip(paths, measurements, strict=True):
        parts.append(
            training_section(each, path, to.absolute().parent) if each["suite"] == "train" else prepare_section(each)
        )
    if not any(each["machine"]["gpu"] for each in measurements):
        parts.append(NO_GPU + "\n")
    to.write_text("\n".join(parts))


def read_measurements(path: Path) -> JsonObject:
    try:
        measured = json.loads(path.read_text())
        if measured["suite"] not in ("train", "prepare"):
            raise ValueError(f"suite {measured['suite']}")
        return measured
    except OSError as error:
        raise UserError(f"bench.output={path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"bench.output={path}: not written by `bench` ({error})") from error


def machine_line(measured: JsonObject) -> str:
    host = measured["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    return (
        f"{host['cpu']}, {host['cores']} cores, GPU: {host['gpu'] or 'none'}, load {host['load']} before the start; "
        f"Python {host['python']}, {versions}. Photographs: {measured['photographs']}."
    )


def prepare_section(measured: JsonObject) -> str:
    rates = [
        (name, f"{rate['median']:,.0f}", f"{rate['low']:,.0f} to {rate['high']:,.0f}")
        for name, rate in measured["images_per_second"].items()
    ]
    ratios = [(name, f"{ratio:.2f}") for name, ratio in measured["ratios"].items()]
    return "\n".join(
        [
            f"## Preparing a store: {measured['machine']['cpu']}\n",
            machine_line(measured) + f" {measured['images']:,} of them to 256 × 256, {measured['workers']} workers.\n",
            markdown_table(("", "images/s", "slowest to fastest round"), rates),
            markdown_table(("ratio", "times"), ratios),
        ]
    )


def training_section(measured: JsonObject, path: Path, base: Path) -> str:
    host, stage, overhead = measured["machine"], measured["stages"], overhead_rows(measured)
    size, picture = stage["batch_size"], path.with_suffix(".png")
    parts = [
        f"## Training: {host['gpu'] or host['cpu']}\n",
        f"{machine_line(measured)} {measured['rounds']} rounds.\n",
        f"Ours: {describe_performance(measured['recipe'])}; {stage['precision']} unless noted. Stock PyTorch: the same "
        "network with PyTorch's functions, eager, channels first, `torch.optim.SGD`, PyTorch's memory settings. "
        f"Loaders: {host['cores']} worker processes or threads each.{GPU_NOTE if host['gpu'] else ''}\n",
        markdown_table(("target", "measured", "bound", ""), target_rows(check_targets(measured))),
        f"![rates and stages]({os.path.relpath(picture, base)})\n" if picture.is_file() else "",
        f"A step of {size} images, {stage['device']}, {stage['precision']}, beside its roofline: bytes over bandwidth, "
        "and operations over the rate of a large matrix product, both measured in the same run:\n",
        markdown_table(("stage", "ms", "roofline, ms"), stage_rows(stage)),
        markdown_table(("images to the network", "images/s", "slowest to fastest round"), loader_rows(measured)),
        markdown_table(
            ("a store outside the page cache", "images/s", "slowest to fastest round"), cold_rows(measured["cold"])
        ),
        markdown_table((f"step of {size} images", "ms", "images/s"), step_rows(measured["steps"], size)),
        *(
            markdown_table((f"step of {name} images", "ms", "images/s"), step_rows(each, int(name)))
            for name, each in measured.get("batches", {}).items()
        ),
        markdown_table(
            ("response normalization", "ms"), [(name, f"{1e3 * s:,.1f}") for name, s in measured["norms"].items()]
        ),
        *([markdown_table(("overhead of the trainer", "µs per step"), overhead)] if overhead else []),
        "\n".join(f"- {line.strip()}" for line in (*fit_lines(measured), *projection_lines(measured))) + "\n",
    ]
    return "\n".join(part for part in parts if part)


def overhead_rows(measured: JsonObject) -> list[tuple[str, ...]]:
    return [(name, f"{rate['median']:,.0f}") for name, rate in measured["trainer"].items()]


def describe_performance(recipe: JsonObject) -> str:
    """The recipe's `performance` settings as Markdown code."""
    return ", ".join(
        f"`performance.{key}={str(value).lower()}`" for key, value in migrate(recipe)["performance"].items()
    )


def markdown_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    align = ("left", *("right" for _ in headings[1:]))
    return tabulate(rows, headings, "pipe", disable_numparse=True, colalign=align) + "\n"
