"""From a composed config to the objects of a run.

Every key becomes a constructor's argument, so a key that nothing reads, or of a wrong type, is told at once.
"""

import inspect
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.callbacks import Bar, EpochError, Kernels, Throughput
from alexnet_pl.checkpoint import Straight, check_switches, read_checkpoint
from alexnet_pl.cifar import ConvNet, LocalNet
from alexnet_pl.data.augment import Augment
from alexnet_pl.data.datamodule import ImageStore
from alexnet_pl.data.loader import Way
from alexnet_pl.data.store import Store
from alexnet_pl.ensemble import Ensemble, Group
from alexnet_pl.errors import UserError
from alexnet_pl.loggers import make_loggers
from alexnet_pl.model import AlexNet
from alexnet_pl.module import Classifier, Net
from alexnet_pl.provenance import Provenance
from alexnet_pl.resume import Interruption, RandomState, checkpoints
from alexnet_pl.runs.layout import CHECKPOINTS, LAST
from alexnet_pl.schedule import Constant, DivideByTen, LoggedSchedule, StagedSchedule, Steps
from alexnet_pl.section import check_keys, make, root
from alexnet_pl.speed import Speed, precision, use_tf32
from alexnet_pl.trainer_options import check_trainer_options
from alexnet_pl.transfer import Transfer
from alexnet_pl.vitals import Idle, Norms, Rates
from alexnet_pl.watch import KernelsShown, Predictions, Watch

GPUS = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
NETS = {"alexnet": AlexNet, "conv": ConvNet, "local": LocalNet}
SCHEDULES = {
    "plateau": DivideByTen,
    "logged": LoggedSchedule,
    "steps": Steps,
    "staged": StagedSchedule,
    "constant": Constant,
}
HARDWARE = (  # keys of `trainer` that say where and how fast, not what
    "accelerator", "devices", "num_nodes", "strategy", "precision", "log_every_n_steps", "limit_test_batches",
    "benchmark", "enable_progress_bar", "max_time", "profiler",
)  # fmt: skip


def course(cfg: DictConfig) -> dict[str, tuple[str, Any]]:
    """What a resumed run must share with its beginning, beside the network: name in a checkpoint → (key, value)."""
    return {
        "seed": ("seed", cfg.seed),
        "batch_size": ("data.batch_size", cfg.data.batch_size),
        "include_val_after_epoch": ("data.include_val_after_epoch", cfg.data.get("include_val_after_epoch")),
    }


def make_data(cfg: DictConfig) -> ImageStore:
    speed = make_speed(cfg)
    given = {"seed": cfg.seed, "way": Way(speed.cache_on_gpu, speed.readahead, speed.jpeg_decoder)}
    return make(ImageStore, cfg.data, "data", tested_split=cfg.test.split, **given)


def make_module(cfg: DictConfig) -> Classifier:
    augment = make(Augment, cfg.augment, "augment", size=cfg.data.size)
    net = make_net(cfg, augment.crop)
    switches = {
        "model": OmegaConf.to_container(cfg.model, resolve=True),
        "augment": {"size": cfg.data.size, **OmegaConf.to_container(cfg.augment, resolve=True)},  # type: ignore[dict-item]
    }
    return make(
        Classifier,
        cfg.optim,
        "optim",
        net=net,
        augment=augment,
        switches=switches,
        views=cfg.test.views,
        speed=make_speed(cfg),
    )


def make_net(cfg: DictConfig, crop: int) -> Net:
    section = dict(cfg.model)
    name = section.pop("name", "alexnet")
    if name not in NETS:
        raise UserError(f"model.name={name}: one of {', '.join(NETS)}")
    return make(NETS[name], OmegaConf.create(section), "model", crop=crop)


def make_speed(cfg: DictConfig) -> Speed:
    return make(Speed, cfg.performance, "performance")


def make_schedule(cfg: DictConfig) -> Callback:
    section = dict(cfg.schedule)
    name = section.pop("name")
    if name not in SCHEDULES:
        raise UserError(f"schedule.name={name}: one of {', '.join(SCHEDULES)}")
    given = {"bias_lr_scale": cfg.optim.bias_lr_scale} if name == "staged" else {}
    return make(SCHEDULES[name], OmegaConf.create(section.get(name) or {}), f"schedule.{name}", **given)


def training(cfg: DictConfig) -> dict[str, Any]:
    """What decides a trained network beside its images, its seed and rounding: two runs that agree in it may be
    averaged in a table, and one that agrees with a recipe answers that recipe's row."""
    whole: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    name = whole["schedule"]["name"]
    return {
        "data": {key: whole["data"][key] for key in ("size", "batch_size")},
        "model": {key: value for key, value in whole["model"].items() if key != "num_classes"},  # the data's matter
        "augment": whole["augment"],
        "optim": whole["optim"],
        "schedule": {"name": name, **(whole["schedule"].get(name) or {})},
        "trainer": {key: value for key, value in whole["trainer"].items() if key not in HARDWARE},
        "transfer": {"layers": sorted(whole["transfer"]["layers"])},
    }


def make_watch(cfg: DictConfig) -> Watch:
    return make(Watch, cfg.get("monitor") or {}, "monitor")  # which older run folders lack


def make_transfer(cfg: DictConfig) -> Transfer:
    return make(Transfer, cfg.transfer, "transfer")


def make_ensemble(cfg: DictConfig) -> Ensemble:
    section = {key: value for key, value in cfg.ensemble.items_ex(resolve=False) if key != "groups"}
    groups = {
        str(name): make(Group, group, f"ensemble.groups.{name}") for name, group in (cfg.ensemble.groups or {}).items()
    }
    return make(Ensemble, OmegaConf.create(section), "ensemble", groups=groups)


def count_classes(cfg: DictConfig) -> None:
    """Where the recipe leaves the number of classes open, take it from the store, or from the checkpoint."""
    if cfg.model.num_classes is None:
        checkpoint = cfg.command in ("predict", "features", "retrieve") and cfg.ckpt_path
        classes = read_checkpoint(cfg.ckpt_path)["alexnet_pl"]["classes"] if checkpoint else Store(root(cfg)).classes
        cfg.model.num_classes = len(classes)


def device(cfg: DictConfig) -> torch.device:
    """The kind of device that the recipe's accelerator means here; of several, `predict` uses the first."""
    wanted = cfg.trainer.accelerator
    there = [kind for kind, is_there in GPUS.items() if is_there()]
    kinds = {"auto": [*there, "cpu"], "gpu": there, "cpu": ["cpu"], **{kind: [kind] for kind in there}}
    if not kinds.get(wanted):
        raise UserError(
            f"trainer.accelerator={wanted}: not here; {', '.join(kind for kind in kinds if kinds[kind])} are"
        )
    return torch.device(kinds[wanted][0])


def classifying(cfg: DictConfig, run: Path) -> list[Callback]:
    watch, kernels = make_watch(cfg), run / "kernels.png"
    shown = [
        Kernels(kernels),
        KernelsShown(kernels, watch.every_n_epochs),
        Predictions(watch.num_images, watch.every_n_epochs),
    ]
    return [EpochError(), make_schedule(cfg), *shown, Rates(), Norms(), Idle()]


def make_trainer(cfg: DictConfig, run: Path, own: list[Callback] | None = None) -> L.Trainer:
    """The trainer with all that a run does besides: checkpoints, loggers, and `own`, by default a classifier's."""
    check_keys(cfg.trainer, inspect.signature(L.Trainer.__init__).parameters, "trainer")
    check_trainer_options(cfg.trainer)
    options: dict[str, Any] = OmegaConf.to_container(cfg.trainer, resolve=True)  # type: ignore[assignment]
    options["precision"] = precision(cfg.trainer.precision, device(cfg).type)
    use_tf32(cfg.trainer.precision == "tf32")
    grows = bool(cfg.data.get("include_val_after_epoch"))  # the loader gets longer at that epoch
    options["reload_dataloaders_every_n_epochs"] = int(grows)
    step = read_checkpoint(cfg.ckpt_path)["global_step"] if cfg.ckpt_path else 0
    for name in ("train", "val", "test"):
        if isinstance(limit := options.get(f"limit_{name}_batches"), float) and limit != 1.0:
            raise UserError(f"trainer.limit_{name}_batches={limit}: give a whole number of batches")
    folder = run / CHECKPOINTS
    fitting = [
        *(classifying(cfg, run) if own is None else own),
        RandomState(),
        Throughput(cfg.data.batch_size),
        *checkpoints(folder, cfg.objective),
        Interruption(run / LAST),
    ]
    fits = cfg.command == "fit"
    always = [Bar(refresh_rate=10, leave=True), Provenance(run, cfg.command)]
    try:
        return L.Trainer(
            **options,
            default_root_dir=run,
            plugins=[Straight()],
            callbacks=[*always, *(fitting if fits else [])],
            logger=make_loggers(cfg.logger, run, cfg.wandb.project, step, cfg.wandb.get("entity")) if fits else False,
            enable_checkpointing=fits,
            use_distributed_sampler=False,  # the loaders share the images out themselves, each exactly once
            num_sanity_val_steps=0,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"trainer: {str(error).strip().splitlines()[0]}") from error


def build(cfg: DictConfig, folder: Path) -> tuple[L.Trainer, Classifier, ImageStore]:
    """Everything that can be wrong is found before a logger starts or a network is filled."""
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    data = make_data(cfg)
    data.check()
    count_classes(cfg)
    module = make_module(cfg)
    check_switches(cfg.ckpt_path, module.switches)
    return make_trainer(cfg, folder), module, data
