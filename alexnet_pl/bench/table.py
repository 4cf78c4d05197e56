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
    told = found["machine"]
    console.print(f"{told['cpu']}, {told['cores']} cores, GPU: {told['gpu'] or 'none'}, torch {told['torch']}")
    missing = ", ".join(found["not_run"]) or "-"
    console.print(f"photographs: {found['photographs']}; not run: {missing}")
    stage = found["stages"]
    title = f"a step of {stage['batch_size']} images, {stage['device']}, {stage['precision']}"
    rows = [
        (name, f"{value:,.1f}", f"{stage['floors'][name]:,.1f}" if name in stage["floors"] else "")
        for name, value in stage["milliseconds"].items()
    ]
    console.print(table(title, ("stage", "ms", "floor, ms"), rows))
    rates = [(name, f"{rate['median']:,.0f}") for name, rate in found["feeding"].items()]
    console.print(table("whole images to the network", ("", "images/s"), rates))
    steps = [(name, f"{each['images_per_second']:,.1f}") for name, each in found["steps"].items()]
    console.print(table("training steps", ("", "images/s"), steps))
    norms = [(name, f"{1e3 * each['seconds']:,.0f}") for name, each in found["norms"].items()]
    console.print(table("response normalisation, forward and backward", ("", "ms"), norms))
    costs = [(name, f"{rate['median']:,.0f}") for name, rate in found["trainer"].items()]
    console.print(table("the trainer beyond the bare loop", ("steps", "µs a step"), costs))
    console.print(table("ratios", ("", "times"), [(name, f"{ratio:,.2f}") for name, ratio in found["ratios"].items()]))
    rate, hours = found["projected"].values()
    console.print(f"{rate:,.0f} images/s: 90 epochs of ILSVRC-2012 in {hours:,.1f} h")


def table(title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    made = Table(title=title)
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number else "left")
    for row in rows:
        made.add_row(*row)
    return made
