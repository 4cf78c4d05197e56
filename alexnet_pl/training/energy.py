"""Energy meter: joules from hardware counters, NVML for the GPU and RAPL for the CPU."""

from collections.abc import Mapping
from pathlib import Path

from alexnet_pl.console import pluralize

RAPL = Path("/sys/class/powercap")


class EnergyMeter:
    """Energy used by the current GPU and the CPU packages since the meter was created."""

    def __init__(self) -> None:
        self.before = read_counters()

    def joules(self) -> dict[str, float]:
        """Return joules by counter; empty without counters. A counter that overflowed since the start is omitted."""
        now = read_counters()
        used = {name: now[name] - before for name, before in self.before.items() if name in now}
        return {name: joules for name, joules in used.items() if joules >= 0}


def read_counters() -> dict[str, float]:
    return read_gpu_joules() | read_cpu_joules(RAPL)


def read_gpu_joules() -> dict[str, float]:
    try:
        import pynvml  # type: ignore[import-not-found]
        import torch

        pynvml.nvmlInit()
        number = torch.cuda._get_nvml_device_index(None)  # the device in use, despite CUDA_VISIBLE_DEVICES
        return {"GPU": pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(number)) / 1e3}
    except Exception:  # no package, driver, GPU or counter
        return {}


def read_cpu_joules(root: Path) -> dict[str, float]:
    """Read joules of the CPU packages (`intel-rapl:0`, not subzones such as `intel-rapl:0:0`). May require root."""
    try:
        paths = [path / "energy_uj" for path in root.glob("intel-rapl:*") if path.name.count(":") == 1]
        return {"processor": sum(int(path.read_text()) for path in paths) / 1e6} if paths else {}
    except (OSError, ValueError):
        return {}


def describe_cost(seconds: float, joules: Mapping[str, float]) -> str:
    """Duration and energy of a fit: "2.1 hours, 0.42 kWh (GPU)"; without counters the duration alone."""
    kilowatt_hours = sum(joules.values()) / 3.6e6
    energy = f", {kilowatt_hours:.3g} kWh ({' and '.join(joules)})" if joules else ""
    duration = f"{seconds / 3600:.2g} hours" if seconds >= 3600 else pluralize(round(seconds), "second")
    return f"{duration}{energy}"
