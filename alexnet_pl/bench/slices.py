"""Slices of `bench gpu`: each writes one JSON file, is measured once, and ends within `bench.minutes`."""

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any

from omegaconf import DictConfig

from alexnet_pl.bench.gpu_curves import CURVE, GRACE
from alexnet_pl.bench.processes import STOP_SECONDS, stack_if_slow
from alexnet_pl.bench.timing import describe_error
from alexnet_pl.console import progress, silence_library_logs
from alexnet_pl.json_records import JsonObject, write_json

SLICE_SECONDS = 150  # limit for a slice in its own process; a hang must leave time for the others
LAST_START = 0.75  # minutes before the end; no slice starts later
OF_ONE_CALL = ("error", "traceback", "seconds")  # keys that the next call of the same slice replaces

MeasureSlice = Callable[[DictConfig, Path], JsonObject]
"""(config, output folder) → measurements as JSON. `bench.minutes` of the config is the time that is left."""


def run_slices(slices: dict[str, MeasureSlice], cfg: DictConfig, folder: Path) -> list[str]:
    """Run slices and return the names of those still missing. A failed one is recorded and tried again next time, after
    all that were not tried yet. Those that do not stop by themselves must start in the first half of the time if
    learning curves are to follow, else until `LAST_START` minutes before the end."""
    deadline = time.monotonic() + 60 * cfg.bench.minutes
    pending = [name for name in slices if not is_measured(folder / f"{name}.json")]
    has_curves = any(name.startswith(CURVE) for name in pending)
    reserve = cfg.bench.minutes / 2 if has_curves else min(LAST_START, cfg.bench.minutes / 4)
    for name in sorted(pending, key=lambda name: has_failed(folder / f"{name}.json")):
        left = (deadline - time.monotonic()) / 60
        if left >= (2 * GRACE / 60 if name.startswith(CURVE) else reserve):
            run_slice(name, slices[name], with_minutes(cfg, left), folder)
    return [name for name in pending if not is_measured(folder / f"{name}.json")]


def with_minutes(cfg: DictConfig, minutes: float) -> DictConfig:
    changed = cfg.copy()
    changed.bench.minutes = minutes
    return changed


def run_slice(name: str, measure: MeasureSlice, cfg: DictConfig, folder: Path) -> None:
    """Measure a slice and write its file. Until it ends, the file says that it was killed. What `keep` has put there
    stays if the slice fails."""
    progress(name)
    path, start = folder / f"{name}.json", time.monotonic()
    if not name.startswith(CURVE):
        write_json(path, {**read_kept(path), "slice": name, "error": "killed before it ended"})
    result = measure_or_describe(measure, cfg, folder)
    if "error" in result:
        print(f"bench gpu: {name}: {result['error']}\n{result.get('traceback', '')}", file=sys.stderr, flush=True)
        result = {**read_kept(path), **result}
    write_json(path, {**result, "slice": name, "seconds": time.monotonic() - start})


def measure_or_describe(measure: MeasureSlice, cfg: DictConfig, folder: Path) -> JsonObject:
    """The slice's measurements, or its error with the traceback: one failure must not stop the other slices."""
    try:
        return measure(cfg, folder)
    except Exception as error:
        return {"error": describe_error(error), "traceback": traceback.format_exc()}


def is_measured(path: Path) -> bool:
    """Whether a slice's file exists, is complete and has no error."""
    result = read_slice(path)
    return bool(result) and "error" not in result and result.get("complete", True)


def has_failed(path: Path) -> bool:
    return "error" in read_slice(path)


def read_slice(path: Path) -> JsonObject:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def read_kept(path: Path) -> JsonObject:
    """Measurements that earlier calls made for an unfinished slice."""
    return {key: value for key, value in read_slice(path).items() if key not in OF_ONE_CALL}


def keep(path: Path, values: JsonObject) -> None:
    """Add what is measured so far to the file of a slice."""
    write_json(path, {**read_slice(path), **values})


def measure_each(
    names: Iterable[str], measure: Callable[[str], Any], path: Path, key: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure one candidate after the other: (name → result, name → why it failed).

    The slice's file at `path` gets the results, as JSON under `key`, after each candidate. Those that an earlier call
    has kept there are not measured again.
    """
    results, failed = dict[str, Any](read_kept(path).get(key, {})), dict[str, str]()
    for name in names:
        if name in results:
            continue
        try:
            results[name] = measure(name)
            keep(path, {key: results})
        except Exception as error:  # one failure must not cost the other measurements
            traceback.print_exc()
            failed[name] = describe_error(error)
    return results, failed


def describe_failures(failed: dict[str, str]) -> dict[str, str]:
    """The error of a slice of which some candidates failed; empty if none did."""
    return {"error": "; ".join(f"{name}: {reason}" for name, reason in failed.items())} if failed else {}


def in_own_process(measure: MeasureSlice) -> MeasureSlice:
    """The slice in a process of its own: a GPU error, a profiler or a hang stays there."""
    return partial(measure_in_own_process, measure)


def measure_in_own_process(measure: MeasureSlice, cfg: DictConfig, folder: Path) -> JsonObject:
    """Measure in a new process, which is killed with its children after `SLICE_SECONDS`, or when the time is over."""
    context, limit = get_context("spawn"), min(SLICE_SECONDS, 60 * cfg.bench.minutes)
    line, child_end = context.Pipe(duplex=False)
    process = context.Process(target=serve_slice, args=(child_end, limit, measure, cfg, folder))
    process.start()
    child_end.close()
    try:
        if not line.poll(limit):
            return {"error": f"no result after {limit:.0f} seconds"}
        result = line.recv()
        process.join(STOP_SECONDS)
        return result
    except EOFError:
        process.join(STOP_SECONDS)
        return {"error": f"its process ended with exit code {process.exitcode}; is there enough memory?"}
    finally:
        kill_group(process)


def serve_slice(line: Connection, limit: float, measure: MeasureSlice, cfg: DictConfig, folder: Path) -> None:
    os.setsid()  # a process group, so that processes started by the slice are killed too
    Thread(target=end_with_parent, daemon=True).start()
    silence_library_logs()
    with stack_if_slow(limit):
        line.send(measure_or_describe(measure, cfg, folder))


def end_with_parent() -> None:
    """Kill this slice with its processes when the program that started it was killed: it would keep the GPU busy."""
    parent = parent_process()
    assert parent
    parent.join()
    os.killpg(0, signal.SIGKILL)


def kill_group(process: BaseProcess) -> None:
    assert process.pid
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # the process may not have made its group yet
    process.join()
