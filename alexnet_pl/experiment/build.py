"""Build the trainer, module and data of a run from a composed config.

Every key is a constructor's argument, so an unread key or a wrong type is an error.
"""

import inspect
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.options import make_distributed_options, make_monitor_options, make_test_section
from alexnet_pl.config.schema import check_keys, instantiate, schedule_name, store_root
from alexnet_pl.console import is_first_process
from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.loading.streaming import LoaderOptions
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError, reason
from alexnet_pl.experiment.processes import cluster_plugins, make_strategy, set_processes
from alexnet_pl.experiment.trainer_options import REFUSED, check_fit_options, check_trainer_options
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.cifar import ConvNet, LocalNet
from alexnet_pl.models.other_alexnets import CaffeAlexNet, TorchvisionAlexNet
from alexnet_pl.models.overfeat import OverFeat
from alexnet_pl.runs.checkpoint import check_compatible, read_checkpoint
from alexnet_pl.runs.layout import CHECKPOINTS, LAST
from alexnet_pl.runtime import device, precision, set_tf32
from alexnet_pl.training.callbacks.images import FilterImage, PredictionTable
from alexnet_pl.training.callbacks.monitoring import (
    EpochTrainError,
    GpuIdle,
    LearningRates,
    ProgressBar,
    Throughput,
    WeightAndGradientNorms,
)
from alexnet_pl.training.callbacks.provenance import Provenance
from alexnet_pl.training.callbacks.resume import GracefulInterrupt, MetricsPosition, RandomState, RestoredState
from alexnet_pl.training.callbacks.same_start import SameStart, describe_start
from alexnet_pl.training.checkpointing import AtomicCheckpointIO, make_checkpoints
from alexnet_pl.training.classifier import Classifier, Net
from alexnet_pl.training.epoch_schedules import LoggedSchedule, StagedSchedule, StepSchedule
from alexnet_pl.training.loggers import make_loggers
from alexnet_pl.training.performance import Performance
from alexnet_pl.training.schedules import ConstantSchedule, PlateauSchedule, Schedule
from alexnet_pl.training.transfer import check_layers

NETS = {
    "alexnet": AlexNet,
    "conv": ConvNet,
    "local": LocalNet,
    "overfeat": OverFeat,
    "caffe": CaffeAlexNet,
    "torchvision": TorchvisionAlexNet,
}
SCHEDULES: dict[str, type[Schedule]] = {
    "plateau": PlateauSchedule,
    "logged": LoggedSchedule,
    "steps": StepSchedule,
    "staged": StagedSchedule,
    "constant": ConstantSchedule,
}


def make_data(cfg: DictConfig, kind: type[ImageStore] = ImageStore) -> ImageStore:
    performance = make_performance(cfg)
    options = LoaderOptions(performance.cache_on_gpu, performance.readahead, performance.jpeg_decoder)
    may_draw = cfg.command == "fit" or not cfg.ckpt_path  # other commands on a network are for images that exist
    given = {"seed": cfg.seed, "loader_options": options, "may_draw": may_draw}
    test = make_test_section(cfg)
    return instantiate(kind, cfg.data, "data", tested_split=test.split, whole_images=test.dense is not None, **given)


def make_module(cfg: DictConfig) -> Classifier:
    augment = instantiate(Augment, cfg.augment, "augment", size=cfg.data.size)
    net = make_named_net(dict(cfg.model), augment.crop)
    architecture = {
        "model": OmegaConf.to_container(cfg.model, resolve=True),
        "augment": {"size": cfg.data.size, **OmegaConf.to_container(cfg.augment, resolve=True)},  # type: ignore[dict-item]
    }
    return instantiate(
        Classifier,
        scaled_optim(cfg),
        "optim",
        net=net,
        augment=augment,
        architecture=architecture,
        views=(test := make_test_section(cfg)).view_set,
        dense=test.dense,
        performance=make_performance(cfg),
    )


def scaled_optim(cfg: DictConfig) -> Settings:
    """Section `optim`, with `lr` scaled by the batch size if `scale_rate_from_batch` is set. The authors did this in
    2013 (batches of 256 at twice the rates "match exactly", layer-params-170-256-double.cfg). A fit prints the new
    rate."""
    section: Settings = OmegaConf.to_container(cfg.optim, resolve=True)  # type: ignore[assignment]
    base = section.pop("scale_rate_from_batch", None)
    if base is None:
        return section
    if isinstance(base, bool) or not isinstance(base, int) or base < 1:
        raise UserError(f"optim.scale_rate_from_batch={base}: a number of images, at least 1, or null")
    if cfg.schedule.name == "staged":
        raise UserError("optim.scale_rate_from_batch: schedule.name=staged sets every rate itself; scale them there")
    if not isinstance(section.get("lr"), int | float):
        raise UserError(f"optim.lr={section.get('lr')}: a number, to scale by optim.scale_rate_from_batch")
    rate = section["lr"] * cfg.data.batch_size / base
    if cfg.command == "fit" and is_first_process():
        factor = f"{cfg.data.batch_size}/{base}"
        print(f"learning rate {section['lr']:g} × {factor} = {rate:g} (optim.scale_rate_from_batch)")
    return {**section, "lr": rate}


def make_named_net(model: Mapping[str, Any], crop: int) -> Net:
    """Build the network of a section `model`. Raises UserError if it needs more memory than this machine has."""
    check_memory(make_meta_net(model, crop))
    return build_net(model, crop)


def make_meta_net(model: Mapping[str, Any], crop: int) -> Net:
    """Build the network of a section `model` with the shapes of its weights alone."""
    with torch.device("meta"):
        return build_net(model, crop)


def build_net(model: Mapping[str, Any], crop: int) -> Net:
    """Build the network `model.name`, AlexNet by default, from its arguments, the other keys of the section."""
    section = dict(model)
    name = section.pop("name", "alexnet")
    if not isinstance(name, str) or name not in NETS:
        raise UserError(f"model.name={name}: one of {', '.join(NETS)}")
    return instantiate(NETS[name], section, "model", {"crop": "augment.crop"}, crop=crop)


def takes_crop(model: Mapping[str, Any], crop: int) -> bool:
    """Whether the network of a section `model` can be built for crops of this size, in pixels."""
    try:
        make_meta_net(model, crop)
    except UserError:
        return False
    return True


def check_memory(net: Net) -> None:
    """Raise UserError if a network's weights, gradients and velocities exceed this machine's memory."""
    needed = 3 * 4 * sum(parameter.numel() for parameter in net.parameters())
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > available:
        raise UserError(
            f"model: training this network takes {needed / 1e9:,.0f} GB of memory; "
            f"this machine has {available / 1e9:,.0f}"
        )


def make_performance(cfg: DictConfig) -> Performance:
    return instantiate(Performance, cfg.performance, "performance")


def make_schedule(cfg: DictConfig) -> Schedule:
    name = schedule_name(cfg)
    given = {"bias_lr_scale": cfg.optim.bias_lr_scale} if name == "staged" else {}
    return instantiate(SCHEDULES[name], cfg.schedule.get(name) or {}, f"schedule.{name}", **given)


def check_staged_layers(cfg: DictConfig, net: Net) -> None:
    """Raise UserError if `schedule.name=staged` names a layer that the network lacks."""
    if isinstance(schedule := make_schedule(cfg), StagedSchedule):
        for key, layers in schedule.layers().items():
            check_layers(net, layers, f"schedule.staged.{key}")


def set_num_classes(cfg: DictConfig) -> None:
    """Set `model.num_classes` from the store or the checkpoint if it is null in the recipe."""
    if cfg.model.num_classes is None:
        checkpoint = cfg.command in ("predict", "features", "probe", "retrieve") and cfg.ckpt_path
        classes = (
            read_checkpoint(cfg.ckpt_path)["alexnet_pl"]["classes"] if checkpoint else Store(store_root(cfg)).classes
        )
        cfg.model.num_classes = len(classes)


def classifier_callbacks(cfg: DictConfig, run: Path) -> list[Callback]:
    monitor = make_monitor_options(cfg)
    images = [
        FilterImage(run, monitor.every_n_epochs),
        PredictionTable(monitor.num_images, monitor.every_n_epochs),
    ]
    return [EpochTrainError(), make_schedule(cfg), *images, LearningRates(), WeightAndGradientNorms(), GpuIdle()]


def make_trainer(cfg: DictConfig, run: Path, own: list[Callback]) -> L.Trainer:
    """Build the trainer of a run; `own`: callbacks of a fit of this kind of module, besides those of every fit."""
    options = make_trainer_options(cfg, run, follows_schedule=any(isinstance(one, Schedule) for one in own))
    fits = cfg.command == "fit"
    bar = [ProgressBar(refresh_rate=10, leave=True)] if options.get("enable_progress_bar", True) else []
    always = [*bar, SameStart(partial(describe_start, cfg)), Provenance(run, cfg.command)]
    try:
        return L.Trainer(
            **options,
            default_root_dir=run,
            plugins=[AtomicCheckpointIO(), *cluster_plugins()],
            callbacks=[*always, *(fit_callbacks(cfg, run, own) if fits else [])],
            logger=fit_loggers(cfg, run) if fits else False,
            enable_checkpointing=fits,
            use_distributed_sampler=False,  # the loaders distribute the images, each exactly once
            num_sanity_val_steps=0,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"trainer: {reason(error)}") from error


def make_trainer_options(cfg: DictConfig, run: Path, follows_schedule: bool) -> dict[str, Any]:
    """Section `trainer` with devices, strategy and precision as they will be used, after its checks."""
    check_keys(cfg.trainer, inspect.signature(L.Trainer.__init__).parameters, "trainer")
    options: dict[str, Any] = OmegaConf.to_container(cfg.trainer, resolve=True)  # type: ignore[assignment]
    kind = device(cfg).type
    check_trainer_options({**options, "accelerator": kind})
    set_tf32(cfg)
    set_processes(options, kind)
    options = {name: value for name, value in options.items() if name not in REFUSED}  # left are those without effect
    options["strategy"] = make_strategy(options, kind, run, cfg.command, make_distributed_options(cfg))
    if cfg.command == "fit":
        check_fit_options(cfg, kind == "cuda" and options["strategy"] == "auto", follows_schedule)
    options["precision"] = precision(cfg.trainer.precision, kind)
    grows = bool(cfg.data.get("include_val_after_epoch"))  # the loader gets longer at that epoch
    options["reload_dataloaders_every_n_epochs"] = int(grows)
    return options


def fit_callbacks(cfg: DictConfig, run: Path, own: list[Callback]) -> list[Callback]:
    return [
        *own,
        RandomState(),
        RestoredState(cfg.ckpt_path),
        MetricsPosition(),
        Throughput(cfg.data.batch_size),
        *make_checkpoints(
            run / CHECKPOINTS,
            cfg.objective,
            make_performance(cfg).checkpoint_minutes,
            epochs=cfg.data.get("include_val_after_epoch"),
            validates=cfg.trainer.get("limit_val_batches") != 0,
        ),
        GracefulInterrupt(run / LAST),
    ]


def fit_loggers(cfg: DictConfig, run: Path) -> list[Logger]:
    """Loggers of a fit, which continue at the step of its checkpoint."""
    resumed = read_checkpoint(cfg.ckpt_path) if cfg.ckpt_path else {}
    step, rows = resumed.get("global_step", 0), resumed.get("metrics_rows") if resumed else 0
    return make_loggers(cfg.logger, run, cfg.wandb.project, step, cfg.wandb.get("entity"), rows)


def build_classifier(cfg: DictConfig, *, other_classes: bool = False) -> tuple[Classifier, ImageStore]:
    """Build module and data of a run. Raises UserError for wrong settings.

    other_classes: the store may have other classes than the network has outputs, which the caller then restricts.
    """
    data = make_data(cfg)
    data.check()
    set_num_classes(cfg)
    module = make_module(cfg)
    if not other_classes:
        data.check_num_classes(module.net.num_classes)
    if cfg.command == "fit":
        check_staged_layers(cfg, module.net)
    check_compatible(cfg.ckpt_path, module.architecture, trains=cfg.command == "fit")
    return module, data


def build(cfg: DictConfig, folder: Path, *, other_classes: bool = False) -> tuple[L.Trainer, Classifier, ImageStore]:
    """Seed, and build trainer, module and data of a run. Wrong settings raise UserError before a logger starts."""
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    module, data = build_classifier(cfg, other_classes=other_classes)
    return make_trainer(cfg, folder, classifier_callbacks(cfg, folder)), module, data
