"""When the rate falls: scripted curves, torch's ReduceLROnPlateau, and the epochs of the program's logs."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet_pl.optim import MomentumSGD
from alexnet_pl.schedule import Constant, DivideByTen, LoggedSchedule, StagedSchedule, Steps

LAYERS = ("conv1", "conv2", "fc8")
MONITOR = "val/top1_error"


def sgd() -> MomentumSGD:
    """The program's rates: 0.01 for weights, 0.02 for biases."""
    groups = []
    for layer in LAYERS:
        for kind, rate in (("weight", 0.01), ("bias", 0.02)):
            group = {
                "params": [torch.nn.Parameter(torch.ones(1))],
                "name": f"{layer}.{kind}",
                "lr": rate,
                "initial_lr": rate,
            }
            groups.append(group)
    return MomentumSGD(groups)


def a_trainer(optimizer: MomentumSGD | None = None) -> SimpleNamespace:
    return SimpleNamespace(
        optimizers=[optimizer or sgd()],
        callback_metrics={},
        sanity_checking=False,
        state=SimpleNamespace(fn="fit"),
        should_stop=False,
        current_epoch=0,
    )


def a_module() -> SimpleNamespace:
    return SimpleNamespace(augment=SimpleNamespace(noise=0.1))


def rates(trainer: SimpleNamespace) -> dict[str, float]:
    return {group["name"]: group["lr"] for group in trainer.optimizers[0].param_groups}


def validate(callback: DivideByTen, trainer: SimpleNamespace, module: SimpleNamespace, error: float) -> None:
    trainer.callback_metrics[MONITOR] = torch.tensor(error, dtype=torch.float64)
    callback.on_validation_end(trainer, module)


def run(callback: DivideByTen, curve: list[float]) -> tuple[list[float], list[bool], SimpleNamespace, SimpleNamespace]:
    """The rate of fc8's weights and whether the run stops, after each validation; at the end, trainer and module."""
    trainer, module = a_trainer(), a_module()
    callback.on_train_start(trainer, module)
    seen, stops = [], []
    for error in curve:
        validate(callback, trainer, module, error)
        seen.append(rates(trainer)["fc8.weight"])
        stops.append(trainer.should_stop)
    return seen, stops, trainer, module


def test_a_falling_error_keeps_the_rate() -> None:
    seen, stops, _, _ = run(DivideByTen(patience=1), [90.0 - i for i in range(30)])
    assert seen == [0.01] * 30
    assert not any(stops)


def test_each_plateau_lasts_patience_validations_and_the_one_after_the_last_division_stops() -> None:
    """§6: "divide by 10 when the validation error rate stopped improving", here twice; the first sets the best."""
    seen, stops, _, _ = run(DivideByTen(patience=2, times=2), [50.0] * 7)
    assert seen == pytest.approx([0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4])
    assert stops == [False] * 6 + [True]


def test_the_rate_is_divided_three_times_by_default() -> None:
    """§6: "reduced three times prior to termination"."""
    seen, stops, _, _ = run(DivideByTen(patience=1, freeze_conv1=False), [50.0] * 5)
    assert seen == pytest.approx([0.01, 1e-3, 1e-4, 1e-5, 1e-5])
    assert stops == [False, False, False, False, True]


def test_an_improvement_starts_the_count_of_validations_anew() -> None:
    curve = [50.0, 51, 49, 50, 50, 48, 48, 48, 48]
    seen, _, _, _ = run(DivideByTen(patience=3, times=3), curve)
    assert seen == pytest.approx([0.01] * 8 + [0.001])


def test_an_error_that_only_equals_the_best_is_no_improvement() -> None:
    seen, _, _, _ = run(DivideByTen(patience=1), [50.0, 50.0])
    assert seen == pytest.approx([0.01, 0.001])


def test_what_falls_by_no_more_than_min_delta_is_no_improvement_and_does_not_move_the_mark() -> None:
    """Points of 0.4 each: the third is 0.8 below the best and counts where 0.5 is asked for."""
    seen, _, _, _ = run(DivideByTen(patience=2, min_delta=0.5), [50.0, 49.6, 49.2, 48.8, 48.4])
    assert seen == [0.01] * 5
    seen, _, _, _ = run(DivideByTen(patience=2, min_delta=0.5), [50.0, 49.5, 49.5])
    assert seen == pytest.approx([0.01, 0.01, 0.001]), "0.5 below is not more than 0.5"


def test_the_best_of_before_a_division_stays_the_mark() -> None:
    """After a division the error has to beat the best of all, not the first one that follows."""
    seen, _, _, _ = run(DivideByTen(patience=2), [50.0, 55, 55, 54, 53])
    assert seen == pytest.approx([0.01, 0.01, 1e-3, 1e-3, 1e-4])


def test_every_group_is_divided_and_keeps_its_ratio_to_the_others() -> None:
    _, _, trainer, module = run(DivideByTen(patience=1, times=3), [50.0] * 3)
    for name, rate in rates(trainer).items():
        assert rate == pytest.approx(2e-4 if name.endswith("bias") else 1e-4)
    assert module.augment.noise == 0.1


def test_with_the_last_division_conv1_freezes_and_the_noise_ends() -> None:
    _, _, trainer, module = run(DivideByTen(patience=1, times=3), [50.0] * 4)
    found = rates(trainer)
    assert found["conv1.weight"] == found["conv1.bias"] == 0.0
    assert found["conv2.weight"] == pytest.approx(1e-5)
    assert found["fc8.bias"] == pytest.approx(2e-5)
    assert module.augment.noise == 0.0


def test_in_print_conv1_learns_on_and_the_noise_stays() -> None:
    _, _, trainer, module = run(DivideByTen(patience=1, times=3, freeze_conv1=False), [50.0] * 5)
    assert {round(rate, 12) for name, rate in rates(trainer).items() if name.endswith("weight")} == {1e-5}
    assert {round(rate, 12) for name, rate in rates(trainer).items() if name.endswith("bias")} == {2e-5}
    assert module.augment.noise == 0.1


@pytest.mark.parametrize("freeze", [True, False])
def test_without_divisions_the_first_plateau_stops_and_nothing_freezes_before(freeze: bool) -> None:
    """There is no last division, so nothing happens with it."""
    seen, stops, trainer, module = run(DivideByTen(patience=2, times=0, freeze_conv1=freeze), [50.0] * 3)
    assert seen == [0.01] * 3
    assert stops == [False, False, True]
    assert rates(trainer)["conv1.weight"] == 0.01
    assert module.augment.noise == 0.1


def test_validations_outside_of_training_do_not_count() -> None:
    """Sanity checking before the first step, `validate` and `test` alike."""
    callback, trainer, module = DivideByTen(patience=1), a_trainer(), a_module()
    validate(callback, trainer, module, 50.0)
    before = callback.state_dict()
    trainer.sanity_checking = True
    for _ in range(5):
        validate(callback, trainer, module, 90.0)
        validate(callback, trainer, module, 1.0)
    trainer.sanity_checking, trainer.state.fn = False, "validate"
    validate(callback, trainer, module, 1.0)
    assert callback.state_dict() == before
    assert rates(trainer)["fc8.weight"] == 0.01
    trainer.state.fn = "fit"
    validate(callback, trainer, module, 50.0)
    assert rates(trainer)["fc8.weight"] == pytest.approx(0.001)


def test_an_error_that_is_no_number_is_no_improvement() -> None:
    seen, stops, _, _ = run(DivideByTen(patience=2, times=1), [math.nan, math.nan, 50.0, math.nan, math.nan])
    assert seen == pytest.approx([0.01, 1e-3, 1e-3, 1e-3, 1e-3])
    assert stops == [False, False, False, False, True]


curves = st.lists(st.sampled_from([40.0, 42.0, 44.0, 44.25, 46.0, 48.0]), min_size=1, max_size=30)


@given(curves, st.integers(1, 4), st.sampled_from([0.0, 0.5, 2.0]), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_divisions_fall_where_torchs_reduce_on_plateau_puts_them(
    curve: list[float], patience: int, min_delta: float, times: int
) -> None:
    """Torch waits for more than its patience of bad epochs; its threshold is ours in absolute mode."""
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        theirs, factor=0.1, patience=patience - 1, threshold=min_delta, threshold_mode="abs", eps=0.0
    )
    wanted = []
    for error in curve:
        torchs.step(error)
        wanted.append(round(-math.log10(theirs.param_groups[0]["lr"])))
    seen, stops, _, _ = run(DivideByTen(patience=patience, min_delta=min_delta, times=times), curve)
    assert [round(-math.log10(rate / 0.01)) for rate in seen] == [min(divisions, times) for divisions in wanted]
    assert stops == [divisions > times for divisions in wanted]


def everything(trainer: SimpleNamespace, module: SimpleNamespace) -> tuple:
    return rates(trainer), module.augment.noise, trainer.should_stop


@given(curves, st.integers(0, 30), st.integers(1, 3), st.integers(0, 3), st.booleans())
@settings(max_examples=80, deadline=None)
def test_a_run_resumed_at_any_point_decides_as_one_that_was_not_interrupted(
    curve: list[float], cut: int, patience: int, times: int, freeze: bool
) -> None:
    """The callback's state and the optimizer's come back, the module's noise does not. The state is plain JSON."""

    def fresh() -> DivideByTen:
        return DivideByTen(patience=patience, times=times, freeze_conv1=freeze)

    whole, trainer, module = fresh(), a_trainer(), a_module()
    whole.on_train_start(trainer, module)
    course = []
    for error in curve:
        validate(whole, trainer, module, error)
        course.append(everything(trainer, module))

    cut = min(cut, len(curve) - 1)
    first, trainer, module = fresh(), a_trainer(), a_module()
    first.on_train_start(trainer, module)
    for error in curve[:cut]:
        validate(first, trainer, module, error)
    saved = json.dumps(first.state_dict())

    second, optimizer = fresh(), sgd()
    optimizer.load_state_dict(trainer.optimizers[0].state_dict())
    second.load_state_dict(json.loads(saved))
    trainer, module = a_trainer(optimizer), a_module()
    second.on_train_start(trainer, module)
    if cut:
        assert everything(trainer, module) == course[cut - 1]
    for error, wanted in zip(curve[cut:], course[cut:], strict=True):
        validate(second, trainer, module, error)
        assert everything(trainer, module) == wanted


@pytest.mark.parametrize(("name", "value"), [("patience", 0), ("times", -1)])
def test_impossible_plateaus_are_refused_by_name(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name}={value}"):
        DivideByTen(**{name: value})


# SOURCE_FACTS §3, row "145 on 2012", epochs from 1: first epoch, fc8.weight, conv1.weight, fc8.bias, conv1.bias, noise
LOG_OF_145 = [
    (1, 1e-2, 1e-2, 2e-2, 2e-2, 0.1),
    (25, 1e-3, 1e-3, 2e-3, 2e-3, 0.1),
    (51, 1e-4, 1e-4, 2e-3, 2e-3, 0.1),
    (67, 1e-4, 1e-5, 2e-3, 2e-3, 0.0),
    (72, 1e-4, 0.0, 2e-3, 0.0, 0.0),
    (79, 1e-5, 0.0, 2e-3, 0.0, 0.0),
]


def stage(log: list[tuple], epoch: int) -> tuple:
    return [row for row in log if row[0] <= epoch][-1][1:]


def decided(trainer: SimpleNamespace, module: SimpleNamespace) -> tuple:
    found = rates(trainer)
    assert found["conv2.weight"] == found["fc8.weight"]
    assert found["conv2.bias"] == found["fc8.bias"]
    return (*(found[name] for name in ("fc8.weight", "conv1.weight", "fc8.bias", "conv1.bias")), module.augment.noise)


def test_the_logged_schedule_is_that_of_net_145_epoch_by_epoch() -> None:
    callback, trainer, module = LoggedSchedule(), a_trainer(), a_module()
    for epoch in range(1, 92):
        assert not trainer.should_stop, epoch
        trainer.current_epoch = epoch - 1
        callback.on_train_epoch_start(trainer, module)
        assert decided(trainer, module) == pytest.approx(stage(LOG_OF_145, epoch), rel=1e-9), epoch
        callback.on_validation_end(trainer, module)
    assert trainer.should_stop


def test_the_logged_schedule_replays_other_runs_too() -> None:
    """SOURCE_FACTS §3, row "145-2010", with the bias rates [infer]red there."""
    log = [(1, 1e-2, 1e-2, 2e-2, 2e-2, 0.1), (23, 1e-3, 1e-3, 2e-3, 2e-3, 0.1), (51, 1e-4, 1e-4, 2e-3, 2e-3, 0.1)]
    log += [(68, 1e-4, 1e-5, 2e-3, 2e-3, 0.0), (72, 1e-4, 0.0, 2e-3, 0.0, 0.0), (78, 1e-5, 0.0, 2e-3, 0.0, 0.0)]
    callback, trainer, module = LoggedSchedule(23, 51, 68, 72, 78, 93), a_trainer(), a_module()
    for epoch in range(1, 94):
        trainer.current_epoch = epoch - 1
        callback.on_train_epoch_start(trainer, module)
        assert decided(trainer, module) == pytest.approx(stage(log, epoch), rel=1e-9), epoch
        callback.on_validation_end(trainer, module)
        assert trainer.should_stop == (epoch == 93)


@pytest.mark.parametrize("epoch", range(1, 92, 6))
def test_a_logged_run_resumed_at_any_epoch_has_that_epochs_rates_and_noise(epoch: int) -> None:
    """The rates in the checkpoint are those of the epoch before; the noise is the recipe's again."""
    before, trainer, module = LoggedSchedule(), a_trainer(), a_module()
    for past in range(epoch - 1):
        trainer.current_epoch = past
        before.on_train_epoch_start(trainer, module)
    optimizer = sgd()
    optimizer.load_state_dict(trainer.optimizers[0].state_dict())
    after, trainer, module = LoggedSchedule(), a_trainer(optimizer), a_module()
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    trainer.current_epoch = epoch - 1
    after.on_train_epoch_start(trainer, module)
    assert decided(trainer, module) == pytest.approx(stage(LOG_OF_145, epoch), rel=1e-9)


def test_the_logged_schedule_ignores_validations_outside_of_training() -> None:
    """Also the sanity check before a resumed run's last epoch, which is still to come."""
    callback, trainer, module = LoggedSchedule(), a_trainer(), a_module()
    trainer.current_epoch = 90
    trainer.state.fn = "validate"
    callback.on_validation_end(trainer, module)
    assert not trainer.should_stop
    trainer.state.fn, trainer.sanity_checking = "fit", True
    callback.on_validation_end(trainer, module)
    assert not trainer.should_stop


def test_logged_epochs_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="drop1, drop2"):
        LoggedSchedule(drop1=60)
    with pytest.raises(ValueError, match="stop"):
        LoggedSchedule(stop=70)


def test_steps_divide_the_weights_rates_by_ten_and_leave_the_biases() -> None:
    """SOURCE_FACTS §1c: 300 + 150 epochs, ten at a tenth, ten at a hundredth; only epsW is lowered."""
    trainer, module, callback = a_trainer(), a_module(), Steps([451, 461])
    for epoch, factor in ((1, 1), (300, 1), (450, 1), (451, 0.1), (460, 0.1), (461, 0.01), (470, 0.01), (1, 1)):
        trainer.current_epoch = epoch - 1
        callback.on_train_epoch_start(trainer, module)
        found = rates(trainer)
        assert found["conv1.weight"] == found["fc8.weight"] == pytest.approx(0.01 * factor)
        assert found["conv1.bias"] == found["fc8.bias"] == 0.02


def test_a_constant_rate_ends_with_the_first_epoch_at_or_below_the_line() -> None:
    curve = [90.0, 25.01, 25.0, 30.0]
    for until, stops in ((25, [False, False, True, True]), (None, [False] * 4)):
        trainer, callback, seen = a_trainer(), Constant(until), []
        for error in curve:
            callback.on_train_epoch_end(trainer, SimpleNamespace(epoch_error=lambda error=error: error))
            seen.append(trainer.should_stop)
        assert seen == stops
        resumed, again = a_trainer(), Constant(until)
        again.load_state_dict(callback.state_dict())
        again.on_train_start(resumed, a_module())
        assert resumed.should_stop == stops[-1]


@pytest.mark.parametrize("drops", [[0], [461, 451]])
def test_steps_out_of_order_are_refused(drops: list[int]) -> None:
    with pytest.raises(ValueError, match="drops="):
        Steps(drops)


def test_a_line_that_no_error_is_at_is_refused() -> None:
    with pytest.raises(ValueError, match="until=250"):
        Constant(250)


STAGES = [
    {"epoch": 1, "weights": {"all": 0.001, "conv1": 0.0001}, "biases": {"all": 0.02, "conv6": 0.022}},
    {"epoch": 1.24, "weights": {"fc8": 0.01}},
    {"epoch": 7, "weights": {"conv1": 0}, "biases": {"conv1": 0}},
    {"epoch": 22, "weights": {"all": 0.0001, "conv1": 0}},
    {"epoch": 38, "noise": 0},
]


@pytest.mark.parametrize(
    ("position", "name", "rate"),
    [
        (1.0, "conv1.weight", 0.0001), (1.0, "fc8.weight", 0.001), (1.0, "conv6.bias", 0.022), (1.0, "fc7.bias", 0.02),
        (1.23, "fc8.weight", 0.001), (1.24, "fc8.weight", 0.01), (6.99, "conv1.bias", 0.02), (7.0, "conv1.bias", 0),
        (7.0, "conv1.weight", 0), (21.99, "fc8.weight", 0.01), (22.0, "fc8.weight", 0.0001), (22.0, "fc8.bias", 0.02),
        (50.0, "conv1.weight", 0),
    ],
)  # fmt: skip
def test_stages_hold_from_their_place_on_and_all_starts_anew(position: float, name: str, rate: float) -> None:
    schedule = StagedSchedule(STAGES)
    weights, biases, _ = schedule.rates(position)
    assert schedule.rate(name, weights, biases) == rate


def test_an_epoch_begins_with_its_own_stage_so_that_its_rates_are_logged() -> None:
    """LearningRateMonitor notes the rates after this callback and before the first batch."""
    trainer, schedule = a_trainer(), StagedSchedule(STAGES)
    trainer.num_training_batches, trainer.current_epoch = 10, 21
    schedule.on_train_epoch_start(trainer, a_module())
    assert rates(trainer) == {
        **{f"{layer}.bias": 0.02 for layer in ("conv2", "fc8")},
        **{"conv1.weight": 0, "conv1.bias": 0, "conv2.weight": 0.0001, "fc8.weight": 0.0001},
    }


def test_biases_that_no_stage_mentions_follow_their_weights() -> None:
    schedule = StagedSchedule([{"epoch": 1, "weights": {"all": 0.01, "conv1": 0}}], bias_lr_scale=2.0)
    weights, biases, noise = schedule.rates(3)
    assert [schedule.rate(name, weights, biases) for name in ("fc6.bias", "conv1.bias")] == [0.02, 0]
    assert noise is None
    assert [StagedSchedule(STAGES).rates(position)[2] for position in (37.9, 38)] == [None, 0]


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([], "the first is from epoch 1"),
        ([{"epoch": 2, "weights": {"all": 1}}], "the first is from epoch 1"),
        ([{"epoch": 1, "weights": {"conv1": 1}}], "has weights.all"),
        ([{"epoch": 1, "weights": {"all": 1}}, {"epoch": 9}, {"epoch": 3}], "in order"),
        ([{"epoch": 1, "weights": {"all": 1}, "bias": 1}], r"stages\[0\].bias: there is no such key"),
    ],
)
def test_stages_that_make_no_sense_are_told(stages: list, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        StagedSchedule(stages)
