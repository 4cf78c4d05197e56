"""Energy meter: joules from hardware counters, NVML for the GPU and RAPL for the CPU."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from alexnet_pl.console import pluralize

RAPL = Path("/sys/class/powercap")
GPU = "GPU"
SECONDS_BETWEEN_READINGS = 60.0
LONGEST_GAP = 300.0  # seconds; a package's counter of 262 kJ starts again after 11 minutes at 400 W


class Counter(NamedTuple):
    """Reading of a hardware counter. `period`: joules after which it starts again at 0; infinite if it never does."""

    joules: float
    period: float = math.inf


class EnergyMeter:
    """Energy used by the current GPU and the CPU packages since the meter was created.

    `update` must be called more often than a counter can start again, which takes a CPU package minutes. Counters that
    were not read for `LONGEST_GAP` seconds, or went down, are left out.
    """

    def __init__(self) -> None:
        self.read_at, self.counters = time.monotonic(), read_counters()
        self.used = dict.fromkeys(self.counters, 0.0)

    def update_if_due(self) -> None:
        if time.monotonic() - self.read_at > SECONDS_BETWEEN_READINGS:
            self.update()

    def update(self) -> None:
        """Add what each counter has counted since its last reading."""
        gap, now = time.monotonic() - self.read_at, read_counters()
        for name, last in self.counters.items():
            used = count_between(last, now.get(name), gap)
            if used is None:
                self.used.pop(name, None)
            elif name in self.used:
                self.used[name] += used
        self.read_at, self.counters = self.read_at + gap, now

    def joules(self) -> dict[str, float]:
        """Return joules by kind of counter, `GPU` and `processor` (all CPU packages); empty without counters."""
        self.update()
        packages = [used for name, used in self.used.items() if name != GPU]
        all_known = len(packages) == sum(name != GPU for name in self.counters)
        gpu = {GPU: self.used[GPU]} if GPU in self.used else {}
        return gpu | ({"processor": sum(packages)} if packages and all_known else {})


def count_between(last: Counter, now: Counter | None, gap: float) -> float | None:
    """Joules between two readings that are `gap` seconds apart; None if they are not known."""
    if now is None or (gap > LONGEST_GAP and last.period < math.inf):
        return None
    used = now.joules - last.joules
    if used < 0 and last.period < math.inf:
        used += last.period
    return used if used >= 0 else None


def read_counters() -> dict[str, Counter]:
    return read_gpu_counter() | read_cpu_counters(RAPL)


def read_gpu_counter() -> dict[str, Counter]:
    try:
        import pynvml  # type: ignore[import-not-found]
        import torch

        pynvml.nvmlInit()
        number = torch.cuda._get_nvml_device_index(None)  # the device in use, despite CUDA_VISIBLE_DEVICES
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        return {GPU: Counter(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)}
    except Exception:  # no package, driver, GPU or counter
        return {}


def read_cpu_counters(root: Path) -> dict[str, Counter]:
    """Read the counters of the CPU packages (`intel-rapl:0`, not subzones such as `intel-rapl:0:0`). May require
    root."""
    try:
        packages = [path for path in root.glob("intel-rapl:*") if path.name.count(":") == 1]
        return {path.name: read_package(path) for path in packages}
    except (OSError, ValueError):
        return {}


def read_package(path: Path) -> Counter:
    joules, period = (int((path / name).read_text()) / 1e6 for name in ("energy_uj", "max_energy_range_uj"))
    return Counter(joules, period)


def describe_cost(seconds: float, joules: Mapping[str, float]) -> str:
    """Duration and energy of a fit: "2.1 hours, 0.42 kWh (GPU)"; without counters the duration alone."""
    kilowatt_hours = sum(joules.values()) / 3.6e6
    energy = f", {kilowatt_hours:.3g} kWh ({' and '.join(joules)})" if joules else ""
    duration = f"{seconds / 3600:.2g} hours" if seconds >= 3600 else pluralize(round(seconds), "second")
    return f"{duration}{energy}"
