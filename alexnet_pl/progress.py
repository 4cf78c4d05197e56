"""Progress bars: the time left, and counters of items whose number is not known."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TypeVar

from rich.progress import Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

Item = TypeVar("Item")
PER_UPDATE = 256  # items


class TimeColumn(TimeRemainingColumn):
    """Time left, `0:04:06 left`; at the end the time taken, `0:05:12`."""

    def __init__(self) -> None:
        super().__init__(elapsed_when_finished=True)

    def render(self, task: Task) -> Text:
        time = super().render(task)
        return time if task.finished else time + Text(" left", style=time.style)


@contextmanager
def show_count(what: str) -> Iterator[Callable[[], None]]:
    """Yield a function, and show on a terminal how often it has been called so far: `1,024 images`."""
    text = TextColumn("{task.completed:,.0f} {task.description}")
    with Progress(text, TimeElapsedColumn(), transient=True, disable=not sys.stdout.isatty()) as bar:
        task, numbers = bar.add_task(what, total=None), count(1)

        def add_one() -> None:
            if not (number := next(numbers)) % PER_UPDATE:
                bar.update(task, completed=number)

        yield add_one


def counted(items: Iterable[Item], what: str) -> Iterator[Item]:
    """Pass items on and show how many there have been."""
    with show_count(what) as add_one:
        for item in items:
            add_one()
            yield item
