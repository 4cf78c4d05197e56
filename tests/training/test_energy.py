"""Energy of a fit: the GPU's counter summed over sessions; empty without it."""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alexnet_pl.runs import fit_status
from alexnet_pl.runs.records import DatasetInfo
from alexnet_pl.training import energy
from alexnet_pl.training.callbacks.fit_record import FitRecord


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Simulated counter of the machine, in joules."""
    values = {"GPU": 1000.0}
    monkeypatch.setattr(energy, "read_gpu_counter", lambda: values.get("GPU"))
    return values


def record(tmp_path: Path) -> FitRecord:
    """Record of a fit that starts now."""
    made = FitRecord(tmp_path, {}, DatasetInfo)
    made.on_fit_start(SimpleNamespace(world_size=1, ckpt_path=None), None)  # type: ignore[arg-type]
    return made


def test_sessions_are_summed(tmp_path: Path, counters: dict[str, float]) -> None:
    first = record(tmp_path)
    counters["GPU"] += 250
    state = first.state_dict()
    counters["GPU"] = 7  # another machine
    second = record(tmp_path)
    second.load_state_dict(state)
    counters["GPU"] = 10
    assert first.meter is not second.meter
    assert second.joules == {"GPU": 253}


def test_session_without_a_counter_leaves_the_fit_unmeasured(tmp_path: Path, counters: dict[str, float]) -> None:
    state = record(tmp_path).state_dict()
    del counters["GPU"]
    resumed = record(tmp_path)
    resumed.load_state_dict(state)
    assert resumed.joules == {}


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
    assert energy.read_gpu_counter() == 5.0
