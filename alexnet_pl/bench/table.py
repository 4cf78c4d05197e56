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
