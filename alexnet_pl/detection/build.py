"""Build trainer, module and data of a recipe of boxes (overfeat_localise.yaml, overfeat_detect.yaml)."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from alexnet_pl import runtime
from alexnet_pl.config.box_options import BoxOptions, make_box_options
from alexnet_pl.config.schema import instantiate, store_root
from alexnet_pl.data.store.store import Store
from alexnet_pl.detection.box_module import BoxModule
from alexnet_pl.detection.box_network import BoxNetwork, Trained, begin_with, ids, make_box_network, open_trained
from alexnet_pl.detection.detection_training import DetectorModule
from alexnet_pl.detection.localisation_training import RegressorModule, WindowData
from alexnet_pl.detection.scene_loader import SceneData
from alexnet_pl.detection.window_cache import WindowCache, open_or_make
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.build import make_trainer
from alexnet_pl.runs.checkpoint import check_compatible, describe_checkpoint, read_lineage
from alexnet_pl.training.transfer import read_earlier_network


def open_box_store(cfg: DictConfig) -> Store:
    """The store at `data.root`. Raises UserError for one of squares."""
    store = Store(store_root(cfg))
    store.whole("train")
    return store


def describe_store(store: Store) -> dict[str, Any]:
    counts = {"classes": len(store.classes), "images": len(store.whole("train"))}
    return {"name": store.name, "fingerprint": store.fingerprint, **counts}


def beginning(cfg: DictConfig) -> Trained:
    """The network that a fit begins with: of the run that goes on, else `transfer.weights`."""
    weights = cfg.ckpt_path or cfg.transfer.weights
    if not weights:
        raise UserError("transfer.weights is required: pass transfer.weights=RUN, a trained OverFeat network")
    if cfg.transfer.layers:
        raise UserError("transfer.layers: not for boxes, which take all layers that fit")
    return open_trained(weights)


def make_switches(trained: Trained, options: BoxOptions) -> dict[str, Any]:
    kept = {name: trained.about["switches"][name] for name in ("model", "augment")}
    return {**kept, "boxes": {**vars(options), "scales": list(options.scales)}}


def build_boxes(cfg: DictConfig, folder: Path) -> tuple[L.Trainer, BoxModule, L.LightningDataModule]:
    """Everything that can be wrong is found before a logger starts."""
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    options, store, trained = make_box_options(cfg), open_box_store(cfg), beginning(cfg)
    if options.task == "localise" and ids(trained.about["classes"]) != ids(store.classes):
        rank_zero_only(print)(
            f"the classes of {store.root} are not those of {trained.path}: outputs of others stay as they start, and "
            "only the error of boxes given the class says something"
        )
    switches = make_switches(trained, options)
    if cfg.ckpt_path:
        check_compatible(cfg.ckpt_path, switches)
    network = make_box_network(switches, len(store.classes), options)
    begin_with(network, trained, store.classes)
    module, data = make_parts(cfg, options, store, network, switches, trained)
    module.lineage = read_lineage(trained.about) if cfg.ckpt_path else read_earlier_network(trained.path).lineage
    return make_trainer(cfg, folder, [LearningRateMonitor(logging_interval="epoch")]), module, data


def make_parts(
    cfg: DictConfig,
    options: BoxOptions,
    store: Store,
    network: BoxNetwork,
    switches: dict[str, Any],
    trained: Trained,
) -> tuple[BoxModule, L.LightningDataModule]:
    given = {
        "network": network,
        "switches": switches,
        "classes": store.classes,
        "store": describe_store(store),
        "epochs": cfg.trainer.max_epochs,
    }
    if options.task == "detect":
        module: BoxModule = instantiate(DetectorModule, cfg.optim, "optim", **given)
        return module, SceneData(store, options, cfg.data.batch_size, cfg.seed)
    train, val = make_windows(cfg, options, store, network, trained)
    if not cfg.ckpt_path:
        network.regressor.reset_parameters(train.mean_square())
    module = instantiate(RegressorModule, cfg.optim, "optim", **given)
    return module, WindowData(store, train, val, cfg.data.batch_size, cfg.seed)


def make_windows(
    cfg: DictConfig, options: BoxOptions, store: Store, network: BoxNetwork, trained: Trained
) -> tuple[WindowCache, WindowCache]:
    """Windows of the training and validation images, beside the checkpoint whose features they are."""
    source = open_trained(cfg.transfer.weights) if cfg.transfer.weights else trained
    run = source.path.parent.parent if source.path.parent.name == "checkpoints" else source.path.parent
    facts = {"weights": describe_checkpoint(source.path).weights, "fingerprint": store.fingerprint}
    device = runtime.device(cfg)
    network.to(device).eval()
    train, val = (
        open_or_make(run / "windows", store.whole(name), network, options, facts) for name in ("train", "val")
    )
    network.cpu().train()
    return train, val
