"""`bench gpu`: slices resume, are retried and stop at the deadline; runs without a GPU."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet_pl.bench import gpu_curves, gpu_kernels, gpu_suite
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
    assert "illegal memory access" in capsys.readouterr().err
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
    slices = {"tests": gpu_suite.run_gpu_tests}
    assert gpu_suite.run_slices(slices, config("demo"), tmp_path) == ["tests"]
    found = json.loads((tmp_path / "tests.json").read_text())
    assert (found["passed"], found["error"]) == (False, "pytest ended with exit code 1; see tests.log")
    (tests / "test_one.py").write_text("import pytest\n\n@pytest.mark.gpu\ndef test_one(): pass\n")
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
