"""Build the module and data of a run from a composed config, and its trainer with the callbacks of a classifier.

Every key is a constructor's argument, so an unread key or a wrong type is an error.
"""

from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.checks import schedule_name
from alexnet_pl.config.identity import Settings
from alexnet_pl.config.options import make_monitor_options, make_test_section
from alexnet_pl.config.schema import instantiate, store_root
from alexnet_pl.console import is_first_process
from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.loading.streaming import LoaderOptions
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trainer import make_trainer
from alexnet_pl.models.networks import Net, make_named_net
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_checks import check_compatible
from alexnet_pl.training.callbacks.images import FilterImage, PredictionTable
from alexnet_pl.training.callbacks.monitoring import (
    EpochTrainError,
    GpuIdle,
    LearningRates,
    WeightAndGradientNorms,
)
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.epoch_schedules import LoggedSchedule, StagedSchedule, StepSchedule
from alexnet_pl.training.performance import make_performance
from alexnet_pl.training.schedules import ConstantSchedule, PlateauSchedule, Schedule
from alexnet_pl.training.transfer import check_layers

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
    test = make_test_section(cfg)
    given = {"views": test.view_set, "dense": test.dense, "performance": make_performance(cfg)}
    given |= {"net": net, "augment": augment, "architecture": architecture}
    return instantiate(Classifier, scaled_optim(cfg), "optim", **given)


def scaled_optim(cfg: DictConfig) -> Settings:
    """Section `optim`, with `lr` scaled by the batch size if `scale_rate_from_batch` is set. The authors did this in
    2013 (batches of 256 at twice the rates "match exactly", layer-params-170-256-double.cfg)."""
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
    return {**section, "lr": section["lr"] * cfg.data.batch_size / base}


def announce_scaled_rate(cfg: DictConfig, rate: float) -> None:
    """Print how a fit has come to its learning rate `rate`, if it was scaled by the batch size."""
    if (base := cfg.optim.get("scale_rate_from_batch")) and is_first_process():
        factor = f"{cfg.data.batch_size}/{base}"
        print(f"learning rate {cfg.optim.lr:g} × {factor} = {rate:g} (optim.scale_rate_from_batch)")


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
    if cfg.model.num_classes is not None:
        return
    if cfg.command in ("predict", "features", "probe", "retrieve") and cfg.ckpt_path:
        classes = read_checkpoint(cfg.ckpt_path)["alexnet_pl"]["classes"]
    else:
        classes = Store(store_root(cfg)).classes
    cfg.model.num_classes = len(classes)


def classifier_callbacks(cfg: DictConfig, run: Path) -> list[Callback]:
    monitor = make_monitor_options(cfg)
    images = [
        FilterImage(run, monitor.every_n_epochs),
        PredictionTable(monitor.num_images, monitor.every_n_epochs),
    ]
    return [EpochTrainError(), make_schedule(cfg), *images, LearningRates(), WeightAndGradientNorms(), GpuIdle()]


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
    if cfg.command == "fit":
        announce_scaled_rate(cfg, module.lr)
    return make_trainer(cfg, folder, classifier_callbacks(cfg, folder)), module, data
