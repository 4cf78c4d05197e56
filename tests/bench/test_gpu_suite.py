"""`bench gpu`: slices resume, are retried and stop at the deadline; runs without a GPU."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sleepers
import torch

from alexnet_pl.bench import fixtures, gpu_curves, gpu_kernels, gpu_suite
from alexnet_pl.bench.short_fits import fit_config
from alexnet_pl.bench.slices import in_own_process, measure_each
from alexnet_pl.bench.timing import TimingWindow
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError


def counted(calls: list[str], name: str, result: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    def measure(cfg: Any, folder: Path) -> dict[str, Any]:
        calls.append(name)
        return result

    return measure


def test_finished_slice_is_not_measured_again(config, tmp_path: Path) -> None:
    calls: list[str] = []
    slices = {name: counted(calls, name, {"value": 1}) for name in ("a", "b")}
    assert gpu_suite.run_slices(slices, config("demo"), tmp_path) == []
    assert gpu_suite.run_slices(slices, config("demo"), tmp_path) == []
    assert calls == ["a", "b"]
    assert json.loads((tmp_path / "a.json").read_text())["value"] == 1


def test_failed_slice_records_its_error_and_is_retried(config, tmp_path: Path, capsys) -> None:
    calls: list[str] = []

    def broken(cfg: Any, folder: Path) -> dict[str, Any]:
        raise RuntimeError("CUDA error: an illegal memory access\nmore")

    slices = {"broken": broken, "sound": counted(calls, "sound", {})}
    assert gpu_suite.run_slices(slices, config("demo"), tmp_path) == ["broken"]
    assert json.loads((tmp_path / "broken.json").read_text())["error"] == (
        "RuntimeError: CUDA error: an illegal memory access"
    )
    assert "in broken" in capsys.readouterr().err, "where it failed"
    assert "in broken" in json.loads((tmp_path / "broken.json").read_text())["traceback"]
    slices["broken"] = counted(calls, "broken", {})
    assert gpu_suite.run_slices(slices, config("demo"), tmp_path) == []
    assert calls == ["sound", "broken"]


def test_slices_start_in_the_first_half_and_curves_get_the_rest(
    config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, started = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def takes(minutes: float, name: str) -> Callable[..., dict[str, Any]]:
        def measure(cfg: Any, folder: Path) -> dict[str, Any]:
            started.append((name, cfg.bench.minutes))
            clock[0] += 60 * minutes
            return {}

        return measure

    names = ("a", "b", "c", "curve-1", "curve-2")
    slices = {name: takes(minutes, name) for name, minutes in zip(names, (4, 1, 1, 4, 1), strict=True)}
    assert gpu_suite.run_slices(slices, config("demo", "bench.minutes=9"), tmp_path) == ["c", "curve-2"]
    assert started == [("a", 9), ("b", 5), ("curve-1", 4)]


def test_without_curves_slices_start_until_shortly_before_the_end(
    config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def takes_two_minutes(cfg: Any, folder: Path) -> dict[str, Any]:
        clock[0] += 120
        return {}

    slices = {name: takes_two_minutes for name in "abcdef"}
    assert gpu_suite.run_slices(slices, config("demo", "bench.minutes=9"), tmp_path) == ["f"]
    clock[0] = 0.0
    slices = {name: takes_two_minutes for name in "ghij"}
    assert gpu_suite.run_slices(slices, config("demo", "bench.minutes=4.5"), tmp_path) == ["i", "j"], "30 seconds left"


def test_most_informative_slices_come_first(config, tmp_path: Path) -> None:
    """One call may be all the time that there is; a fit needs no store, since it can stream drawn images."""
    names = list(gpu_suite.make_slices(config("ilsvrc2012"), tmp_path))
    assert names[:6] == ["environment", "tests", "fit", "fit-graph", "kernels", "steps-128"]
    assert not any(name.startswith("curve") for name in names)
    with_store = list(gpu_suite.make_slices(config("demo"), tmp_path))
    assert any(name.startswith("curve") for name in with_store)
    assert ("fit-cached" in names, "fit-cached" in with_store) == (True, False), "a store is cached by every fit"


@pytest.mark.parametrize(
    ("name", "graph", "cached"), [("fit", False, False), ("fit-graph", True, False), ("fit-cached", True, True)]
)
def test_fits_differ_in_graph_and_cache(
    config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, graph: bool, cached: bool
) -> None:
    seen: list[tuple[bool, bool]] = []

    def fit(cfg: Any, root: Path, *_: Any) -> Any:
        section = fit_config(cfg, Store(root)).performance
        seen.append((section.cuda_graph, section.cache_on_gpu))
        return {"images_per_second": 1.0, "joules_per_image": {}}

    monkeypatch.setattr(gpu_suite, "IMAGES", 20)
    monkeypatch.setattr(gpu_suite.end_to_end, "time_fit", fit)
    monkeypatch.setattr(gpu_suite.idle_share, "measure_idle_share", fit)
    gpu_suite.measure_whole_fit(config("ilsvrc2012", "data.size=64"), tmp_path, tmp_path, name)
    assert seen == [(graph, cached)] * 2


def test_missing_store_is_reported_before_anything_is_measured(
    config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu_suite, "run_slices", None)
    with pytest.raises(UserError, match="nowhere"):
        gpu_suite.measure_gpu(config("demo", f"data.root={tmp_path}/nowhere"), tmp_path / "out")


def test_failing_candidate_keeps_the_times_of_the_others(config, tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.setattr(gpu_suite.training_steps, "GPU_CANDIDATES", ("first", "second", "third"))
    monkeypatch.setattr(gpu_suite.training_steps, "make_step", sleepers.second_raises)
    found = gpu_suite.time_steps(config("demo", "bench.rounds=1"), tmp_path, 128)
    assert list(found["milliseconds"]) == ["first", "third"]
    assert found["error"] == (
        "second: UserError: bench: second: RuntimeError: CUDA error: operation not permitted when stream is capturing"
    )
    assert 'raise RuntimeError("CUDA error' in capfd.readouterr().err, "where it failed"


def test_failing_loader_keeps_the_rates_of_the_others(config, tmp_path: Path, monkeypatch) -> None:
    """Worker processes of other loaders die where a container has little shared memory."""

    def steady() -> Iterator[int]:
        while True:
            yield 8

    def broken() -> Iterator[int]:
        raise RuntimeError("DataLoader worker is killed by signal: Bus error")
        yield 8

    flows = {"ours, raw": steady, "ImageFolder": broken}
    monkeypatch.setattr(gpu_suite, "make_bench_stores", lambda cfg, stores, parts: stores)
    monkeypatch.setattr(gpu_suite.loaders, "loader_candidates", lambda *_: (flows, {"FFCV": "not installed"}))
    monkeypatch.setattr(gpu_suite.suite, "WINDOW", TimingWindow(0, 0.01, 1))
    cfg = config("demo", "bench.rounds=1")
    found = gpu_suite.measure_loaders(cfg, tmp_path, tmp_path)
    assert (list(found["images_per_second"]), "error" in found) == (["ours, raw"], False)
    reason = "RuntimeError: DataLoader worker is killed by signal: Bus error"
    assert found["not_run"] == {"FFCV": "not installed", "ImageFolder": reason}
    flows["ours, raw"] = broken
    (tmp_path / "loaders.json").unlink()
    assert gpu_suite.measure_loaders(cfg, tmp_path, tmp_path)["error"] == f"ours, raw: {reason}", "tried again"


def test_candidates_of_a_killed_slice_are_kept_and_not_measured_again(config, tmp_path: Path) -> None:
    calls: list[str] = []

    def measure(cfg: Any, folder: Path, fails_at: str = "") -> dict[str, Any]:
        def candidate(name: str) -> int:
            if name == fails_at:
                raise KeyboardInterrupt  # passes through, as SIGKILL does
            calls.append(name)
            return len(name)

        results, _ = measure_each(("a", "bb", "ccc"), candidate, folder / "heavy.json", "rates")
        return {"rates": results}

    with pytest.raises(KeyboardInterrupt):
        gpu_suite.run_slices({"heavy": partial(measure, fails_at="ccc")}, config("demo"), tmp_path)
    found = json.loads((tmp_path / "heavy.json").read_text())
    assert (found["rates"], found["error"]) == ({"a": 1, "bb": 2}, "killed before it ended")
    assert gpu_suite.run_slices({"heavy": measure}, config("demo"), tmp_path) == []
    found = json.loads((tmp_path / "heavy.json").read_text())
    assert (found["rates"], "error" in found) == ({"a": 1, "bb": 2, "ccc": 3}, False)
    assert calls == ["a", "bb", "ccc"]


def test_slice_apart_returns_its_result_or_where_it_failed(config, tmp_path: Path) -> None:
    cfg = config("demo", "trainer.accelerator=cpu")
    found = in_own_process(sleepers.process_id)(cfg, tmp_path)
    assert found["process"] != os.getpid()
    found = in_own_process(sleepers.broken_slice)(cfg, tmp_path)
    assert found["error"] == "RuntimeError: CUDA error: an illegal memory access"
    assert "in broken_slice" in found["traceback"]
    assert "ended with exit code 3" in in_own_process(sleepers.ended_slice)(cfg, tmp_path)["error"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux has /proc")
def test_hanging_slice_is_killed_with_its_processes_when_the_time_is_over(config, tmp_path: Path, capfd) -> None:
    cfg = config("demo", "trainer.accelerator=cpu")
    begin = time.monotonic()
    in_own_process(sleepers.process_id)(cfg, tmp_path)
    cfg.bench.minutes = limit = (3 + 4 * (time.monotonic() - begin)) / 60  # enough to start a process here
    found = in_own_process(sleepers.hanging_slice)(cfg, tmp_path)
    assert found == {"error": f"no result after {60 * limit:.0f} seconds"}
    assert "in hanging_slice" in capfd.readouterr().err, "where it hangs"
    child = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    assert not child.exists() or ") Z " in child.read_text()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux has /proc")
def test_slice_of_a_killed_program_ends_with_its_processes(tmp_path: Path) -> None:
    program = (
        "import sys, types, pathlib, sleepers\n"
        "from alexnet_pl.bench.slices import in_own_process\n"
        "if __name__ == '__main__':\n"
        "    cfg = types.SimpleNamespace(bench=types.SimpleNamespace(minutes=2))\n"
        "    in_own_process(sleepers.hanging_slice)(cfg, pathlib.Path(sys.argv[1]))\n"
    )
    (tmp_path / "program.py").write_text(program)
    paths = [str(Path(sleepers.__file__).parent), str(Path(__file__).parents[2])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen([sys.executable, str(tmp_path / "program.py"), str(tmp_path)], env=environment)
    while not (child := tmp_path / "child").is_file() or not child.read_text():
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    stat = Path(f"/proc/{child.read_text()}/stat")
    for _ in range(300):
        if not stat.exists() or ") Z " in stat.read_text():
            return
        time.sleep(0.1)
    pytest.fail("its process still runs after 30 seconds")


def test_stores_are_made_once_for_all_slices(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_suite, "IMAGES", 20)
    cfg = config("demo", "data.size=64")
    made = gpu_suite.make_bench_stores(cfg, tmp_path, ("raw",))
    assert not (made / "jpeg").exists(), "a fit reads only raw images, and the GPU waits"
    assert gpu_suite.make_bench_stores(cfg, tmp_path, fixtures.PARTS) == made
    assert len([*(made / "squares").rglob("*.jpg")]) == 20
    assert all(Store(made / name).split("train").images(np.arange(20)).any() for name in ("raw", "jpeg"))
    assert all(path.is_file() for path in (made / "photographs").rglob("*.JPEG"))
    for name in ("make_tree", "prepare", "write_squares"):
        monkeypatch.setattr(fixtures, name, None)
    assert gpu_suite.make_bench_stores(cfg, tmp_path, fixtures.PARTS) == made


def test_killed_slice_is_tried_after_the_others(config, tmp_path: Path) -> None:
    calls: list[str] = []

    def killed(cfg: Any, folder: Path) -> dict[str, Any]:
        raise KeyboardInterrupt  # passes through, as SIGKILL does

    with pytest.raises(KeyboardInterrupt):
        gpu_suite.run_slices({"heavy": killed, "b": counted(calls, "b", {})}, config("demo"), tmp_path)
    assert json.loads((tmp_path / "heavy.json").read_text())["error"] == "killed before it ended"
    slices = {"heavy": counted(calls, "heavy", {}), "b": counted(calls, "b", {})}
    assert gpu_suite.run_slices(slices, config("demo"), tmp_path) == []
    assert calls == ["b", "heavy"]


def test_failing_gpu_tests_are_measured_again(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = tmp_path / "tests/gpu"
    tests.mkdir(parents=True)
    monkeypatch.setattr(gpu_suite, "TESTS", tests)
    (tests / "test_one.py").write_text("import pytest\n\n@pytest.mark.gpu\ndef test_one(): assert False\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu: needs a GPU\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-W error")
    slices = {"tests": gpu_suite.run_gpu_tests}
    assert gpu_suite.run_slices(slices, config("demo"), tmp_path) == ["tests"]
    found = json.loads((tmp_path / "tests.json").read_text())
    assert (found["passed"], found["error"]) == (False, "pytest ended with exit code 1; see tests.log")
    warns = "import pytest, warnings\n\n@pytest.mark.gpu\ndef test_one(): warnings.warn('old')\n"
    (tests / "test_one.py").write_text(warns)
    assert gpu_suite.run_slices(slices, config("demo"), tmp_path) == []


def test_stopped_curve_is_continued(config, tmp_path: Path) -> None:
    calls: list[str] = []
    slices = {"curve-a": counted(calls, "curve", {"complete": False})}
    assert gpu_suite.run_slices(slices, config("demo"), tmp_path) == ["curve-a"]
    slices = {"curve-a": counted(calls, "curve", {"complete": True})}
    assert gpu_suite.run_slices(slices, config("demo"), tmp_path) == []
    assert calls == ["curve", "curve"]


def test_fit_past_its_minutes_gets_one_signal_and_is_incomplete(
    config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in command records the signal, as a fit saves its checkpoint, and ends."""
    script = tmp_path / "fit.py"
    script.write_text(
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open({str(tmp_path / 'saved')!r}, 'w'), sys.exit(0)))\n"
        f"open({str(tmp_path / 'ready')!r}, 'w')\n"
        "time.sleep(60)\n"
    )
    plain = gpu_curves.subprocess.Popen

    def stand_in(command: list[str], **options: Any) -> Any:
        assert command[:4] == [sys.executable, "-m", "alexnet_pl", "reproduce"]
        process = plain([sys.executable, str(script)], **options)
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        return process

    monkeypatch.setattr(gpu_curves.subprocess, "Popen", stand_in)
    cfg = config("demo", f"data.root={tmp_path}", "bench.minutes=0.001")
    assert gpu_curves.continue_fit(cfg, tmp_path / "run", [])["complete"] is False
    assert (tmp_path / "saved").exists()


def test_interrupted_curve_leaves_no_fit_behind(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, started = gpu_curves.subprocess.Popen, []

    def stand_in(command: list[str], **options: Any) -> Any:
        started.append(plain([sys.executable, "-c", "import time; time.sleep(60)"], **options))
        raised = [SystemExit(143)]
        wait = started[0].wait
        started[0].wait = lambda *given: wait(*given) if not raised else (_ for _ in ()).throw(raised.pop())
        return started[0]

    monkeypatch.setattr(gpu_curves.subprocess, "Popen", stand_in)
    with pytest.raises(SystemExit):
        gpu_curves.continue_fit(config("demo", f"data.root={tmp_path}"), tmp_path / "run", [])
    assert started[0].returncode == -signal.SIGTERM


def test_curves_cover_both_variants_both_precisions_and_three_seeds(config) -> None:
    names = list(gpu_curves.curve_slices(config("demo")))
    assert len(set(names)) == 2 * 2 * 3
    assert all("seed0" in name for name in names[:4]), "whole comparisons first"


def test_kernels_are_listed_slowest_first(config) -> None:
    """On the CPU these are operators; convolutions are among the slowest, and times add up to at most the total."""
    found = gpu_kernels.profile_step(config("demo", "data.batch_size=4", "trainer.accelerator=cpu"))
    times = list(found["microseconds"].values())
    assert times == sorted(times, reverse=True)
    assert any("conv" in name for name in list(found["microseconds"])[:10])
    assert sum(times) <= found["all_kernels"] * 1.000001


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_missing_gpu_is_reported_in_one_line(config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no CUDA GPU"):
        gpu_suite.measure_gpu(config("demo"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
