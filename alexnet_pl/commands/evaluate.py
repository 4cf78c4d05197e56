"""`validate` and `test`: error rates on a whole split (§7), and the files that hold them."""

from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.options import make_test
from alexnet_pl.console import print_message
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.store.store import Store
from alexnet_pl.evaluation import predictions
from alexnet_pl.evaluation.confusions import read_table, write_confusions
from alexnet_pl.evaluation.predictions import Reader
from alexnet_pl.evaluation.result import read_result, write_result
from alexnet_pl.evaluation.submission import writable, write_submission
from alexnet_pl.experiment import trained_run
from alexnet_pl.experiment.build import build, make_data
from alexnet_pl.files import sha256, write_json
from alexnet_pl.paper import matching
from alexnet_pl.runs import fit_status
from alexnet_pl.runs.checkpoint import about_checkpoint, checkpoint_seed, checkpoint_step
from alexnet_pl.runs.layout import PROBABILITIES, RESULT, VALIDATION
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.loggers import reopen_loggers
from alexnet_pl.training.media import log_picture, log_result, log_summary, log_table
from alexnet_pl.training.metric_names import CONFUSIONS


def test(cfg: DictConfig, folder: Path) -> float | None:
    trainer, module, data = build(cfg, folder)
    module = trained_run.load_module(cfg.ckpt_path, module)
    facts = describe_test(cfg, module, data)
    place = predictions.results_dir(folder, data.test_split_name, make_test(cfg).view_set)
    about = facts["dataset"]
    kept = predictions.should_save_predictions(cfg.test.save_predictions, about["images"], about["classes"])
    trainer.callbacks.append(predictions.PredictionWriter(place / PROBABILITIES, data.store, facts, kept))  # type: ignore[attr-defined]
    trainer.test(module, datamodule=data, verbose=False)
    if not module.labelled:
        rank_zero_only(submit)(place, data.store, data.test_split_name)
        return None
    if trainer.is_global_zero:
        write_test_result(cfg, folder, place, last_metrics(module), facts, data.store)
    return last_metrics(module)["top1_error"]


def describe_test(cfg: DictConfig, module: Classifier, data: ImageStore) -> dict[str, Any]:
    """Description of a test before it runs: images, weights, earlier runs."""
    trained = fit_status.finished_fit(Path(cfg.ckpt_path), checkpoint_step(cfg))
    facts = {
        "dataset": predictions.dataset_info(data.store, data.test_split_name),
        "views": module.views,
        "checkpoint": about_checkpoint(Path(cfg.ckpt_path), checkpoint_step(cfg)),
        "seed": cfg.seed if (seed := checkpoint_seed(Path(cfg.ckpt_path))) is None else seed,
        "finished": bool(trained),
        "training": None if trained.get("changed") else trained.get("training"),
        "trained": {key: trained.get(key) for key in ("steps", "epochs", "images", "seconds", "ended_by", "store")},
        "lineage": module.lineage,
    }
    whole = facts["training"] and OmegaConf.select(cfg, "trainer.limit_test_batches") is None
    return {**facts, "claim": matching.matching_claim(facts) if whole else None}


def write_test_result(
    cfg: DictConfig, folder: Path, place: Path, found: dict[str, float], facts: dict[str, Any], store: Store | None
) -> None:
    """What every test with labels leaves; by the results in `place`, written last, it is known to be whole."""
    if store:
        write_confusions(place, store, facts["dataset"]["split"])
    result = write_result(folder / RESULT, found, **facts)
    write_json(place / RESULT, result)
    publish(cfg, folder, place, result)
    print_test_result(result, place)


def publish(cfg: DictConfig, folder: Path, place: Path, result: dict[str, Any]) -> None:
    """Log the result where the fit was logged; an ensemble gets a W&B or TensorBoard run of its own."""
    ensemble = cfg.command == "ensemble"
    shown = reopen_loggers(cfg.logger, folder, cfg.wandb.project, cfg.wandb.get("entity"), new=ensemble)
    step = result["checkpoint"]["step"]
    if ensemble:
        log_summary(shown, OmegaConf.to_container(cfg, resolve=True))
    log_summary(shown, {"claim": result["claim"]})
    log_result(shown, result, step)
    if shown and (rows := read_table(place / "confusions.csv")):
        log_table(shown, CONFUSIONS, list(rows[0]), [list(row.values()) for row in rows], step)
    if (place / "confusions.png").is_file():
        log_picture(shown, f"{CONFUSIONS}_pictures", place / "confusions.png", step)
    for logger in shown:
        logger.finalize("success")


def submit(place: Path, store: Store, split: str) -> None:
    if not writable(store, split):
        return print_message(f"{store.name} {split}: labels are not known; answers kept", place / PROBABILITIES)
    path = place / "submission.txt"
    lines, missing = write_submission(path, store, place / PROBABILITIES)
    gap = f", {missing} of them arbitrary, since those images could not be read" if missing else ""
    print_message(f"{store.name} {split}: labels are not known; {lines:,} lines for the test server{gap}", path)


def tested(cfg: DictConfig, folder: Path) -> Path | None:
    """Results folder of the test that `cfg` asks for, if this checkpoint was tested completely; else None."""
    data = make_data(cfg)
    place = predictions.results_dir(folder, data.test_split_name, make_test(cfg).view_set)
    split, kept, result = data.store.split(data.test_split_name), place / PROBABILITIES, place / RESULT
    if not kept.is_file() or (split.labelled and not result.is_file()):
        return None
    there = Reader(kept)
    tests = [there.facts, read_result(result)] if split.labelled else [there.facts]
    now = sha256(Path(cfg.ckpt_path))
    same = all(test["checkpoint"]["sha256"] == now for test in tests)
    return place if same and there.rows == len(split) else None


def earlier_error(place: Path) -> float | None:
    """The top-1 error of a test that was made before; None where labels are not known."""
    return read_result(place / RESULT)["top1_error"] if (place / RESULT).is_file() else None


def validate(cfg: DictConfig, folder: Path) -> float | None:
    trainer, module, data = build(cfg, folder)
    trainer.validate(trained_run.load_module(cfg.ckpt_path, module), datamodule=data, verbose=False)
    if trainer.is_global_zero:
        about = predictions.dataset_info(data.store, "val")
        checkpoint = about_checkpoint(Path(cfg.ckpt_path), checkpoint_step(cfg))
        found = write_result(
            folder / VALIDATION, last_metrics(module), dataset=about, views="center", checkpoint=checkpoint
        )
        print_test_result(found, folder / VALIDATION)
    return last_metrics(module)["top1_error"]


def last_metrics(module: Classifier) -> dict[str, float]:
    """Metrics of the last validation or test."""
    return {name: float(value) for name, value in module.last_metrics.items()}


def print_test_result(result: dict[str, Any], where: Path) -> None:
    """One line of a result.json."""
    about, views, claim = result["dataset"], result["views"], result["claim"]
    part = f" of {about['images']:,}" if result["images"] != about["images"] else ""
    lacking = " (of an incomplete copy)" if about.get("missing") else ""
    seen = f"{views} view{'s' * (views != 'center')}"
    low, high = result["top1_error_interval"]
    print_message(
        f"{about['name']}, {result['images']:,}{part} {about['split']} images{lacking}, {seen}: "
        f"top-1 error {result['top1_error']:.2f} % (95 %: {low:.2f} to {high:.2f}), "
        f"top-5 error {result['top5_error']:.2f} %" + (f"; answers {claim}" if claim else ""),
        where,
    )
