"""Causes of failures as text, and `failures/rank<N>.txt`, where a failing process reports its cause to the others.

The first line is the cause, followed by the traceback.
"""

import contextlib
import signal
import traceback
from pathlib import Path

import torch.distributed as dist

from alexnet_pl.errors import UserError
from alexnet_pl.files import write_page
from alexnet_pl.temporary_files import replacing

FAILURES = "failures"  # folder in the run folder
CLOCKS = 60.0  # maximum difference in seconds between the clocks of machines


def write_failure(run: Path, rank: int, error: BaseException) -> None:
    path = run / FAILURES / f"rank{rank}.txt"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            write_page(temporary, f"{summary(error)}\n\n{''.join(traceback.format_exception(error))}")


def first_failure(run: Path, since: float) -> str | None:
    """Rank and cause of the first failure reported after `since`, a time in seconds; None if there is none."""
    found = []
    for path in (run / FAILURES).glob("rank*.txt"):
        with contextlib.suppress(OSError):
            if (when := path.stat().st_mtime) > since - CLOCKS:
                text = path.read_text(encoding="utf-8", errors="replace")
                found.append((when, f"rank {path.stem.removeprefix('rank')}: {text.splitlines()[0]}"))
    return min(found)[1] if found else None


def summary(error: BaseException) -> str:
    """One-line description of an error."""
    first = next(iter(str(error).strip().splitlines()), "")
    return first if isinstance(error, UserError) else f"{type(error).__name__}: {first}"


def describe_exit(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}"


def is_lost_connection(error: BaseException) -> bool:
    """Whether an error only says that another process did not answer."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in text for word in ("gloo", "nccl", "connection", "timed out"))
    )


def unanswered(error: BaseException) -> str:
    return f"another rank did not answer within distributed.timeout, or its machine was lost ({summary(error)})"
