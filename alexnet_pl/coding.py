"""The commands on configs/codes.yaml (§7.1): an auto-encoder is trained on a run's features, then its codes are held
against the float vectors and against codes that nobody trained.

`test` leaves in the run folder `codes/<split>.npy`, every image's code, and `results/<split>-codes/codes.json`.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from alexnet_pl import curves, fitting, recipe, state
from alexnet_pl.checkpoint import check_switches, read_checkpoint
from alexnet_pl.codebook import CodeBook, check_source
from alexnet_pl.codes import AutoEncoder, Codes, statistics
from alexnet_pl.comparison import METHODS, Comparison
from alexnet_pl.data.vectors import Vectors
from alexnet_pl.errors import UserError
from alexnet_pl.features import Features, place
from alexnet_pl.job import step
from alexnet_pl.media import show_facts
from alexnet_pl.provenance import describe, git, record
from alexnet_pl.recall import RANKS
from alexnet_pl.retrieval import faiss
from alexnet_pl.section import make
from alexnet_pl.telling import counted, say


@dataclass(frozen=True)
class Options:
    """Section `codes`."""

    features: str
    layer: str = "fc7"
    bits: int = 128
    hidden: list[int] = field(default_factory=lambda: [1024, 512])
    binary: str = "straight_through"
    noise: float = 4.0
    queries: int | None = 10_000

    def __post_init__(self) -> None:
        if self.queries is not None and self.queries < 1:
            raise ValueError(f"queries={self.queries}: at least 1, or null for all")

    @property
    def net(self) -> dict[str, Any]:
        """What decides the network beside the width of the vectors."""
        return {key: getattr(self, key) for key in ("layer", "bits", "hidden", "binary", "noise")}


def make_options(cfg: DictConfig) -> Options:
    return make(Options, cfg.codes, "codes")


def open_features(options: Options, layer: str) -> tuple[Features, Features]:
    """Of the training images, and of those that are tested."""
    run = Path(options.features)
    if not run.is_dir():
        raise UserError(f"codes.features: {run} is not there; give the run folder of a network after `features`")
    train = Features(place(run, "train", layer))
    others = sorted(path.name for path in (run / "features").glob(f"*-{layer}") if path.name != f"train-{layer}")
    if not others:
        raise UserError(f"codes.features: {run}/features has {layer} of the training images alone; run features again")
    tested = Features(run / "features" / ("test-" + layer if f"test-{layer}" in others else others[-1]))
    train.check_alike(tested)
    return train, tested


def build(cfg: DictConfig, folder: Path) -> tuple[L.Trainer, Codes, Vectors]:
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    options = make_options(cfg)
    train, tested = open_features(options, options.layer)
    net = make(AutoEncoder, {k: v for k, v in options.net.items() if k != "layer"}, "codes", width=train.width)
    switches = {"codes": {**options.net, "width": train.width}}
    given = {"net": net, "switches": switches, "source": train.identity, "epochs": cfg.trainer.max_epochs}
    module = make(Codes, cfg.optim, "optim", **given)
    check_switches(cfg.ckpt_path, switches)
    if cfg.ckpt_path:
        check_source(cfg.ckpt_path, read_checkpoint(cfg.ckpt_path)["alexnet_pl"], train)
    rates: list[L.Callback] = [LearningRateMonitor(logging_interval="epoch")]
    return recipe.make_trainer(cfg, folder, rates), module, Vectors(train, tested, cfg.data.batch_size, cfg.seed)


def training(cfg: DictConfig, source: dict[str, Any]) -> dict[str, Any]:
    """As `recipe.training`: what decides the codes beside their seed."""
    trainer: dict[str, Any] = OmegaConf.to_container(cfg.trainer, resolve=True)  # type: ignore[assignment]
    return {
        "codes": {**make_options(cfg).net, **source},
        "optim": OmegaConf.to_container(cfg.optim, resolve=True),
        "data": {"batch_size": cfg.data.batch_size},
        "trainer": {key: value for key, value in trainer.items() if key not in recipe.HARDWARE},
    }


def fit(cfg: DictConfig, folder: Path) -> float | None:
    if cfg.ckpt_path == "auto":
        options = make_options(cfg)
        source = open_features(options, options.layer)[0].identity
        if fitting.is_finished(cfg, folder, training(cfg, source)):
            return None
    fitting.for_other_processes(cfg, folder)
    trainer, module, data = build(cfg, folder)
    show_facts(trainer.loggers, OmegaConf.to_container(cfg, resolve=True))
    if not cfg.ckpt_path:
        module.net.set_statistics(*statistics(data.train))
    began, steps = time.perf_counter(), step(cfg) if cfg.ckpt_path else 0
    rank_zero_only(state.begin)(folder, training(cfg, module.source), data.train.about["dataset"])
    trainer.fit(module, datamodule=data, ckpt_path=cfg.ckpt_path)
    fitting.keep_last(trainer, folder / "checkpoints/last.ckpt", steps)
    seen, seconds = trainer.global_step * cfg.data.batch_size, time.perf_counter() - began
    rank_zero_only(state.finish)(folder, trainer.global_step, trainer.current_epoch, seen, seconds)
    lost = float(trainer.callback_metrics["val/loss"])
    trained = f"{counted(trainer.current_epoch, 'epoch')}, {module.net.bits} bits"
    say(f"{trained}: {100 * lost:.1f} % of the variance lost", folder)
    return lost


def test(cfg: DictConfig, folder: Path) -> float | None:
    """Every method at this run's number of bits, the training images searched for those of the tested split."""
    options = make_options(cfg)
    train, tested = open_features(options, options.layer)
    book = CodeBook(Path(cfg.ckpt_path), train, recipe.device(cfg))
    check_switches(cfg.ckpt_path, {"codes": {**options.net, "width": train.width}})
    compared = Comparison(*open_features(options, "fc7"), options.queries)
    rows = [*compared.float_rows(), *compared.learned(book, tested)]
    if options.layer == "fc7":
        rows += compared.untrained(options.bits, cfg.seed)
    about = tested.about["dataset"]
    result = {
        "dataset": about,
        "network": describe_network(Path(options.features), compared.train.about),
        "codes": {**options.net, "checkpoint": book.about, "finished": bool(state.read(folder).get("finished"))},
        "queries": len(compared.labels),
        "seed": cfg.seed,
        "machine": {"cpus": os.cpu_count(), "threads": faiss().omp_get_max_threads(), "load": os.getloadavg()[0]},
        "rows": rows,
        "commit": git("rev-parse", "HEAD"),
    }
    where = folder / "results" / f"{about['split']}-codes"
    where.mkdir(parents=True, exist_ok=True)
    (where / "codes.json").write_text(json.dumps(result, indent=1) + "\n")
    record(folder, describe("test", {key: about[key] for key in ("name", "fingerprint")}))
    found = next(row for row in rows if row["method"] == METHODS[options.layer])
    first = RANKS[0]
    say(
        f"{options.bits} bits, {len(compared.labels):,} {about['split']} images looked up: "
        f"{found[f'recall_{first}']['mean']:.2f} % of the {first} true neighbours",
        where / "codes.json",
    )
    return found[f"recall_{first}"]["mean"]


def describe_network(run: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Whose features they are: how long it was trained, and its error at that moment where the run's log has it."""
    fitted, checkpoint = state.read(run), about["checkpoint"]
    wanted = fitted.get("training", {})
    batch, epochs = wanted.get("data", {}).get("batch_size"), wanted.get("trainer", {}).get("max_epochs")
    steps = about["dataset"]["train_images"] // batch if batch else 0
    logged = curves.validations(run) if (run / "metrics.csv").is_file() else {}
    error = logged.get(checkpoint["step"], {}).get("val/top1_error")
    return {
        "checkpoint": checkpoint,
        "epochs": checkpoint["step"] / steps if steps else None,
        "epochs_wanted": epochs,
        "finished": bool(fitted.get("finished")) and fitted.get("steps") == checkpoint["step"],
        "val_top1_error": float(error) if error else None,
    }


def reproduce(cfg: DictConfig, folder: Path) -> float | None:
    """`fit` to its end, unless that was reached before, then `test`."""
    for command, checkpoint in {"fit": "auto", "test": str(folder / "checkpoints/last.ckpt")}.items():
        part = cfg.copy()
        part.command, part.ckpt_path = command, checkpoint
        found = COMMANDS[command](part, folder)
    return found


COMMANDS: dict[str, Callable[[DictConfig, Path], float | None]] = {"fit": fit, "test": test, "reproduce": reproduce}
