"""Energy meter: joules of the GPU in use, from NVML's counter."""

from collections.abc import Mapping

from alexnet_pl.console import pluralize

GPU = "GPU"


class EnergyMeter:
    """Energy used by the current GPU since the meter was created."""

    def __init__(self) -> None:
        self.start = read_gpu_counter()

    def joules(self) -> dict[str, float]:
        """Joules by the name of the counter, `GPU`; empty without a counter."""
        now = read_gpu_counter()
        return {} if self.start is None or now is None else {GPU: now - self.start}


def read_gpu_counter() -> float | None:
    """Joules since the driver was loaded; None without a package, driver, GPU or counter."""
    try:
        import pynvml  # type: ignore[import-not-found]
        import torch

        pynvml.nvmlInit()
        number = torch.cuda._get_nvml_device_index(None)  # the device in use, despite CUDA_VISIBLE_DEVICES
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
    except Exception:
        return None


def describe_cost(seconds: float, joules: Mapping[str, float]) -> str:
    """Duration and energy of a fit: "2.1 hours, 0.42 kWh (GPU)"; without counters the duration alone."""
    kilowatt_hours = sum(joules.values()) / 3.6e6
    energy = f", {kilowatt_hours:.3g} kWh ({' and '.join(joules)})" if joules else ""
    duration = f"{seconds / 3600:.2g} hours" if seconds >= 3600 else pluralize(round(seconds), "second")
    return f"{duration}{energy}"
