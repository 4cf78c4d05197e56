"""Plateau schedule (§5): rate divided by ten when the validation error stops improving."""

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trainers import fake_module, fake_trainer, rates, sgd

from alexnet_pl.training.schedules import PlateauSchedule

MONITOR = "val/top1_error"


def validate(callback: PlateauSchedule, trainer: SimpleNamespace, module: SimpleNamespace, error: float) -> None:
    trainer.callback_metrics[MONITOR] = torch.tensor(error, dtype=torch.float64)
    callback.on_validation_end(trainer, module)


def run(
    callback: PlateauSchedule, curve: list[float]
) -> tuple[list[float], list[bool], SimpleNamespace, SimpleNamespace]:
    """(rate of fc8's weights, whether the run stops) after each validation; at the end, trainer and module."""
    trainer, module = fake_trainer(), fake_module()
    callback.on_train_start(trainer, module)
    seen, stops = [], []
    for error in curve:
        validate(callback, trainer, module, error)
        seen.append(rates(trainer)["fc8.weight"])
        stops.append(trainer.should_stop)
    return seen, stops, trainer, module


def test_falling_error_keeps_the_rate() -> None:
    seen, stops, _, _ = run(PlateauSchedule(patience=1), [90.0 - i for i in range(30)])
    assert seen == [0.01] * 30
    assert not any(stops)


def test_plateau_lasts_patience_validations_and_the_last_one_stops() -> None:
    """§6: "divide by 10 when the validation error rate stopped improving", twice here; the first is the best."""
    seen, stops, _, _ = run(PlateauSchedule(patience=2, times=2), [50.0] * 7)
    assert seen == pytest.approx([0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4])
    assert stops == [False] * 6 + [True]


def test_rate_is_divided_three_times_by_default() -> None:
    """§6: "reduced three times prior to termination"."""
    seen, stops, _, _ = run(PlateauSchedule(patience=1, freeze_conv1=False), [50.0] * 5)
    assert seen == pytest.approx([0.01, 1e-3, 1e-4, 1e-5, 1e-5])
    assert stops == [False, False, False, False, True]


def test_improvement_resets_the_count() -> None:
    curve = [50.0, 51, 49, 50, 50, 48, 48, 48, 48]
    seen, _, _, _ = run(PlateauSchedule(patience=3, times=3), curve)
    assert seen == pytest.approx([0.01] * 8 + [0.001])


def test_equal_error_is_not_an_improvement() -> None:
    seen, _, _, _ = run(PlateauSchedule(patience=1), [50.0, 50.0])
    assert seen == pytest.approx([0.01, 0.001])


def test_fall_within_min_delta_is_not_an_improvement() -> None:
    """Points are 0.4 apart: the third is 0.8 below the best, which counts for min_delta 0.5."""
    seen, _, _, _ = run(PlateauSchedule(patience=2, min_delta=0.5), [50.0, 49.6, 49.2, 48.8, 48.4])
    assert seen == [0.01] * 5
    seen, _, _, _ = run(PlateauSchedule(patience=2, min_delta=0.5), [50.0, 49.5, 49.5])
    assert seen == pytest.approx([0.01, 0.01, 0.001]), "0.5 below is not more than 0.5"


def test_best_error_is_kept_across_divisions() -> None:
    """After a division, the error must beat the best of all, not just the first one after it."""
    seen, _, _, _ = run(PlateauSchedule(patience=2), [50.0, 55, 55, 54, 53])
    assert seen == pytest.approx([0.01, 0.01, 1e-3, 1e-3, 1e-4])


def test_division_keeps_the_ratios_of_groups() -> None:
    _, _, trainer, module = run(PlateauSchedule(patience=1, times=3), [50.0] * 3)
    for name, rate in rates(trainer).items():
        assert rate == pytest.approx(2e-4 if name.endswith("bias") else 1e-4)
    assert module.augment.noise == 0.1


@pytest.mark.parametrize(
    ("bias_drop", "biases"),
    [
        ("all", [0.02, 0.002, 2e-4, 2e-5]),
        (1, [0.02, 0.002, 0.002, 0.002]),
        (2, [0.02, 0.02, 0.002, 0.002]),
        (None, [0.02, 0.02, 0.02, 0.02]),
    ],
)
def test_biases_are_divided_at_the_given_division(bias_drop: int | str | None, biases: list[float]) -> None:
    """SOURCE_FACTS §3: 0.002 from the first drop on in 145-2010, 0.02 to the end in 145 on ILSVRC-2012; §6: one rate
    for all layers. Weights are divided each time; conv1 is frozen with its bias."""
    callback, trainer, module = PlateauSchedule(patience=1, times=3, bias_drop=bias_drop), fake_trainer(), fake_module()
    found = []
    for _ in range(4):
        validate(callback, trainer, module, 50.0)
        found.append(rates(trainer))
    assert [each["fc8.bias"] for each in found] == pytest.approx(biases)
    assert [each["fc8.weight"] for each in found] == pytest.approx([0.01, 0.001, 1e-4, 1e-5])
    assert found[-1]["conv1.bias"] == 0.0


@pytest.mark.parametrize("bias_drop", [0, 3, -1, "first"])
def test_bias_drop_at_no_division_is_refused(bias_drop: Any) -> None:
    with pytest.raises(ValueError, match=f"^bias_drop={bias_drop}: a division from 1 to 2, all, or null$"):
        PlateauSchedule(times=2, bias_drop=bias_drop)


def test_last_division_freezes_conv1_and_ends_the_noise_as_run() -> None:
    _, _, trainer, module = run(PlateauSchedule(patience=1, times=3), [50.0] * 4)
    found = rates(trainer)
    assert found["conv1.weight"] == found["conv1.bias"] == 0.0
    assert found["conv2.weight"] == pytest.approx(1e-5)
    assert found["fc8.bias"] == pytest.approx(2e-5)
    assert module.augment.noise == 0.0


def test_as_printed_conv1_is_not_frozen_and_noise_stays() -> None:
    _, _, trainer, module = run(PlateauSchedule(patience=1, times=3, freeze_conv1=False), [50.0] * 5)
    assert {round(rate, 12) for name, rate in rates(trainer).items() if name.endswith("weight")} == {1e-5}
    assert {round(rate, 12) for name, rate in rates(trainer).items() if name.endswith("bias")} == {2e-5}
    assert module.augment.noise == 0.1


@pytest.mark.parametrize("freeze", [True, False])
def test_without_divisions_the_first_plateau_stops_the_fit(freeze: bool) -> None:
    """There is no last division, so its actions do not happen."""
    seen, stops, trainer, module = run(PlateauSchedule(patience=2, times=0, freeze_conv1=freeze), [50.0] * 3)
    assert seen == [0.01] * 3
    assert stops == [False, False, True]
    assert rates(trainer)["conv1.weight"] == 0.01
    assert module.augment.noise == 0.1


def test_nan_error_is_not_an_improvement() -> None:
    seen, stops, _, _ = run(PlateauSchedule(patience=2, times=1), [math.nan, math.nan, 50.0, math.nan, math.nan])
    assert seen == pytest.approx([0.01, 1e-3, 1e-3, 1e-3, 1e-3])
    assert stops == [False, False, False, False, True]


curves = st.lists(st.sampled_from([40.0, 42.0, 44.0, 44.25, 46.0, 48.0]), min_size=1, max_size=30)


@given(curves, st.integers(1, 4), st.sampled_from([0.0, 0.5, 2.0]), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_divisions_match_torchs_reduce_on_plateau(
    curve: list[float], patience: int, min_delta: float, times: int
) -> None:
    """torch waits for more bad epochs than its patience; its threshold in absolute mode equals ours."""
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        theirs, factor=0.1, patience=patience - 1, threshold=min_delta, threshold_mode="abs", eps=0.0
    )
    wanted = []
    for error in curve:
        torchs.step(error)
        wanted.append(round(-math.log10(theirs.param_groups[0]["lr"])))
    seen, stops, _, _ = run(PlateauSchedule(patience=patience, min_delta=min_delta, times=times), curve)
    assert [round(-math.log10(rate / 0.01)) for rate in seen] == [min(divisions, times) for divisions in wanted]
    assert stops == [divisions > times for divisions in wanted]


def everything(trainer: SimpleNamespace, module: SimpleNamespace) -> tuple:
    return rates(trainer), module.augment.noise, trainer.should_stop


@given(
    curves, st.integers(0, 30), st.integers(1, 3), st.integers(0, 3), st.booleans(), st.sampled_from([None, "all", 1])
)
@settings(max_examples=80, deadline=None)
def test_resumed_run_makes_the_same_decisions(
    curve: list[float], cut: int, patience: int, times: int, freeze: bool, bias_drop: int | str | None
) -> None:
    """States of callback and optimizer are restored, the module's noise is not. The state is plain JSON."""
    once = min(bias_drop, times) or None if isinstance(bias_drop, int) else bias_drop

    def fresh() -> PlateauSchedule:
        return PlateauSchedule(patience=patience, times=times, freeze_conv1=freeze, bias_drop=once)

    whole, trainer, module = fresh(), fake_trainer(), fake_module()
    whole.on_train_start(trainer, module)
    course = []
    for error in curve:
        validate(whole, trainer, module, error)
        course.append(everything(trainer, module))

    cut = min(cut, len(curve) - 1)
    first, trainer, module = fresh(), fake_trainer(), fake_module()
    first.on_train_start(trainer, module)
    for error in curve[:cut]:
        validate(first, trainer, module, error)
    saved = json.dumps(first.state_dict())

    second, optimizer = fresh(), sgd()
    optimizer.load_state_dict(trainer.optimizers[0].state_dict())
    second.load_state_dict(json.loads(saved))
    trainer, module = fake_trainer(optimizer), fake_module()
    second.on_train_start(trainer, module)
    if cut:
        assert everything(trainer, module) == course[cut - 1]
    for error, wanted in zip(curve[cut:], course[cut:], strict=True):
        validate(second, trainer, module, error)
        assert everything(trainer, module) == wanted


@pytest.mark.parametrize(
    ("name", "value"), [("patience", 0), ("times", -1), ("min_delta", -0.5), ("monitor", "val/top1")]
)
def test_impossible_plateaus_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}={value}"):
        PlateauSchedule(**{name: value})


def resume(saved: PlateauSchedule, trainer: SimpleNamespace, times: int, freeze: bool = True) -> PlateauSchedule:
    callback = PlateauSchedule(patience=1, times=times, freeze_conv1=freeze)
    callback.load_state_dict(saved.state_dict())
    callback.on_train_start(trainer, fake_module())  # type: ignore[arg-type]
    return callback


def test_resumed_with_fewer_divisions_the_next_plateau_stops_the_fit() -> None:
    before = PlateauSchedule(patience=1, times=3)
    _, _, trainer, module = run(before, [50.0] * 3)
    after = resume(before, trainer, times=1)
    assert (after.num_drops, after.done, rates(trainer)["conv1.weight"]) == (2, False, 0.0)
    validate(after, trainer, module, 50.0)
    assert (after.num_drops, after.done, trainer.should_stop) == (2, True, True)


def test_resumed_with_more_divisions_an_ended_fit_continues_and_conv1_learns_again() -> None:
    """The fourth division, which the last plateau asked for, is made at once; the fifth is the last."""
    before = PlateauSchedule(patience=1, times=3)
    _, stops, trainer, module = run(before, [50.0] * 5)
    assert stops[-1]
    assert rates(trainer)["conv1.weight"] == 0.0
    trainer.should_stop = False
    after = resume(before, trainer, times=5)
    assert (after.num_drops, after.done, trainer.should_stop) == (4, False, False)
    assert {round(rate, 12) for name, rate in rates(trainer).items() if name.endswith("weight")} == {1e-6}
    validate(after, trainer, module, 50.0)
    assert (after.num_drops, rates(trainer)["conv1.weight"]) == (5, 0.0)
