"""`fit`: train a network (§6) from scratch, from a checkpoint, or from layers of an earlier network (§7)."""

from collections.abc import Mapping
from pathlib import Path

import lightning as L
import torch
from omegaconf import DictConfig

from alexnet_pl.commands import subruns
from alexnet_pl.commands.fit_checks import check_fit
from alexnet_pl.commands.fit_to_end import fit_to_end
from alexnet_pl.commands.resume import is_ready
from alexnet_pl.config import identity, options
from alexnet_pl.config.identity import Settings
from alexnet_pl.config.neutral import is_neutral
from alexnet_pl.config.sections import VALIDATION_METRICS
from alexnet_pl.console import is_first_process, pluralize, print_message, print_warning, progress
from alexnet_pl.evaluation.dataset_info import describe_dataset
from alexnet_pl.evaluation.result import append_top5
from alexnet_pl.experiment.build import build, build_classifier
from alexnet_pl.inference.earlier_network import open_earlier_network
from alexnet_pl.models.layers import NormLayer
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.layout import BEST, LAST
from alexnet_pl.training.callbacks.fit_record import FitRecord
from alexnet_pl.training.checkpointing import BestCheckpoint
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.energy import describe_cost
from alexnet_pl.training.media import upload_checkpoints
from alexnet_pl.training.schedules import count_completed_epochs, find_limit
from alexnet_pl.training.transfer import copy_layers, describe_differences, freeze_layers, learning_rate_scales


def fit(cfg: DictConfig, folder: Path) -> float | None:
    check_fit(cfg)
    if not is_ready(cfg, folder, identity.training_signature):
        return None
    if not cfg.ckpt_path:
        start_from(cfg, folder)
    return train(cfg, folder)


def start_from(cfg: DictConfig, folder: Path) -> None:
    """Set `cfg.transfer.weights`, pre-training a network first if the recipe asks for one."""
    transfer = options.make_transfer_options(cfg)
    if transfer.pretrain_recipe and not transfer.weights:
        with torch.device("meta"):
            build_classifier(cfg)  # wrong settings of this fit are found now, not after days of pre-training
        cfg.transfer.weights = subruns.pretrain(cfg, transfer, folder)


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
    """Train the network and print its last validation. Returns the objective of a sweep."""
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
    if trainer.global_step == first_step and is_recorded_as_finished(folder):
        limit = find_limit(trainer)
        how = f"a larger {limit} continues it" if limit else "its schedule has ended it"
        print_message(f"training already finished ({took}); {how}", folder)
    else:
        validated = describe_validation(cfg, errors, len(data.store.classes), trainer.global_step)
        print_message(f"{took}: {validated}; {describe_cost(record.seconds, record.joules)}", folder)
    return measure_objective(cfg, trainer, errors)


def is_recorded_as_finished(folder: Path) -> bool:
    status = fit_status.read_fit_status(folder)
    return status is not None and status.finished


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
        progress(
            "compiling response normalization, up to a minute, which later fits find in a cache; a short try can leave "
            "it out: performance.compile=false"
        )


def describe_validation(cfg: DictConfig, errors: Mapping[str, float], classes: int, step: int) -> str:
    """Describe the last validation, and how it differs from one of all images after the last step, `step`."""
    if "val/top1_error" not in errors:
        return "not validated"
    batches = cfg.trainer.get("limit_val_batches")
    notes = [] if is_neutral("limit_val_batches", batches) else [f"limited by trainer.limit_val_batches={batches}"]
    notes += ["of images trained on"] if is_trained_on(cfg, errors) else []
    notes += [f"after step {errors['step']:,.0f}"] if errors["step"] != step else []
    top5 = append_top5(classes, errors["val/top5_error"])
    return ", ".join([f"val top-1 error {errors['val/top1_error']:.2f} %{top5}", "center view", *notes])
