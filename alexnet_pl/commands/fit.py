"""`fit`: train a network (§6) from scratch, from a checkpoint, or from layers of an earlier network (§7)."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import lightning as L
import torch
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands import subruns
from alexnet_pl.commands.network_of_weights import OWN, own_values
from alexnet_pl.commands.process_state import pin_argv_for_ddp_ranks
from alexnet_pl.commands.transfer_source import check_same_source
from alexnet_pl.commands.typed_overrides import is_minimized, is_sweep_job, is_typed, typed_overrides
from alexnet_pl.config import identity, options
from alexnet_pl.config.identity import Settings
from alexnet_pl.config.neutral import is_neutral
from alexnet_pl.config.overrides import format_literal, quote_literal, read_section
from alexnet_pl.config.schema import store_root
from alexnet_pl.config.sections import SCHEDULES, VALIDATION_METRICS
from alexnet_pl.console import is_first_process, pluralize, print_message, print_warning, progress, shorten_path
from alexnet_pl.data.archives.remote import is_remote
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.dataset_info import describe_dataset
from alexnet_pl.evaluation.result import append_top5
from alexnet_pl.experiment.build import build, build_classifier, make_schedule
from alexnet_pl.inference.earlier_network import open_earlier_network
from alexnet_pl.models.layers import NormLayer
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.checkpoint import print_start, read_checkpoint
from alexnet_pl.runs.checkpoint_checks import (
    check_resume_limits,
    check_resume_settings,
    check_trained_here,
    warn_of_other_validation,
)
from alexnet_pl.runs.layout import BEST, LAST
from alexnet_pl.runs.started_config import adopt_started_config
from alexnet_pl.training.callbacks.fit_record import FitRecord
from alexnet_pl.training.callbacks.restored_state import restoring
from alexnet_pl.training.checkpointing import BestCheckpoint, save_last
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.energy import describe_cost
from alexnet_pl.training.epoch_schedules import StagedSchedule
from alexnet_pl.training.media import log_summary, upload_checkpoints
from alexnet_pl.training.schedules import count_completed_epochs, find_limit
from alexnet_pl.training.transfer import copy_layers, describe_differences, freeze_layers, learning_rate_scales


def fit(cfg: DictConfig, folder: Path) -> float | None:
    check_staged_rates(cfg)
    check_typed_schedule(cfg)
    check_objective(cfg)
    if not is_ready(cfg, folder, identity.training_signature):
        return None
    if not cfg.ckpt_path:
        start_from(cfg, folder)
    return train(cfg, folder)


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
    """Whether `variant=as_printed` was typed or chosen by a recipe, by its settings of the other schedules."""
    steps, *others = (cfg.schedule.get(name) or {} for name in ("steps", "plateau", "logged"))
    return bool(steps.get("biases")) and not any(other.get("freeze_conv1", True) for other in others)


def stages_set_all_biases(cfg: DictConfig) -> bool:
    """Whether no bias takes its rate from that of its weights."""
    schedule = make_schedule(cfg)
    return isinstance(schedule, StagedSchedule) and options.ALL in schedule.stages[0].biases


def check_typed_schedule(cfg: DictConfig) -> None:
    """Raise UserError for a typed key of another schedule than the chosen one; jobs of a sweep may choose several."""
    for word in typed_overrides():
        for name, value in read_section([word], "schedule").items():
            if value and name in SCHEDULES and name != cfg.schedule.name and not is_sweep_job():
                raise UserError(f"{word}: schedule.name={cfg.schedule.name} does not read it; add schedule.name={name}")


def check_objective(cfg: DictConfig) -> None:
    """Raise UserError if a sweeper would minimize an error that `measure_objective` never has."""
    if cfg.objective in VALIDATION_METRICS and cfg.data.get("include_val_after_epoch") == 0 and is_minimized():
        raise UserError(
            f"objective={cfg.objective}: data.include_val_after_epoch=0 trains on the validation images from the "
            "start, so no sweeper can minimize it; choose another, or train on them later"
        )


def store_fingerprint(cfg: DictConfig) -> str:
    """Fingerprint of the store at `data.root`; "" if it does not exist, since a finished fit does not need it."""
    root = store_root(cfg)
    return Store(root).fingerprint if is_remote(root) or Path(root).exists() else ""


def is_ready(
    cfg: DictConfig,
    folder: Path,
    signature: Callable[[DictConfig], Settings],
    fingerprint: Callable[[DictConfig], str] = store_fingerprint,
) -> bool:
    """Whether a fit has something to train; with `ckpt_path=auto`, see `is_finished`.

    `signature`, `fingerprint`: settings and images of the fit, which only `auto` compares with those of the folder.
    """
    if cfg.ckpt_path == "auto" and is_finished(cfg, folder, signature(cfg), fingerprint(cfg)):
        return False
    check_folder_is_free(cfg, folder)
    return True


def is_finished(cfg: DictConfig, folder: Path, training: Settings, fingerprint: str) -> bool:
    """For `ckpt_path=auto`: whether the fit is finished. If not, set `cfg.ckpt_path` to the checkpoint to resume.

    Raises UserError if the folder holds the fit of another network: with other settings, seed, images (`fingerprint`
    of their store) or `transfer.weights`, or one that is trained beyond the limits of the trainer.
    """
    finished, last = fit_status.resume_point(folder, training, fingerprint)
    checkpoint = read_checkpoint(last) if last else None
    if checkpoint:
        check_resume_settings(checkpoint, identity.resume_signature(cfg))
        check_resume_limits(checkpoint, cfg.trainer.max_epochs, cfg.trainer.get("max_steps"))
        warn_of_other_validation(checkpoint, cfg.trainer.get("limit_val_batches"))
        check_same_source(cfg, checkpoint, folder)
    if finished:
        adopt_started_config(folder)
        print_message("training already finished", folder)
        return True
    cfg.ckpt_path = str(last) if last else None
    if last and checkpoint:
        print_start(last, checkpoint)
        check_trained_here(last)
    return False


def check_folder_is_free(cfg: DictConfig, folder: Path) -> None:
    """Raise UserError if a new fit would replace the checkpoints of another."""
    path = folder / LAST
    if not cfg.ckpt_path and path.is_file():
        step = read_checkpoint(path)["global_step"]
        raise UserError(
            f"hydra.run.dir={folder}: holds a run of {pluralize(step, 'step')}; continue it with `python -m alexnet_pl "
            f"fit {shlex.quote(shorten_path(folder))}`, or choose another folder"
        )


def start_from(cfg: DictConfig, folder: Path) -> None:
    """Set `cfg.transfer.weights`, pre-training a network first if the recipe asks for one."""
    transfer = options.make_transfer_options(cfg)
    if transfer.pretrain_recipe and not transfer.weights:
        with torch.device("meta"):
            build_classifier(cfg)  # wrong settings of this fit are found now, not after days of pre-training
        cfg.transfer.weights = subruns.pretrain(cfg, transfer, folder)


def pin_start_for_ddp_ranks(cfg: DictConfig) -> None:
    """Pass this rank's starting point to the other ranks of a fit, since files may change before they read them, and
    the user's own values that take precedence over those of `transfer.network=weights`."""
    start = {"ckpt_path": cfg.ckpt_path}
    if cfg.transfer.weights and not cfg.ckpt_path:  # a resumed fit does not read them
        start["transfer.weights"] = cfg.transfer.weights
    words = [f"{key}={quote_literal(value) if value else 'null'}" for key, value in start.items()]
    if cfg.transfer.get("network") == "weights":
        own = [(f"{section}.{key}", value) for section in OWN for key, value in own_values(cfg, section).items()]
        words += [f"++{format_literal(key, value)}" for key, value in own]
    pin_argv_for_ddp_ranks(words)


def transfer_layers(cfg: DictConfig, module: Classifier) -> None:
    """Copy layers of an earlier network, unless the fit resumes its own checkpoint; set learning rates by layer."""
    transfer = options.make_transfer_options(cfg)
    if transfer.layers and not cfg.ckpt_path:
        assert transfer.weights
        earlier = open_earlier_network(transfer.weights)
        copy_layers(module.net, earlier, transfer.layers)
        warn_of_differences(module.architecture["model"], earlier.architecture.get("model", {}), transfer.weights)
        module.lineage = earlier.lineage
    module.rate_scales = learning_rate_scales(module.net, transfer)
    freeze_layers(module.net, module.rate_scales)


def warn_of_differences(model: Settings, earlier: Settings, weights: str) -> None:
    """Name the settings by which the weights compute something else here than in the `earlier` network. A user may want
    it, so the fit goes on."""
    if is_first_process() and (differences := describe_differences(model, earlier)):
        print_warning(
            f"transfer.weights={weights}: trained with other settings ({differences}), so its layers compute something "
            "else here; transfer.network=weights adopts its network"
        )


def train(cfg: DictConfig, folder: Path) -> float | None:
    trainer, module, data = build(cfg, folder)
    first_step = read_checkpoint(cfg.ckpt_path)["global_step"] if cfg.ckpt_path else None
    transfer_layers(cfg, module)
    record = FitRecord(folder, identity.training_signature(cfg), lambda: describe_dataset(data.store, "train"))
    announce_compilation(module, trainer.strategy.root_device)
    errors = fit_to_end(cfg, trainer, module, data, record)
    if options.make_monitor_options(cfg).upload_checkpoints:
        saved = [path for name in (BEST, LAST) if (path := folder / name).is_file()]
        upload_checkpoints(trainer.loggers, saved, {"step": trainer.global_step, "epoch": trainer.current_epoch})
    took = f"{pluralize(count_completed_epochs(trainer), 'epoch')}, {pluralize(trainer.global_step, 'step')}"
    status = fit_status.read_fit_status(folder)
    if trainer.global_step == first_step and status and status.finished:
        limit = find_limit(trainer)
        how = f"a larger {limit} continues it" if limit else "its schedule has ended it"
        print_message(f"training already finished ({took}); {how}", folder)
    else:
        validated = describe_validation(cfg, errors, len(data.store.classes), trainer.global_step)
        print_message(f"{took}: {validated}; {describe_cost(record.seconds, record.joules)}", folder)
    return measure_objective(cfg, trainer, errors)


def measure_objective(cfg: DictConfig, trainer: L.Trainer, errors: Mapping[str, float]) -> float | None:
    """The last value of `objective`, which a sweep minimizes; that of best.ckpt if the validation images were trained
    on afterwards."""
    if cfg.objective not in VALIDATION_METRICS or not is_trained_on(cfg, errors):
        return errors.get(cfg.objective)
    (best,) = (one for one in trainer.checkpoint_callbacks if isinstance(one, BestCheckpoint))
    return None if best.best_model_score is None else float(best.best_model_score)


def is_trained_on(cfg: DictConfig, errors: Mapping[str, float]) -> bool:
    """Whether the network had trained on the validation images when it was last validated."""
    since = cfg.data.get("include_val_after_epoch")
    return since is not None and errors.get("epoch", 0) > since


def announce_compilation(module: Classifier, device: torch.device) -> None:
    """Explain the first step of a new network, which takes up to a minute without other output."""
    has_norms = any(isinstance(layer, NormLayer) for layer in module.net.modules())
    if is_first_process() and has_norms and module.performance.uses_compile(device):
        progress("compiling response normalization; later fits find it in a cache")


def describe_validation(cfg: DictConfig, errors: Mapping[str, float], classes: int, step: int) -> str:
    """The last validation, with what sets it apart from one of the network after its last step, `step`."""
    if "val/top1_error" not in errors:
        return "not validated"
    batches = cfg.trainer.get("limit_val_batches")
    notes = [] if is_neutral("limit_val_batches", batches) else [f"limited by trainer.limit_val_batches={batches}"]
    notes += ["of images trained on"] if is_trained_on(cfg, errors) else []
    notes += [f"after step {errors['step']:,.0f}"] if errors["step"] != step else []
    top5 = append_top5(classes, errors["val/top5_error"])
    return ", ".join([f"val top-1 error {errors['val/top1_error']:.2f} %{top5}", "center view", *notes])


def fit_to_end(
    cfg: DictConfig, trainer: L.Trainer, module: L.LightningModule, data: L.LightningDataModule, record: FitRecord
) -> dict[str, float]:
    """Train, save `last.ckpt` and a finished fit.json, and return the last metrics."""
    pin_start_for_ddp_ranks(cfg)
    log_summary(trainer.loggers, "config", OmegaConf.to_container(cfg, resolve=True))
    trainer.callbacks.append(record)  # type: ignore[attr-defined]
    with restoring(cfg.ckpt_path):
        trainer.fit(module, datamodule=data, ckpt_path=cfg.ckpt_path)
    save_last(trainer, record.run / LAST)
    record.finish(trainer, images=trainer.global_step * cfg.data.batch_size)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}
