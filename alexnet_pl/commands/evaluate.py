"""`validate` and `test`: error rates on a whole split (§7), and the files that hold them."""

from dataclasses import fields, replace
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.config.options import make_test_section
from alexnet_pl.console import print_message
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.store.store import Store
from alexnet_pl.evaluation import predictions
from alexnet_pl.evaluation.confusions import read_table, write_confusions
from alexnet_pl.evaluation.predictions import Reader
from alexnet_pl.evaluation.result import FitSummary, TestDescription, TestResult, read_result, write_result
from alexnet_pl.evaluation.submission import writable, write_submission
from alexnet_pl.experiment import trained_run
from alexnet_pl.experiment.build import build, make_data
from alexnet_pl.files import sha256, to_json, write_json
from alexnet_pl.paper import matching
from alexnet_pl.runs.checkpoint import checkpoint_seed, describe_checkpoint, read_checkpoint, read_import
from alexnet_pl.runs.fit_status import FitStatus, finished_fit
from alexnet_pl.runs.layout import PROBABILITIES, RESULT, VALIDATION
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.loggers import reopen_loggers
from alexnet_pl.training.media import log_picture, log_result, log_summary, log_table
from alexnet_pl.training.metric_names import CONFUSIONS


def test(cfg: DictConfig, folder: Path) -> float | None:
    trainer, module, data = build(cfg, folder)
    module = trained_run.load_module(cfg.ckpt_path, module)
    tested = describe_test(cfg, module, data)
    results = predictions.results_dir(folder, data.test_split_name, make_test_section(cfg).view_set)
    saved = predictions.should_save_predictions(
        cfg.test.save_predictions, tested.dataset.images, tested.dataset.classes
    )
    trainer.callbacks.append(predictions.PredictionWriter(results / PROBABILITIES, data.store, tested, saved))  # type: ignore[attr-defined]
    trainer.test(module, datamodule=data, verbose=False)
    if not module.labelled:
        rank_zero_only(write_server_file)(results, data.store, data.test_split_name)
        return None
    if trainer.is_global_zero:
        write_test_result(cfg, folder, results, last_metrics(module), tested, data.store)
    return last_metrics(module)["top1_error"]


def describe_test(cfg: DictConfig, module: Classifier, data: ImageStore) -> TestDescription:
    """Description of a test before it runs: images, weights, earlier runs, and the row of the paper that it answers."""
    path = Path(cfg.ckpt_path)
    checkpoint = describe_checkpoint(path)
    fit = finished_fit(path, checkpoint.step)
    imported = read_import(read_checkpoint(path)["alexnet_pl"])
    seed = checkpoint_seed(path)
    tested = TestDescription(
        dataset=predictions.dataset_info(data.store, data.test_split_name),
        views=module.views,
        checkpoint=checkpoint,
        seed=cfg.seed if seed is None and imported is None else seed,
        finished=fit is not None,
        training=fit.training if fit and not fit.changed else None,
        trained=summarize_fit(fit) if fit else FitSummary(),
        lineage=module.lineage,
        imported=imported,
    )
    complete = tested.training and OmegaConf.select(cfg, "trainer.limit_test_batches") is None
    return replace(tested, claim=matching.matching_claim(tested) if complete else None)


def summarize_fit(fit: FitStatus) -> FitSummary:
    return FitSummary(**{field.name: getattr(fit, field.name) for field in fields(FitSummary)})


def write_test_result(
    cfg: DictConfig,
    folder: Path,
    results: Path,
    errors: dict[str, float],
    tested: TestDescription,
    store: Store | None,
) -> None:
    """Write the files of a test with labels. `results/result.json` is written last and marks the test as complete."""
    if store:
        write_confusions(results, store, tested.dataset.split)
    result = write_result(folder / RESULT, errors, tested)
    write_json(results / RESULT, to_json(result))
    log_test_result(cfg, folder, results, result)
    print_test_result(result, results)


def log_test_result(cfg: DictConfig, folder: Path, results: Path, result: TestResult) -> None:
    """Log the result to the loggers of the fit; an ensemble gets a W&B or TensorBoard run of its own."""
    ensemble, step = cfg.command == "ensemble", result.checkpoint.step
    loggers = reopen_loggers(cfg.logger, folder, cfg.wandb.project, cfg.wandb.get("entity"), new=ensemble)
    if ensemble:
        log_summary(loggers, OmegaConf.to_container(cfg, resolve=True))
    log_summary(loggers, {"claim": result.claim})
    log_result(loggers, result)
    if loggers and (rows := read_table(results / "confusions.csv")):
        log_table(loggers, CONFUSIONS, list(rows[0]), [list(row.values()) for row in rows], step)
    if (results / "confusions.png").is_file():
        log_picture(loggers, f"{CONFUSIONS}_pictures", results / "confusions.png", step)
    for logger in loggers:
        logger.finalize("success")


def write_server_file(results: Path, store: Store, split: str) -> None:
    """Write the submission for the ILSVRC-2012 test server, which alone has the labels; for other data only print where
    the predictions are."""
    if not writable(store, split):
        return print_message(f"{store.name} {split}: no labels; predictions saved", results / PROBABILITIES)
    path = results / "submission.txt"
    lines, missing = write_submission(path, store, results / PROBABILITIES)
    gap = f", {missing} of them arbitrary, since those images could not be read" if missing else ""
    print_message(f"{store.name} {split}: no labels; {lines:,} lines for the test server{gap}", path)


def finished_test(cfg: DictConfig, folder: Path) -> Path | None:
    """Results folder of the test that `cfg` asks for, if this checkpoint was tested completely; else None."""
    data = make_data(cfg)
    results = predictions.results_dir(folder, data.test_split_name, make_test_section(cfg).view_set)
    split, saved, result = data.store.split(data.test_split_name), results / PROBABILITIES, results / RESULT
    if not saved.is_file() or (split.labelled and not result.is_file()):
        return None
    reader = Reader(saved)
    tests = [reader.test, read_result(result)] if split.labelled else [reader.test]
    file_hash = sha256(Path(cfg.ckpt_path))
    same = all(test.checkpoint.sha256 == file_hash for test in tests)
    return results if same and reader.rows == len(split) else None


def earlier_error(results: Path) -> float | None:
    """Top-1 error of an earlier test, in percent; None where labels are not known."""
    return read_result(results / RESULT).top1_error if (results / RESULT).is_file() else None


def validate(cfg: DictConfig, folder: Path) -> float | None:
    trainer, module, data = build(cfg, folder)
    trainer.validate(trained_run.load_module(cfg.ckpt_path, module), datamodule=data, verbose=False)
    if trainer.is_global_zero:
        dataset = predictions.dataset_info(data.store, "val")
        tested = TestDescription(
            dataset=dataset, views="center", checkpoint=describe_checkpoint(Path(cfg.ckpt_path)), lineage=module.lineage
        )
        result = write_result(folder / VALIDATION, last_metrics(module), tested)
        print_test_result(result, folder / VALIDATION)
    return last_metrics(module)["top1_error"]


def last_metrics(module: Classifier) -> dict[str, float]:
    """Metrics of the last validation or test."""
    return {name: float(value) for name, value in module.last_metrics.items()}


def print_test_result(result: TestResult, path: Path) -> None:
    """Print images, views and errors of a result in one line."""
    dataset = result.dataset
    part = f" of {dataset.images:,}" if result.images != dataset.images else ""
    incomplete = " (of an incomplete copy)" if dataset.missing else ""
    views = f"{result.views} view{'s' * (result.views != 'center')}"
    low, high = result.top1_error_interval
    print_message(
        f"{dataset.name}, {result.images:,}{part} {dataset.split} images{incomplete}, {views}: "
        f"top-1 error {result.top1_error:.2f} % (95 %: {low:.2f} to {high:.2f}), "
        f"top-5 error {result.top5_error:.2f} %"
        + (f"; answers {result.claim}" if result.claim else "")
        + (f"; weights of {result.imported.file} ({result.imported.format})" if result.imported else ""),
        path,
    )
