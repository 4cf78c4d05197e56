"""Progress: bars and counters on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TypeVar

from rich.progress import Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import track as draw_bar
from rich.text import Text

from alexnet_pl.console import progress

Item = TypeVar("Item")
PER_UPDATE = 256  # items
INTERVAL = 60.0  # seconds between two lines in a log


def is_terminal() -> bool:
    """Whether stdout is a terminal. It may be closed, None or an object of another program, such as a notebook."""
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):
        return False


class TimeColumn(TimeRemainingColumn):
    """Time left, `0:04:06 left`; at the end the time taken, `0:05:12`."""

    def __init__(self) -> None:
        super().__init__(elapsed_when_finished=True)

    def render(self, task: Task) -> Text:
        time = super().render(task)
        return time if task.finished else time + Text(" left", style=time.style)


class ProgressLines:
    """Lines in a log, `verify train: 12 of 1,252, 0.2/s …`, one every `INTERVAL` seconds; none on a terminal, which has
    a bar. `total`: number of items, None if it is not known; `done`: number of those done by an earlier call."""

    def __init__(self, what: str, total: int | None, done: int = 0) -> None:
        self.what, self.of, self.before = what, "" if total is None else f" of {total:,}", done
        self.start = self.last = time.monotonic()

    def update(self, done: int) -> None:
        """Print a line if it is time: `done` items have been completed."""
        now = time.monotonic()
        if now - self.last < INTERVAL or is_terminal():
            return
        self.last, rate = now, (done - self.before) / (now - self.start)
        progress(f"{self.what}: {done:,}{self.of}, {rate:,.{0 if rate >= 10 else 1}f}/s")


def track(items: Iterable[Item], what: str, total: int, *, transient: bool = True) -> Iterator[Item]:
    """Pass items on, of which there are `total`, and show how many are done. `transient`: a terminal's bar disappears
    at the end."""
    if is_terminal():
        yield from draw_bar(items, what, total, transient=transient)
        return
    lines = ProgressLines(what, total)
    for number, item in enumerate(items):
        lines.update(number)
        yield item


@contextmanager
def show_count(what: str) -> Iterator[Callable[[], None]]:
    """Yield a function, and show how often it has been called so far: `1,024 images`."""
    lines = ProgressLines(what, None)
    text = TextColumn("{task.completed:,.0f} {task.description}")
    with Progress(text, TimeElapsedColumn(), transient=True, disable=not is_terminal()) as bar:
        task, numbers = bar.add_task(what, total=None), count(1)

        def add_one() -> None:
            if not (number := next(numbers)) % PER_UPDATE:
                bar.update(task, completed=number)
                lines.update(number)

        yield add_one


def counted(items: Iterable[Item], what: str) -> Iterator[Item]:
    """Pass items on and show how many there have been."""
    with show_count(what) as add_one:
        for item in items:
            add_one()
            yield item
