"""What was measured, for a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table


def show_preparing(found: dict[str, Any]) -> None:
    console = Console(soft_wrap=True)
    told = found["machine"]
    console.print(f"{told['cpu']}, {told['cores']} cores, load {told['load']}; photographs: {found['photographs']}")
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
        spans = ", ".join(f"{span(hours)} on {cores}" for cores, hours in times.items())
        console.print(f"{name} at this rate a core: {spans} cores")


def span(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:,.0f} min"


def show_training(found: dict[str, Any]) -> None:
    console = Console(soft_wrap=True)
    told, stage = found["machine"], found["stages"]
    console.print(f"{told['cpu']}, {told['cores']} cores, GPU: {told['gpu'] or 'none'}, torch {told['torch']}")
    console.print(f"photographs: {found['photographs']}; medians of {found['rounds']} rounds, in turn")
    title = f"A step of {stage['batch_size']} images: {stage['device']}, {stage['precision']}"
    console.print(table(title, ("stage", "ms", "floor, ms"), staged(stage)))
    console.print(table("Images to the network", ("", "images/s", "slowest to fastest round"), fed(found)))
    console.print(table("Training steps", ("", "ms", "images/s"), stepped(found["steps"], stage["batch_size"])))
    for size, each in found.get("batches", {}).items():
        console.print(table(f"Training steps, batches of {size}", ("", "ms", "images/s"), stepped(each, int(size))))
    console.print(
        table("A store that is not in memory yet", ("", "images/s", "slowest to fastest round"), ranged(found["cold"]))
    )
    norms = [(name, f"{1e3 * seconds:,.1f}") for name, seconds in found["norms"].items()]
    console.print(table("Response normalisation, forward and backward", ("", "ms"), norms))
    costs = [(name, f"{rate['median']:,.0f}") for name, rate in found["trainer"].items()]
    console.print(table("The trainer beyond the bare loop", ("", "µs a step"), costs))
    console.print(table("What is wanted", ("", "found", "wanted", ""), gated(found["gates"])))
    for line in (*ended(found), *projected(found)):
        console.print(line)


def staged(stage: dict[str, Any]) -> list[tuple[str, ...]]:
    floors = stage["floors"]
    return [
        (name, f"{value:,.1f}", f"{floors[name]:,.1f}" if name in floors else "")
        for name, value in stage["milliseconds"].items()
    ]


def fed(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [*ranged(found["feeding"]), *((name, "not run", reason) for name, reason in found["not_run"].items())]


def ranged(rates: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (name, f"{each['median']:,.0f}", f"{each['low']:,.0f} to {each['high']:,.0f}") for name, each in rates.items()
    ]


def stepped(steps: dict[str, float], size: int) -> list[tuple[str, ...]]:
    return [(name, f"{1e3 * seconds:,.1f}", f"{size / seconds:,.0f}") for name, seconds in steps.items()]


def gated(gates: list[dict[str, Any]]) -> list[tuple[str, ...]]:
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


def ended(found: dict[str, Any]) -> list[str]:
    fit = found["fit"]
    lines = [f"fit of {fit['images']}: {fit['images_per_second']:,.1f} images/s over {fit['steps']:,} steps"]
    if fit["shares"]:
        lines.append("  " + ", ".join(f"{name} {share:.1f} %" for name, share in fit["shares"].items()))
    idle = "no GPU" if fit["idle_share"] is None else f"{100 * fit['idle_share']:.0f} % of the time, under the profiler"
    return [*lines, f"GPU idle: {idle}"]


def projected(found: dict[str, Any]) -> list[str]:
    """What the rate of the fit means for the paper's 90 epochs."""
    then = found["projected"]
    used = " and ".join(f"{hours:,.1f} kWh of the {name}" for name, hours in then["kilowatt_hours"].items())
    return [
        f"90 epochs of ILSVRC-2012 at that rate: {span(then['hours'])}",
        f"their energy: {used or 'not measured, as nothing here counts it'}",
    ]


def table(title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    made = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number else "left")
    for row in rows:
        made.add_row(*row)
    return made
