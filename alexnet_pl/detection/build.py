"""Build trainer, module and data for a box recipe (overfeat_localise.yaml, overfeat_detect.yaml)."""

from dataclasses import asdict
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from alexnet_pl.config.box_options import BoxOptions, make_box_options
from alexnet_pl.config.schema import instantiate, store_root
from alexnet_pl.data.store.store import Store
from alexnet_pl.detection.box_module import BoxModule
from alexnet_pl.detection.box_network import BoxNetwork, make_box_network
from alexnet_pl.detection.box_weights import (
    NetworkCheckpoint,
    class_ids,
    copy_weights,
    open_network_checkpoint,
    regressor_fits,
)
from alexnet_pl.detection.detection_training import DetectorModule
from alexnet_pl.detection.localisation_training import RegressorModule, WindowData
from alexnet_pl.detection.scene_loader import SceneData
from alexnet_pl.detection.window_cache import WindowCache, open_window_cache
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trainer import make_trainer
from alexnet_pl.experiment.trainer_checks import count_epochs
from alexnet_pl.json_records import JsonObject
from alexnet_pl.runs.checkpoint import describe_checkpoint
from alexnet_pl.runs.checkpoint_checks import check_compatible, check_same_images
from alexnet_pl.runs.checkpoint_metadata import lineage_with_own, read_lineage
from alexnet_pl.runs.layout import run_of_checkpoint
from alexnet_pl.runs.records import LineageStage
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.training.callbacks.monitoring import TrainingLosses
from alexnet_pl.training.transfer import record_weights


def open_box_store(cfg: DictConfig) -> Store:
    """Open the store at `data.root`. Raises UserError if it holds square instead of whole images, or has another name
    or size than the recipe."""
    store = Store(store_root(cfg))
    store.whole("train")
    store.check_identity(cfg.data.name, cfg.data.size)
    return store


def store_record(store: Store) -> JsonObject:
    counts = {"classes": len(store.classes), "images": len(store.whole("train"))}
    pixels = {"size": store.size, "encoding": store.encoding.name}
    return {"name": store.name, "fingerprint": store.fingerprint, **counts, **pixels}


def open_transfer_source(cfg: DictConfig) -> NetworkCheckpoint:
    """Open the checkpoint that a fit starts from: the resumed run's, else `transfer.weights`.

    Raises UserError if neither is given.
    """
    weights = cfg.ckpt_path or cfg.transfer.weights
    if not weights:
        raise UserError("transfer.weights is required: pass transfer.weights=RUN, a trained OverFeat network")
    refuse_unread_transfer(cfg)
    return open_network_checkpoint(weights)


def refuse_unread_transfer(cfg: DictConfig) -> None:
    """Raise UserError for a key of `transfer` that has no effect on a box fit."""
    if cfg.transfer.layers:
        raise UserError("transfer.layers: not for boxes, which take all layers that fit")
    for key in ("freeze", "rates"):
        if cfg.transfer[key]:
            raise UserError(f"transfer.{key}: not for boxes; boxes.fine_tune chooses the layers that are trained")


def box_switches(trained: NetworkCheckpoint, options: BoxOptions) -> JsonObject:
    inherited = {name: trained.metadata["switches"][name] for name in ("model", "augment")}
    return {**inherited, "boxes": asdict(options)}


def build_boxes(cfg: DictConfig, folder: Path) -> tuple[L.Trainer, BoxModule, L.LightningDataModule]:
    """Build trainer, module and data. Raises UserError for an invalid setting, before any logger starts."""
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    options, store, trained = make_box_options(cfg), open_box_store(cfg), open_transfer_source(cfg)
    if options.task == "localise" and class_ids(trained.metadata["classes"]) != class_ids(store.classes):
        rank_zero_only(print)(
            f"{store.root} and {trained.path} have different classes: outputs of the others stay untrained, and only "
            "the box error with the class given is meaningful"
        )
    switches = box_switches(trained, options)
    if cfg.ckpt_path:
        check_compatible(cfg.ckpt_path, switches)
        check_same_images(trained.metadata, store.classes, store.fingerprint)  # before any window is computed
    network = make_box_network(switches, len(store.classes), options)
    copy_weights(network, trained, store.classes)
    if "boxes" in trained.metadata["switches"] and not regressor_fits(network, trained, store.classes):
        rank_zero_only(print)(
            f"{trained.path}: its regressor is not copied, because boxes.units, per_class or the classes differ"
        )
    module, data = build_module_and_data(cfg, options, store, network, switches, trained)
    resumed = bool(cfg.ckpt_path)
    module.lineage = read_lineage(trained.metadata) if resumed else lineage_of_start(trained)
    return make_trainer(cfg, folder, [LearningRateMonitor(logging_interval="epoch"), TrainingLosses()]), module, data


def lineage_of_start(trained: NetworkCheckpoint) -> list[LineageStage]:
    return record_weights(lineage_with_own(trained.path, trained.checkpoint), trained.tensors)


def build_module_and_data(
    cfg: DictConfig,
    options: BoxOptions,
    store: Store,
    network: BoxNetwork,
    switches: JsonObject,
    trained: NetworkCheckpoint,
) -> tuple[BoxModule, L.LightningDataModule]:
    arguments = {
        "network": network,
        "switches": switches,
        "classes": store.classes,
        "store": store_record(store),
        "epochs": count_epochs(cfg),
    }
    if options.task == "detect":
        module: BoxModule = instantiate(DetectorModule, cfg.optim, "optim", **arguments)
        return module, SceneData(store, options, cfg.data.batch_size, cfg.seed)
    train, val = open_window_caches(cfg, options, store, network, trained)
    if not regressor_fits(network, trained, store.classes):
        network.regressor.reset_parameters(train.mean_square())
    module = instantiate(RegressorModule, cfg.optim, "optim", **arguments)
    return module, WindowData(store, train, val, cfg.data.batch_size, cfg.seed)


def check_same_convolutions(network: BoxNetwork, source: NetworkCheckpoint) -> None:
    """Raise UserError if a resumed fit started from other convolutions than those of `source`, in whose folder it would
    keep the features that it computes."""
    for name, tensor in network.net.state_dict().items():
        theirs = source.tensors.get(f"net.{name}")
        if name.startswith("conv") and (theirs is None or not torch.equal(tensor, theirs)):
            raise UserError(
                f"transfer.weights: {source.path} has another {name} than the resumed run; give the network that the "
                "run started from"
            )


def open_window_caches(
    cfg: DictConfig, options: BoxOptions, store: Store, network: BoxNetwork, trained: NetworkCheckpoint
) -> tuple[WindowCache, WindowCache]:
    """Open the window caches of the training and validation images, in the folder of the run with the features."""
    source = open_network_checkpoint(cfg.transfer.weights) if cfg.transfer.weights else trained
    if cfg.ckpt_path and source is not trained:
        check_same_convolutions(network, source)
    run = run_of_checkpoint(source.path) or source.path.parent
    identity = {"weights": describe_checkpoint(source.path).weights, "fingerprint": store.fingerprint}
    device = choose_device(cfg)
    network.to(device).eval()
    train, val = (
        open_window_cache(run / "windows", store.whole(name), network, options, identity) for name in ("train", "val")
    )
    network.cpu().train()
    return train, val
