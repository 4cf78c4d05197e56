"""Throughput targets on a CPU: ratios within one run, with their bounds."""

from typing import NamedTuple

from alexnet_pl.bench import trainer_overhead, training_steps
from alexnet_pl.bench.loaders import COPY, EXAMPLE, JPEG, RAW
from alexnet_pl.json_records import JsonObject


class Target(NamedTuple):
    """Bound on a measured value: a minimum if `least`, else a maximum. `found`: the value, or None if not measured."""

    what: str
    found: float | None
    bound: float
    unit: str = "times"
    least: bool = True

    @property
    def met(self) -> bool | None:
        if self.found is None:
            return None
        return self.found >= self.bound if self.least else self.found <= self.bound


LOADER_RATIOS = (
    (RAW, EXAMPLE, 150.0),
    (RAW, "litdata, raw", 15.0),
    (RAW, "FFCV, raw, cropped", 11.0),
    (RAW, COPY, 0.7),
    (JPEG, "FFCV, JPEGs", 1.3),
    (JPEG, "DALI on the CPU, the same JPEGs", 1.5),
    (JPEG, "webdataset, the same JPEGs", 2.0),
    (JPEG, "litdata, the same JPEGs", 2.0),
)
NORM_RATIOS = (("ours, compiled", "F.local_response_norm", 3.5), ("ours, eager", "F.local_response_norm", 2.2))
STEP_RATIOS = (
    (f"{training_steps.OURS}, {training_steps.BF16}", f"{training_steps.STOCK}, {training_steps.FLOAT32}", 3.5),
    (f"{training_steps.OURS}, {training_steps.FLOAT32}", f"{training_steps.STOCK}, {training_steps.FLOAT32}", 1.7),
    (f"{training_steps.OURS}, {training_steps.BF16}", f"{training_steps.TORCHVISION}, {training_steps.FLOAT32}", 1.5),
)
MAX_OUTSIDE = 3.0  # percent of a fit outside augmentation, forward, backward and update
MAX_OVERHEAD = 50.0  # µs of Python per step over a bare loop


def make_targets(measured: JsonObject) -> list[Target]:
    """List the targets for results of `measure_training`; missing parts count as not measured."""
    loader_rates = {name: robust_rate(each) for name, each in measured.get("feeding", {}).items()}
    step_rates = {name: 1 / seconds for name, seconds in measured.get("steps", {}).items()}
    norm_rates = {name: 1 / seconds for name, seconds in measured.get("norms", {}).items()}
    return [
        *ratio_targets("images", loader_rates, LOADER_RATIOS),
        *ratio_targets("step", step_rates, STEP_RATIOS),
        *ratio_targets("norms", norm_rates, NORM_RATIOS),
        *overhead_targets(measured),
    ]


def robust_rate(rate: dict[str, float]) -> float:
    """Return the median rate, or the fastest round if rounds differ by more than a factor of two: no target should be
    met because another process slowed a baseline down."""
    return rate["median"] if 2 * rate.get("low", rate["median"]) >= rate.get("high", 0.0) else rate["high"]


def ratio_targets(what: str, rates: dict[str, float], bounds: tuple[tuple[str, str, float], ...]) -> list[Target]:
    return [
        Target(
            f"{what}: {ours} / {baseline}",
            rates[ours] / rates[baseline] if {ours, baseline} <= rates.keys() else None,
            bound,
        )
        for ours, baseline, bound in bounds
    ]


def overhead_targets(measured: JsonObject) -> list[Target]:
    trainer = {name: each["median"] for name, each in measured.get("trainer", {}).items()}
    shares = (measured.get("fit") or {}).get("shares") or {}
    return [
        Target(
            f"trainer: {trainer_overhead.OURS}",
            trainer.get(trainer_overhead.OURS),
            MAX_OVERHEAD,
            "µs a step",
            least=False,
        ),
        Target(
            "fit: outside the network's work",
            shares.get("outside"),
            MAX_OUTSIDE,
            "%",
            least=False,
        ),
    ]


def check_targets(measured: JsonObject) -> list[JsonObject]:
    return [target._asdict() | {"met": target.met} for target in make_targets(measured)]
