"""Report of `bench`: tables for the terminal, and docs/benchmarks.md from its JSON files."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from alexnet_pl.bench.targets import check_targets
from alexnet_pl.config.migration import migrate
from alexnet_pl.errors import UserError
from alexnet_pl.files import write_page
from alexnet_pl.json_records import JsonObject
from alexnet_pl.table import Table, print_tables, to_markdown

RATES = ["", "images/s", "slowest to fastest round"]
ROOFLINE = (
    "Roofline: bytes over bandwidth, and operations over the rate of a large matrix product, both measured in the same "
    "run. An empty cell: none, or not measured."
)


def number_table(title: str, header: list[str], rows: Iterable[Sequence[str]], *notes: str) -> Table:
    """Table whose columns after the first hold numbers."""
    return Table(title, header, list(rows), notes, "l" + "r" * (len(header) - 1))


def print_prepare_report(measured: JsonObject) -> None:
    """Print the results of `measure_prepare`."""
    host = measured["machine"]
    print(f"{host['cpu']}, {host['cores']} cores, load {host['load']}; photographs: {measured['photographs']}")
    print_tables(prepare_tables(measured))
    peak = measured["peak_memory_gb"]
    memory = (
        "not measured (the command failed, or this system does not report it)" if peak is None else f"{peak:.2f} GB"
    )
    print(f"peak memory of the command, two workers: {memory}")
    for name, times in measured["hours"].items():
        spans = ", ".join(f"{format_duration(hours)} on {cores}" for cores, hours in times.items())
        print(f"{name} at this rate per core: {spans} cores")


def prepare_tables(measured: JsonObject) -> list[Table]:
    title = f"{measured['images']:,} photographs to 256 × 256, {measured['workers']} workers"
    ratios = ([name, f"{ratio:.2f}"] for name, ratio in measured["ratios"].items())
    return [
        number_table(title, RATES, rate_rows(measured["images_per_second"])),
        number_table("Ratios", ["", "times"], ratios),
    ]


def format_duration(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:,.0f} min"


def print_training_report(measured: JsonObject) -> None:
    """Print the results of `measure_training`."""
    host = measured["machine"]
    print(f"{host['cpu']}, {host['cores']} cores, GPU: {host['gpu'] or 'none'}, torch {host['torch']}")
    print(f"photographs: {measured['photographs']}; medians of {measured['rounds']} interleaved rounds")
    print_tables(training_tables(measured))
    print("\n".join((*fit_lines(measured), *projection_lines(measured))))


def training_tables(measured: JsonObject) -> list[Table]:
    stage, norms = measured["stages"], measured["norms"]
    batches = {stage["batch_size"]: measured["steps"], **measured.get("batches", {})}
    overhead = [(name, f"{rate['median']:,.0f}") for name, rate in measured["trainer"].items()]
    return [
        number_table("Targets", ["", "measured", "target", ""], target_rows(check_targets(measured))),
        number_table(
            f"Stages of a step of {stage['batch_size']} images: {stage['device']}, {stage['precision']}",
            ["stage", "ms", "roofline, ms"],
            stage_rows(stage),
            ROOFLINE,
        ),
        number_table("Images to the network", RATES, loader_rows(measured)),
        number_table("A store outside the page cache", RATES, cold_rows(measured["cold"])),
        *(
            number_table(f"A step of {size} images", ["", "ms", "images/s"], step_rows(steps, int(size)))
            for size, steps in batches.items()
        ),
        number_table(
            "Response normalization, forward and backward",
            ["", "ms"],
            [(name, f"{1e3 * seconds:,.1f}") for name, seconds in norms.items()],
        ),
        *(
            [number_table("Overhead of the trainer over a bare loop", ["", "µs per step"], overhead)]
            if overhead
            else []
        ),
    ]


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


HEAD = """# Benchmarks

Written by `python -m alexnet_pl bench report 'bench.output={names}'` from the JSON files of `bench`. The candidates run
in turn, once per round, and the median over the rounds counts: on a shared machine, ratios within one run are reliable,
the rates themselves less so. Every candidate has its own defaults; ours are the recipe's. If a loader's rounds differ
by more than a factor of two, targets use its fastest round.
"""
GPU_NOTE = " Our steps run as a CUDA graph unless noted; stock PyTorch computes convolutions in TF32, its default."
NO_GPU = "On a GPU: not yet measured."


def write_benchmarks(paths: list[Path], to: Path, picture_lines: Callable[[str, str, str], list[str]]) -> None:
    """Write docs/benchmarks.md from JSON files of `bench`, one section each. Raises UserError for other files.

    `picture_lines`: Markdown of the chart beside a file, from its folder, its name and words for it.
    """
    measurements = [read_measurements(path) for path in paths]
    names = ",".join(os.path.relpath(path) for path in paths)
    parts = [HEAD.format(names=f"[{names}]" if len(paths) > 1 else names)]
    for path, each in zip(paths, measurements, strict=True):
        if each["suite"] == "train":
            folder = os.path.relpath(path.absolute().parent, to.absolute().parent)
            chart = "\n".join(picture_lines(folder, path.stem, "rates and stages"))
            parts.append(training_section(each, chart))
        else:
            parts.append(prepare_section(each))
    if not any(each["machine"]["gpu"] for each in measurements):
        parts.append(NO_GPU + "\n")
    write_page(to, "\n".join(parts))


def read_measurements(path: Path) -> JsonObject:
    try:
        measured = json.loads(path.read_text(encoding="utf-8"))
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
    heading = f"## Preparing a store: {measured['machine']['cpu']}"
    return "\n\n".join([heading, machine_line(measured), to_markdown(prepare_tables(measured), 3)])


def training_section(measured: JsonObject, chart: str) -> str:
    host = measured["machine"]
    parts = [
        f"## Training: {host['gpu'] or host['cpu']}",
        f"{machine_line(measured)} {measured['rounds']} rounds.",
        f"Ours: {describe_performance(measured['recipe'])}; {measured['stages']['precision']} unless noted. Stock "
        "PyTorch: the same network with PyTorch's functions, eager, channels first, `torch.optim.SGD`, PyTorch's "
        f"memory settings. Loaders: {host['cores']} worker processes or threads each.{GPU_NOTE if host['gpu'] else ''}",
        chart,
        to_markdown(training_tables(measured), 3).rstrip(),
        "\n".join(f"- {line.strip()}" for line in (*fit_lines(measured), *projection_lines(measured))) + "\n",
    ]
    return "\n\n".join(parts)


def describe_performance(recipe: JsonObject) -> str:
    """The recipe's `performance` settings as Markdown code."""
    return ", ".join(
        f"`performance.{key}={str(value).lower()}`" for key, value in migrate(recipe)["performance"].items()
    )
