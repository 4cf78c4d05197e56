"""Targets of throughput on a CPU: ratios within one run, each with the bound that it has to meet."""

from typing import Any, NamedTuple

from alexnet_pl.bench import trainer_overhead, training_steps
from alexnet_pl.bench.loaders import COPY, EXAMPLE, JPEG, RAW


class Target(NamedTuple):
    """`found`: None where one of the two was not run."""

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


FEEDS = (
    (RAW, EXAMPLE, 150.0),
    (RAW, "litdata, raw", 15.0),
    (RAW, "FFCV, raw, cropped", 11.0),
    (RAW, COPY, 0.7),
    (JPEG, "FFCV, JPEGs", 1.3),
    (JPEG, "DALI on the CPU, the same JPEGs", 1.5),
    (JPEG, "webdataset, the same JPEGs", 2.0),
    (JPEG, "litdata, the same JPEGs", 2.0),
)
NORMS = (("ours, compiled", "F.local_response_norm", 3.5), ("ours, eager", "F.local_response_norm", 2.2))
STEPS = (
    (f"{training_steps.OURS}, {training_steps.BF16}", f"{training_steps.STOCK}, {training_steps.FLOAT32}", 3.5),
    (f"{training_steps.OURS}, {training_steps.FLOAT32}", f"{training_steps.STOCK}, {training_steps.FLOAT32}", 1.7),
    (f"{training_steps.OURS}, {training_steps.BF16}", f"{training_steps.TORCHVISION}, {training_steps.FLOAT32}", 1.5),
)
OUTSIDE = 3.0  # percent of a fit that is not augmentation, forward, backward or update
TRAINER = 50.0  # µs a step of Python beyond the bare loop, amortised


def targets(found: dict[str, Any]) -> list[Target]:
    """Targets from the figures of `measure_training`; parts that were left out count as not run."""
    feeding = {name: steady(each) for name, each in found.get("feeding", {}).items()}
    stepping = {name: 1 / seconds for name, seconds in found.get("steps", {}).items()}
    norming = {name: 1 / seconds for name, seconds in found.get("norms", {}).items()}
    return [
        *ratios("images", feeding, FEEDS),
        *ratios("step", stepping, STEPS),
        *ratios("norms", norming, NORMS),
        *costs(found),
    ]


def steady(rate: dict[str, float]) -> float:
    """The median; of a contender that was now and then more than twice as slow, whatever stopped it, its fastest round:
    no gate is to be met by another program's accident."""
    return rate["median"] if 2 * rate.get("low", rate["median"]) >= rate.get("high", 0.0) else rate["high"]


def ratios(what: str, rates: dict[str, float], wanted: tuple[tuple[str, str, float], ...]) -> list[Target]:
    return [
        Target(
            f"{what}: {ours} / {other}", rates[ours] / rates[other] if {ours, other} <= rates.keys() else None, bound
        )
        for ours, other, bound in wanted
    ]


def costs(found: dict[str, Any]) -> list[Target]:
    trainer = {name: each["median"] for name, each in found.get("trainer", {}).items()}
    shares = (found.get("fit") or {}).get("shares") or {}
    return [
        Target(
            f"trainer: {trainer_overhead.OURS}", trainer.get(trainer_overhead.OURS), TRAINER, "µs a step", least=False
        ),
        Target("fit: outside the network's work", shares.get("outside"), OUTSIDE, "%", least=False),
    ]


def check_targets(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [gate._asdict() | {"met": gate.met} for gate in targets(found)]
