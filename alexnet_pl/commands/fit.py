"""`fit`: train a network (§6) from scratch, from a checkpoint, or from layers of an earlier network (§7)."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import lightning as L
import torch
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands import subruns
from alexnet_pl.commands.process_state import pin_argv_for_ddp_ranks
from alexnet_pl.commands.typed_overrides import is_sweep_job, typed_overrides
from alexnet_pl.config import identity, options
from alexnet_pl.config.identity import Settings
from alexnet_pl.config.overrides import quote_literal
from alexnet_pl.config.schema import store_root
from alexnet_pl.config.sections import SCHEDULES
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
from alexnet_pl.runs.checkpoint import check_resume_settings, check_trained_here, print_start, read_checkpoint
from alexnet_pl.runs.layout import BEST, LAST
from alexnet_pl.runs.started_config import adopt_started_config
from alexnet_pl.training.callbacks.fit_record import FitRecord
from alexnet_pl.training.callbacks.resume import restoring
from alexnet_pl.training.checkpointing import save_last
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.energy import describe_cost
from alexnet_pl.training.epoch_schedules import StagedSchedule
from alexnet_pl.training.media import log_summary, upload_checkpoints
from alexnet_pl.training.transfer import copy_layers, describe_differences, freeze_layers, learning_rate_scales


def fit(cfg: DictConfig, folder: Path) -> float | None:
    check_staged_rates(cfg)
    check_typed_schedule(cfg)
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
    typed = {word.partition("=")[0]: word for word in typed_overrides()}
    if typed.get("variant") == "variant=as_printed":
        raise UserError(
            "variant=as_printed: schedule.name=staged has the program's rates, freezing and end of noise, and the text "
            "has none of them; add schedule.name=plateau (for a pre-training in transfer.overrides)"
        )
    unread = ["optim.lr", *(["optim.bias_lr_scale"] if stages_set_all_biases(cfg) else [])]
    given = [key for key in unread if key in typed]
    given += ["transfer.rates"] if options.make_transfer_options(cfg).rates else []
    if given:
        raise UserError(f"{given[0]}: schedule.name=staged sets every rate itself; set them there")


def stages_set_all_biases(cfg: DictConfig) -> bool:
    """Whether no bias takes its rate from that of its weights."""
    schedule = make_schedule(cfg)
    return isinstance(schedule, StagedSchedule) and options.ALL in schedule.stages[0].biases


def check_typed_schedule(cfg: DictConfig) -> None:
    """Raise UserError for a typed key of another schedule than the chosen one; jobs of a sweep may choose several."""
    for word in typed_overrides():
        section, _, rest = word.partition(".")
        name = rest.partition(".")[0]
        if section == "schedule" and name in SCHEDULES and name != cfg.schedule.name and not is_sweep_job():
            raise UserError(f"{word}: schedule.name={cfg.schedule.name} does not read it; add schedule.name={name}")


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

    Raises UserError if the folder holds the fit of another network: with other settings, seed or images (`fingerprint`
    of their store).
    """
    finished, last = fit_status.resume_point(folder, training, fingerprint)
    checkpoint = read_checkpoint(last) if last else None
    if checkpoint:
        check_resume_settings(checkpoint, identity.resume_signature(cfg))
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
    the typed keys that take precedence over those of `transfer.network=weights`."""
    start = {"ckpt_path": cfg.ckpt_path}
    if cfg.transfer.weights:
        start["transfer.weights"] = cfg.transfer.weights
    words = [f"{key}={quote_literal(value) if value else 'null'}" for key, value in start.items()]
    if cfg.transfer.get("network") == "weights":
        words += [f"++{word}" for word in typed_overrides() if word.startswith(("model.", "augment."))]
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
    took = f"{pluralize(trainer.current_epoch, 'epoch')}, {pluralize(trainer.global_step, 'step')}"
    status = fit_status.read_fit_status(folder)
    if trainer.global_step == first_step and status and status.finished:
        print_message(f"training already finished ({took}); a larger trainer.max_epochs continues it", folder)
    else:
        validated = describe_validation(errors, len(data.store.classes), cfg.trainer.get("limit_val_batches"))
        print_message(f"{took}: {validated}; {describe_cost(record.seconds, record.joules)}", folder)
    return errors.get(cfg.objective)


def announce_compilation(module: Classifier, device: torch.device) -> None:
    """Explain the first step of a new network, which takes up to a minute without other output."""
    has_norms = any(isinstance(layer, NormLayer) for layer in module.net.modules())
    if is_first_process() and has_norms and module.performance.uses_compile(device):
        progress("compiling response normalization; later fits find it in a cache")


def describe_validation(errors: Mapping[str, float], classes: int, batches: int | float | None = None) -> str:
    """`batches`: limit of validation batches, if the user set one."""
    if "val/top1_error" not in errors:
        return "not validated"
    top5 = append_top5(classes, errors["val/top5_error"])
    is_whole = batches is None or (isinstance(batches, float) and batches == 1)  # the integer 1 is one batch
    limited = "" if is_whole else f", limited by trainer.limit_val_batches={batches}"
    return f"val top-1 error {errors['val/top1_error']:.2f} %{top5}, center view{limited}"


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
