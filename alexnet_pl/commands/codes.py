"""Commands on configs/codes.yaml (§7.1): train an auto-encoder on features, evaluate its binary codes against
float vectors and against untrained codes.

`test` writes `codes/<split>.npy`, the code of every image, and `results/<split>-codes/codes.json` to the run folder.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl.commands.fit_to_end import fit_to_end
from alexnet_pl.commands.resume import is_ready
from alexnet_pl.commands.typed_overrides import refuse_typed
from alexnet_pl.config.identity import Settings, codes_signature
from alexnet_pl.config.options import make_code_options
from alexnet_pl.console import pluralize, print_message
from alexnet_pl.json_records import JsonObject, to_json, write_json
from alexnet_pl.retrieval.code_evaluation import CodeComparison, trained_method
from alexnet_pl.retrieval.code_result import CodesInfo, CodesResult, FeatureNetwork, SearchMachine, optimizer_settings
from alexnet_pl.retrieval.code_training import build_codes, measure_statistics, open_features
from alexnet_pl.retrieval.codebook import CodeBook
from alexnet_pl.retrieval.features import FeaturesInfo
from alexnet_pl.retrieval.precision_recall import RANKS
from alexnet_pl.retrieval.search import import_faiss
from alexnet_pl.runs import fit_status, metrics_log
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_checks import check_compatible
from alexnet_pl.runs.checkpoint_metadata import read_seed
from alexnet_pl.runs.layout import METRICS, run_of_checkpoint
from alexnet_pl.runs.provenance import append_session, current_commit, describe_session
from alexnet_pl.runs.records import StoreIdentity
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.training.callbacks.fit_record import FitRecord
from alexnet_pl.training.schedules import count_completed_epochs

UNREAD = {
    "schedule": "codes, whose learning rate decays linearly to zero over trainer.max_epochs",
    "model": "codes; codes.hidden and codes.bits give the auto-encoder's layers",
    "augment": "codes, which are trained on features; `features` computes them",
    "transfer": "codes; ckpt_path=CHECKPOINT continues an auto-encoder",
    "data.shuffle": "codes, whose features are shuffled in each epoch",
    "data.include_val_after_epoch": "codes, which are trained on the training images alone",
}


def fit(cfg: DictConfig, folder: Path) -> float | None:
    refuse_typed(UNREAD)
    if not is_ready(cfg, folder, signature_of_features, fingerprint=lambda _: ""):
        return None
    trainer, module, data = build_codes(cfg, folder)
    if not cfg.ckpt_path:
        module.net.set_statistics(*measure_statistics(data.features["train"]))
    record = FitRecord(folder, codes_signature(cfg, module.source), lambda: data.features["train"].info.dataset)
    loss = fit_to_end(cfg, trainer, module, data, record).get("val/loss")
    trained = f"{pluralize(count_completed_epochs(trainer), 'epoch')}, {module.net.bits} bits"
    # trainer.max_steps can end a fit before its first validation
    outcome = "no validation" if loss is None else f"{100 * loss:.1f} % of the variance lost"
    print_message(f"{trained}: {outcome}", folder)
    return loss


def signature_of_features(cfg: DictConfig) -> Settings:
    options = make_code_options(cfg)
    return codes_signature(cfg, open_features(options, options.layer)[0].identity)


def test(cfg: DictConfig, folder: Path) -> float | None:
    """Compare the methods at this run's number of bits. Queries are images of the tested split; training images are
    searched."""
    options, checkpoint = make_code_options(cfg), Path(cfg.ckpt_path)
    content = read_checkpoint(checkpoint)
    fit, trained_with = fit_status.finished_fit(checkpoint, content), read_seed(content["alexnet_pl"])
    seed = cfg.seed if trained_with is None else trained_with
    train, tested = open_features(options, options.layer)
    book = CodeBook(checkpoint, train, choose_device(cfg))
    check_compatible(cfg.ckpt_path, {"codes": {**options.net, "width": train.width}})
    comparison = CodeComparison(*open_features(options, "fc7"), options.queries)
    neighbors = trained_weight(checkpoint, options.neighbors)
    rows = [*comparison.float_rows(), *comparison.learned_rows(book, tested, neighbors)]
    if options.layer == "fc7":
        rows += comparison.untrained_rows(options.bits, seed)
    result = CodesResult(
        dataset=tested.info.dataset,
        network=describe_network(Path(options.features), comparison.train.info),
        codes=CodesInfo(**options.net, neighbors=neighbors, checkpoint=book.checkpoint_info, finished=fit is not None),
        training=optimizer_settings(fit.training) if fit else None,
        queries=len(comparison.labels),
        curve_queries=len(comparison.curve_queries),
        seed=seed,
        machine=describe_machine(),
        rows=rows,
        commit=current_commit(),
    )
    path = save_result(result, folder)
    recall = recall_of(trained_method(options.layer, neighbors), rows)
    looked_up = f"{options.bits} bits, {result.queries:,} {result.dataset.split} images looked up"
    found = f"{recall:.2f} % of the {RANKS[0]} nearest images by fc7 are found"
    print_message(f"{looked_up}: {found}", path)
    return recall


def save_result(result: CodesResult, folder: Path) -> Path:
    dataset = result.dataset
    path = folder / "results" / f"{dataset.split}-codes" / "codes.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, to_json(result))
    append_session(folder, describe_session("test", StoreIdentity(name=dataset.name, fingerprint=dataset.fingerprint)))
    return path


def recall_of(method: str, rows: Iterable[JsonObject]) -> float:
    """Percentage of the nearest `RANKS[0]` images by fc7 that a method finds: the objective of a sweep."""
    return next(row for row in rows if row["method"] == method)[f"recall_{RANKS[0]}"]["mean"]


def describe_machine() -> SearchMachine:
    threads = import_faiss().omp_get_max_threads()
    return SearchMachine(cpus=os.cpu_count(), threads=threads, load=round(os.getloadavg()[0], 2))


def trained_weight(checkpoint: Path, configured: float) -> float:
    """Weight of the neighbor loss with which a checkpoint was trained, by fit.json; as configured if it has none."""
    run = run_of_checkpoint(checkpoint)
    fit = fit_status.read_fit_status(run) if run else None
    return fit.training.get("codes", {}).get("neighbors", 0.0) if fit else configured


def describe_network(run: Path, features: FeaturesInfo) -> FeatureNetwork:
    """Network that computed the features: epochs trained, and the validation error at that step if it was logged."""
    fit, checkpoint = fit_status.read_fit_status(run), features.checkpoint
    settings = fit.training if fit else {}
    batch, epochs = settings.get("data", {}).get("batch_size"), settings.get("trainer", {}).get("max_epochs")
    steps = features.dataset.train_images // batch if batch else 0
    logged = metrics_log.validations(run) if (run / METRICS).is_file() else {}
    error = logged.get(checkpoint.step, {}).get("val/top1_error")
    return FeatureNetwork(
        checkpoint=checkpoint,
        epochs=checkpoint.step / steps if steps else None,
        epochs_wanted=epochs,
        finished=fit is not None and fit.finished and fit.steps == checkpoint.step,
        val_top1_error=error,
    )
