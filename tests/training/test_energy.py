"""Energy of a fit: hardware counters summed over sessions; empty without counters."""

import json
import math
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alexnet_pl.runs import fit_status
from alexnet_pl.runs.records import DatasetInfo
from alexnet_pl.training import energy
from alexnet_pl.training.callbacks.records import FitRecord
from alexnet_pl.training.energy import Counter, EnergyMeter

PERIODS = {"package 0": 100.0, "package 1": 100.0}


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Simulated counters of the machine, in joules."""
    values = {"GPU": 1000.0}
    read = lambda: {name: Counter(joules, PERIODS.get(name, math.inf)) for name, joules in values.items()}  # noqa: E731
    monkeypatch.setattr(energy, "read_counters", read)
    return values


def record(tmp_path: Path) -> FitRecord:
    """Record of a fit that starts now."""
    made = FitRecord(tmp_path, {}, DatasetInfo)
    made.on_fit_start(SimpleNamespace(world_size=1, ckpt_path=None), None)  # type: ignore[arg-type]
    return made


def test_sessions_are_summed_and_incomplete_counters_left_out(tmp_path: Path, counters: dict[str, float]) -> None:
    first = record(tmp_path)
    counters["GPU"] += 250
    state = first.state_dict()
    counters["GPU"] = 7  # another machine, which also has counters for its processors
    counters["package 0"] = 50.0
    second = record(tmp_path)
    second.load_state_dict(state)
    counters.update({"GPU": 10, "package 0": 90})
    assert first.meter is not second.meter
    assert second.joules == {"GPU": 253}


def test_older_checkpoint_without_energy_leaves_it_unmeasured(tmp_path: Path, counters: dict[str, float]) -> None:
    resumed = record(tmp_path)
    resumed.load_state_dict({"training": {}, "changed_settings": [], "seconds": 5.0})
    counters["GPU"] += 100
    assert resumed.joules == {}


def test_energy_of_several_processes_is_not_given(tmp_path: Path, counters: dict[str, float]) -> None:
    shared = record(tmp_path)
    counters["GPU"] += 100
    assert shared.joules == {"GPU": 100}
    shared.processes = 2
    assert shared.joules == {}


def test_preparation_before_the_fit_is_not_counted(
    tmp_path: Path, counters: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    one = record(tmp_path)
    clock[0], counters["GPU"] = 400.0, 1500.0  # while the store is prepared
    one.on_fit_start(SimpleNamespace(world_size=1, ckpt_path=None), None)  # type: ignore[arg-type]
    clock[0], counters["GPU"] = 407.0, 1520.0
    assert (one.seconds, one.joules) == (7.0, {"GPU": 20.0})


def test_fit_json_has_the_energy(tmp_path: Path) -> None:
    fit_status.start_fit(tmp_path, {}, DatasetInfo())
    fit_status.mark_finished(tmp_path, 1, 1, 1, 7200, "schedule", {"GPU": 3.6e6})
    assert json.loads((tmp_path / "fit.json").read_text())["joules"] == {"GPU": 3.6e6}
    status = fit_status.read_fit_status(tmp_path)
    assert status
    assert energy.describe_cost(status.seconds, status.joules) == "2 hours, 1 kWh (GPU)"
    assert energy.describe_cost(90, {}) == "90 seconds"


def test_gpu_energy_is_nvmls_counter_in_millijoules(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(handle: Any) -> int:
        return {3: 5_000}[handle]

    nvml: Any = SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByIndex=lambda i: i, nvmlDeviceGetTotalEnergyConsumption=count
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr("torch.cuda._get_nvml_device_index", lambda _: 3)
    assert energy.read_gpu_counter() == {"GPU": (5.0, math.inf)}


def test_counters_of_cpu_packages_are_read_with_their_period(tmp_path: Path) -> None:
    for name, joules in {"intel-rapl:0": 2_000_000, "intel-rapl:1": 500_000, "intel-rapl:0:0": 999}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{joules}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("262143328850\n")
    period = 262143.328850
    assert energy.read_cpu_counters(tmp_path) == {"intel-rapl:0": (2.0, period), "intel-rapl:1": (0.5, period)}
    assert energy.read_cpu_counters(tmp_path / "away") == {}


def test_counters_that_start_again_are_summed(counters: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages of a period of 100 joules: 30 + 100 − 90 + 20 joules of one, 10 of the other."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    counters.update({"package 0": 60.0, "package 1": 0.0})
    meter = EnergyMeter()
    for seconds, joules in ((61, 90.0), (130, 0.0), (200, 20.0)):
        clock[0], counters["package 0"] = seconds, joules
        meter.update_if_due()
    counters.update({"package 1": 10.0, "GPU": 1005.0})
    assert meter.joules() == {"GPU": 5.0, "processor": 70.0}
    clock[0] = 600.0  # long enough to have started again unnoticed
    assert meter.joules() == {"GPU": 5.0}
