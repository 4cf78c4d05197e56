"""Checks of the settings of a classifier's fit, before anything is trained."""

from omegaconf import DictConfig

from alexnet_pl.commands.typed_overrides import is_minimized, is_sweep_job, is_typed, typed_overrides
from alexnet_pl.config import options
from alexnet_pl.config.overrides import read_section
from alexnet_pl.config.sections import SCHEDULES, VALIDATION_METRICS
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.build import make_schedule
from alexnet_pl.training.epoch_schedules import StagedSchedule


def check_fit(cfg: DictConfig) -> None:
    check_variant(cfg)
    check_staged_rates(cfg)
    check_typed_schedule(cfg)
    check_objective(cfg)


def check_variant(cfg: DictConfig) -> None:
    """Raise UserError for a typed variant of a network that has none; its keys of AlexNet would be named one by one."""
    name = cfg.model.get("name", "alexnet")
    for word in typed_overrides():
        key, _, value = word.partition("=")
        if key == "variant" and value != "null" and name != "alexnet":
            raise UserError(f"{word}: model.name={name} has no variants; they are AlexNet's (docs/deviations.md)")


def check_staged_rates(cfg: DictConfig) -> None:
    """Raise UserError for rates outside of `schedule.name=staged`, since they would have no effect, and for the text's
    variant, whose rule of equal rates (§6) the stages would replace."""
    if cfg.schedule.name != "staged":
        return
    if has_rule_of_text(cfg):
        raise UserError(
            "variant=as_printed: schedule.name=staged has the program's rates, freezing and end of noise, and the text "
            "has none of them; add schedule.name=plateau (for a pre-training in transfer.overrides)"
        )
    unread = ["optim.lr", *(["optim.bias_lr_scale"] if stages_set_all_biases(cfg) else [])]
    given = [key for key in unread if is_typed(key)]
    given += ["transfer.rates"] if options.make_transfer_options(cfg).rates else []
    if given:
        raise UserError(f"{given[0]}: schedule.name=staged sets every rate itself; set them there")


def has_rule_of_text(cfg: DictConfig) -> bool:
    """Whether the config has the rates of `variant=as_printed`, typed or chosen by a recipe. The settings of the other
    schedules show it."""
    steps, *others = (cfg.schedule.get(name) or {} for name in ("steps", "plateau", "logged"))
    return bool(steps.get("biases")) and not any(other.get("freeze_conv1", True) for other in others)


def stages_set_all_biases(cfg: DictConfig) -> bool:
    """Whether the stages set the rates of all biases, so that none follows the rate of its weights."""
    schedule = make_schedule(cfg)
    return isinstance(schedule, StagedSchedule) and options.ALL in schedule.stages[0].biases


def check_typed_schedule(cfg: DictConfig) -> None:
    """Raise UserError for a typed key of another schedule than the chosen one; jobs of a sweep may choose several."""
    for word in typed_overrides():
        for name, value in read_section([word], "schedule").items():
            if value and name in SCHEDULES and name != cfg.schedule.name and not is_sweep_job():
                raise UserError(f"{word}: schedule.name={cfg.schedule.name} does not read it; add schedule.name={name}")


def check_objective(cfg: DictConfig) -> None:
    """Raise UserError if a sweeper would minimize an error that is never measured."""
    if cfg.objective in VALIDATION_METRICS and cfg.data.get("include_val_after_epoch") == 0 and is_minimized():
        raise UserError(
            f"objective={cfg.objective}: data.include_val_after_epoch=0 trains on the validation images from the "
            "start, so no sweeper can minimize it; choose another, or train on them later"
        )
