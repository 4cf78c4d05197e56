"""Epoch schedules: logged, steps, staged, constant."""

import json
from types import SimpleNamespace

import pytest
from trainers import fake_module, fake_trainer, rates, sgd, trained_epochs

from alexnet_pl.training.epoch_schedules import LoggedSchedule, StagedSchedule, StepSchedule
from alexnet_pl.training.schedules import ConstantSchedule

# layer-params-145.cfg (2012), epochs from 1: first epoch, fc8.weight, conv1.weight, fc8.bias, conv1.bias, noise. Its
# lines 1 to 115 have the last rates: epsB 0.02 in all layers but conv1, whose rates are 0.
LOG_OF_145 = [
    (1, 1e-2, 1e-2, 2e-2, 2e-2, 0.1),
    (25, 1e-3, 1e-3, 2e-2, 2e-2, 0.1),
    (51, 1e-4, 1e-4, 2e-2, 2e-2, 0.1),
    (67, 1e-4, 1e-5, 2e-2, 2e-2, 0.0),
    (72, 1e-4, 0.0, 2e-2, 0.0, 0.0),
    (79, 1e-5, 0.0, 2e-2, 0.0, 0.0),
]


def stage(log: list[tuple], epoch: int) -> tuple:
    return [row for row in log if row[0] <= epoch][-1][1:]


def decided(trainer: SimpleNamespace, module: SimpleNamespace) -> tuple:
    found = rates(trainer)
    assert found["conv2.weight"] == found["fc8.weight"]
    assert found["conv2.bias"] == found["fc8.bias"]
    return (*(found[name] for name in ("fc8.weight", "conv1.weight", "fc8.bias", "conv1.bias")), module.augment.noise)


def test_logged_schedule_matches_net_145_epoch_by_epoch() -> None:
    callback, trainer, module = LoggedSchedule(), fake_trainer(), fake_module()
    for epoch in range(1, 92):
        assert not trainer.should_stop, epoch
        trainer.current_epoch = epoch - 1
        callback.on_train_epoch_start(trainer, module)
        assert decided(trainer, module) == pytest.approx(stage(LOG_OF_145, epoch), rel=1e-9), epoch
        callback.on_train_epoch_end(trainer, module)
    assert trainer.should_stop


def test_logged_schedule_replays_other_runs() -> None:
    """layer-params-145-2010.cfg. Its last epsB is 0.002; when it was lowered is not logged."""
    log = [(1, 1e-2, 1e-2, 2e-2, 2e-2, 0.1), (23, 1e-3, 1e-3, 2e-3, 2e-3, 0.1), (51, 1e-4, 1e-4, 2e-3, 2e-3, 0.1)]
    log += [(68, 1e-4, 1e-5, 2e-3, 2e-3, 0.0), (72, 1e-4, 0.0, 2e-3, 0.0, 0.0), (78, 1e-5, 0.0, 2e-3, 0.0, 0.0)]
    callback, trainer, module = LoggedSchedule(23, 51, 68, 72, 78, 93, bias_drop=23), fake_trainer(), fake_module()
    for epoch in range(1, 94):
        trainer.current_epoch = epoch - 1
        callback.on_train_epoch_start(trainer, module)
        assert decided(trainer, module) == pytest.approx(stage(log, epoch), rel=1e-9), epoch
        callback.on_train_epoch_end(trainer, module)
        assert trainer.should_stop == (epoch == 93)


@pytest.mark.parametrize("bias_drop", [None, 23])
def test_text_divides_all_rates_at_the_logged_epochs(bias_drop: int | None) -> None:
    """§6: "an equal learning rate for all layers", divided by 10 three times; nothing about conv1 or the noise."""
    callback = LoggedSchedule(bias_drop=bias_drop, biases=True, freeze_conv1=False)
    trainer, module = fake_trainer(sgd(bias_lr=1e-2)), fake_module()
    for epoch in range(1, 92):
        trainer.current_epoch = epoch - 1
        callback.on_train_epoch_start(trainer, module)
        rate = 1e-2 / 10 ** ((epoch >= 25) + (epoch >= 51) + (epoch >= 79))
        assert decided(trainer, module) == pytest.approx((rate, rate, rate, rate, 0.1), rel=1e-9), epoch
        callback.on_train_epoch_end(trainer, module)
    assert trainer.should_stop


@pytest.mark.parametrize("epoch", range(1, 92, 6))
def test_resumed_logged_run_has_the_epochs_rates_and_noise(epoch: int) -> None:
    """The checkpoint has the rates of the previous epoch; the noise starts at the recipe's value."""
    before, trainer, module = LoggedSchedule(), fake_trainer(), fake_module()
    for past in range(epoch - 1):
        trainer.current_epoch = past
        before.on_train_epoch_start(trainer, module)
    optimizer = sgd()
    optimizer.load_state_dict(trainer.optimizers[0].state_dict())
    after, trainer, module = LoggedSchedule(), fake_trainer(optimizer), fake_module()
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    trainer.current_epoch = epoch - 1
    after.on_train_epoch_start(trainer, module)
    assert decided(trainer, module) == pytest.approx(stage(LOG_OF_145, epoch), rel=1e-9)


ORDERED = {"drop1": 1, "drop2": 3, "cool": 5, "freeze": 7, "drop3": 9, "stop": 11}


@pytest.mark.parametrize(
    "change",
    [{"drop1": 0}, {"drop1": 4}, {"drop2": 6}, {"cool": 8}, {"freeze": 12}, {"stop": 6}],
    ids=lambda change: next(iter(change)),
)
def test_logged_epochs_out_of_order_are_refused(change: dict[str, int]) -> None:
    LoggedSchedule(**ORDERED)
    with pytest.raises(ValueError, match=r"^drop1, drop2, cool, freeze, stop: epochs from 1, in this order$"):
        LoggedSchedule(**ORDERED | change)


@pytest.mark.parametrize("epoch", [2, 12])
def test_third_division_outside_of_the_second_and_the_end_is_refused(epoch: int) -> None:
    """It may come before `cool` and `freeze`, which concern conv1."""
    LoggedSchedule(**ORDERED | {"drop3": 4})
    with pytest.raises(ValueError, match=rf"^drop3={epoch}: an epoch from drop2, 3, to stop, 11$"):
        LoggedSchedule(**ORDERED | {"drop3": epoch})


@pytest.mark.parametrize("epoch", [0, 12])
def test_bias_drop_outside_the_fit_is_refused(epoch: int) -> None:
    LoggedSchedule(**ORDERED, bias_drop=11)
    with pytest.raises(ValueError, match=rf"^bias_drop={epoch}: an epoch from 1 to 11, or null$"):
        LoggedSchedule(**ORDERED, bias_drop=epoch)


def test_logged_epochs_may_coincide() -> None:
    """drop3 may come before conv1's rate drops (`cool`), since it concerns the other layers."""
    at_once = LoggedSchedule(**dict.fromkeys(ORDERED, 1))
    factors = [at_once.factor(name, 1) for name in ("fc8.weight", "conv1.weight", "fc8.bias", "conv1.bias")]
    assert factors == pytest.approx([1e-3, 0, 1, 0])
    early = LoggedSchedule(**ORDERED | {"drop3": 3})
    for epoch, others, first in ((2, 1e-1, 1e-1), (3, 1e-3, 1e-2), (5, 1e-3, 1e-3), (7, 1e-3, 0)):
        found = early.factor("fc8.weight", epoch), early.factor("conv1.weight", epoch)
        assert found == pytest.approx((others, first)), epoch


@pytest.mark.parametrize(("ended", "complete"), [(10, False), (11, True), (12, True)])
def test_logged_schedule_is_complete_after_its_last_epoch(ended: int, complete: bool) -> None:
    trainer, resumed = fake_trainer(), LoggedSchedule(**ORDERED)
    vars(trainer).update(trained_epochs(ended))
    assert resumed.is_complete(trainer) == resumed.ends_by_itself(trainer) == complete
    resumed.on_train_start(trainer, fake_module())
    assert trainer.should_stop == complete


@pytest.mark.parametrize("divide_by", [0.5, 0.999])
def test_steps_that_raise_the_rate_are_refused(divide_by: float) -> None:
    with pytest.raises(ValueError, match=f"divide_by={divide_by}: at least 1"):
        StepSchedule([2], divide_by)
    StepSchedule([1, 1, 2], 1)


def test_steps_divide_weight_rates_by_ten_and_leave_bias_rates() -> None:
    """layer-params-conv-local-11pct.cfg: 350 + 150 epochs, ten at a tenth, ten at a hundredth; only epsW is lowered."""
    trainer, module, callback = fake_trainer(), fake_module(), StepSchedule([501, 511])
    for epoch, factor in ((1, 1), (350, 1), (500, 1), (501, 0.1), (510, 0.1), (511, 0.01), (520, 0.01), (1, 1)):
        trainer.current_epoch = epoch - 1
        callback.on_train_epoch_start(trainer, module)
        found = rates(trainer)
        assert found["conv1.weight"] == found["fc8.weight"] == pytest.approx(0.01 * factor)
        assert found["conv1.bias"] == found["fc8.bias"] == 0.02


def test_constant_schedule_ends_at_the_first_epoch_below_the_target_error() -> None:
    curve = [90.0, 25.01, 25.0, 30.0]
    for until, stops in ((25, [False, False, True, True]), (None, [False] * 4)):
        trainer, callback, seen = fake_trainer(), ConstantSchedule(until), []
        for error in curve:
            callback.on_train_epoch_end(trainer, SimpleNamespace(epoch_error=lambda error=error: error))
            seen.append(trainer.should_stop)
        assert seen == stops
        resumed, again = fake_trainer(), ConstantSchedule(until)
        again.load_state_dict(callback.state_dict())
        again.on_train_start(resumed, fake_module())
        assert resumed.should_stop == stops[-1]


@pytest.mark.parametrize("drops", [[0], [461, 451]])
def test_steps_out_of_order_are_refused(drops: list[int]) -> None:
    with pytest.raises(ValueError, match="drops="):
        StepSchedule(drops)


def test_overfeat_rates_halve_after_30_50_60_70_and_80_epochs() -> None:
    """OverFeat §3.1; epochs count from 1, so the 31st is the first with half the rate."""
    trainer, schedule = fake_trainer(), StepSchedule([31, 51, 61, 71, 81], divide_by=2, biases=True)
    for done, epochs in enumerate([(1, 30), (31, 50), (51, 60), (61, 70), (71, 80), (81, 90)]):
        for epoch in epochs:
            trainer.current_epoch = epoch - 1
            schedule.on_train_epoch_start(trainer, fake_module())
            assert rates(trainer) == {name: rate * 0.5**done for name, rate in rates(fake_trainer()).items()}


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
def test_stages_apply_from_their_position(position: float, name: str, rate: float) -> None:
    schedule = StagedSchedule(STAGES)
    weights, biases, _ = schedule.rates(position)
    assert schedule.rate(name, weights, biases) == rate


def test_stage_is_applied_before_rates_are_logged() -> None:
    """LearningRateMonitor logs the rates after this callback and before the first batch."""
    trainer, schedule = fake_trainer(), StagedSchedule(STAGES)
    trainer.num_training_batches, trainer.current_epoch = 10, 21
    schedule.on_train_epoch_start(trainer, fake_module())
    assert rates(trainer) == {
        **{f"{layer}.bias": 0.02 for layer in ("conv2", "fc8")},
        **{"conv1.weight": 0, "conv1.bias": 0, "conv2.weight": 0.0001, "fc8.weight": 0.0001},
    }


def test_unmentioned_biases_follow_their_weights() -> None:
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
        ([{"epoch": 1, "weights": {"all": 1}, "bias": 1}], r"stages\[0\].bias: unknown key"),
        ([{"weights": {"all": 0.01}}], r"stages\[0\].epoch: missing"),
        ([1], r"^stages\[0\]: not an object"),
        ([{"epoch": "first", "weights": {"all": 1}}], r"^stages\[0\].epoch: 'first' is no float"),
        ([{"epoch": 1, "weights": 1}], r"^stages\[0\].weights: not a dict"),
        ([{"epoch": 1, "weights": {"all": "fast"}}], r"^stages\[0\].weights.all: 'fast' is no float"),
        ([{"epoch": 1, "weights": {"all": 1}, "biases": {"fc8": -1}}], r"^stages\[0\].biases.fc8: -1 is not within 0"),
        ([{"epoch": 1, "weights": {"all": 1}}, {"epoch": 2, "noise": -0.1}], r"^stages\[1\].noise: -0.1 is not within"),
    ],
)
def test_invalid_stages_are_named(stages: list, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        StagedSchedule(stages)


@pytest.mark.parametrize(("batch", "rate", "noise"), [(0, 0.04, 0.1), (4, 0.04, 0.1), (5, 0.01, 0.0), (9, 0.01, 0.0)])
def test_stage_begins_within_an_epoch(batch: int, rate: float, noise: float) -> None:
    """2.5 is the middle of the second epoch; biases have twice the rate of their weights."""
    stages = [{"epoch": 1, "weights": {"all": 0.04}}, {"epoch": 2.5, "weights": {"all": 0.01}, "noise": 0.0}]
    trainer, module, schedule = fake_trainer(), fake_module(), StagedSchedule(stages)
    trainer.num_training_batches, trainer.current_epoch = 10, 1
    schedule.on_train_batch_start(trainer, module, None, batch)
    assert (rates(trainer)["fc8.weight"], rates(trainer)["fc8.bias"]) == (rate, 2 * rate)
    assert module.augment.noise == noise
