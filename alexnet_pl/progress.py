"""Columns of progress bars."""

from rich.progress import Task, TimeRemainingColumn
from rich.text import Text


class TimeColumn(TimeRemainingColumn):
    """Time left, `0:04:06 left`; at the end the time taken, `0:05:12`."""

    def __init__(self) -> None:
        super().__init__(elapsed_when_finished=True)

    def render(self, task: Task) -> Text:
        time = super().render(task)
        return time if task.finished else time + Text(" left", style=time.style)
