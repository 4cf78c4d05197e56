"""`validate` and `test`: error rates on a whole split (§7), and the files that hold them."""

from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.commands.classifier_test import (
    holds_full_test,
    last_metrics,
    print_test_result,
    refuse_shortened,
    run_test,
)
from alexnet_pl.commands.other_images import check_real, test_other_images, write_real_result
from alexnet_pl.config.neutral import is_neutral
from alexnet_pl.config.options import make_test_section
from alexnet_pl.console import print_message
from alexnet_pl.data.store.store import Store
from alexnet_pl.digests import sha256
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.confusions import read_table, write_confusions
from alexnet_pl.evaluation.dataset_info import describe_dataset
from alexnet_pl.evaluation.prediction_file import PredictionFile
from alexnet_pl.evaluation.result import (
    TestDescription,
    TestResult,
    describe_weights,
    make_result,
    read_result,
    write_result,
)
from alexnet_pl.evaluation.submission import is_submittable, write_submission
from alexnet_pl.experiment import trained_run
from alexnet_pl.experiment.build import build, make_data
from alexnet_pl.json_records import to_json, write_json
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_metadata import read_import
from alexnet_pl.runs.layout import PROBABILITIES, RESULT, VALIDATION, results_dir
from alexnet_pl.runs.metric_names import CONFUSIONS
from alexnet_pl.training.loggers import reopen_loggers
from alexnet_pl.training.media import log_picture, log_result, log_summary, log_table

LOGGED_ROWS = 10_000  # of confusions.csv; W&B shows no more of a table, and in TensorBoard it is one text


def test(cfg: DictConfig, folder: Path) -> float | None:
    if make_test_section(cfg).data:
        return test_other_images(cfg, folder)
    trainer, module, data = build(cfg, folder)
    real = check_real(cfg, data)
    module = trained_run.load_module(cfg.ckpt_path, module)
    results = results_dir(folder, data.test_split_name, make_test_section(cfg).view_set)
    tested = run_test(cfg, trainer, module, data, results)
    if not module.labeled:
        rank_zero_only(write_server_file)(results, data.store, data.test_split_name)
        return None
    if trainer.is_global_zero:
        write_test_result(cfg, folder, results, last_metrics(module), tested, data.store)
        if real:
            write_real_result(folder, results, tested, real)
    return last_metrics(module)["top1_error"]


def write_test_result(
    cfg: DictConfig,
    folder: Path,
    results: Path,
    errors: dict[str, float],
    tested: TestDescription,
    store: Store | None,
) -> None:
    """Write the files of a test with labels: the errors first, so that nothing that fails afterwards loses them.
    `results/result.json` comes after the tables and marks the test as complete. The run's own result.json keeps a test
    of all images if this one is shortened."""
    result = make_result(errors, tested)
    if errors["count"] == tested.dataset.images or not holds_full_test(folder):
        write_json(folder / RESULT, to_json(result))
    if store:
        write_confusions(results, store, tested.dataset.split)
    write_json(results / RESULT, to_json(result))
    log_test_result(cfg, folder, results, result)
    print_test_result(result, results)


def log_test_result(cfg: DictConfig, folder: Path, results: Path, result: TestResult) -> None:
    """Log the result to the loggers of the fit; an ensemble gets its own W&B or TensorBoard run."""
    ensemble, step = cfg.command == "ensemble", result.checkpoint.step
    loggers = reopen_loggers(cfg.logger, folder, cfg.wandb.project, cfg.wandb.get("entity"), new=ensemble)
    if ensemble:
        log_summary(loggers, "config", OmegaConf.to_container(cfg, resolve=True))
    log_summary(loggers, "claim", {"claim": result.claim})
    log_result(loggers, result)
    if loggers and (rows := read_table(results / "confusions.csv")):
        log_table(loggers, CONFUSIONS, list(rows[0]), [list(row.values()) for row in rows[:LOGGED_ROWS]], step)
    if (results / "confusions.png").is_file():
        log_picture(loggers, f"{CONFUSIONS}_pictures", results / "confusions.png", step)
    for logger in loggers:
        logger.finalize("success")


def write_server_file(results: Path, store: Store, split: str) -> None:
    """Write the submission for the ILSVRC-2012 test server, which alone has the labels. For other data without labels,
    only print where the predictions are."""
    if not is_submittable(store, split):
        return print_message(f"{store.name} {split}: no labels; predictions saved", results / PROBABILITIES)
    path = results / "submission.txt"
    lines, missing = write_submission(path, store, results / PROBABILITIES)
    gap = f", {missing} of them arbitrary: of images that could not be read or scored" if missing else ""
    print_message(f"{store.name} {split}: no labels; {lines:,} lines for the test server{gap}", path)


def finished_test(cfg: DictConfig, folder: Path) -> Path | None:
    """Results folder of the test requested by `cfg` if this checkpoint was tested completely on this store, else None;
    None also for a test on other images or labels (`test.data`, `test.labels`)."""
    section = make_test_section(cfg)
    if section.data or section.labels:
        return None
    data = make_data(cfg)
    results = results_dir(folder, data.test_split_name, section.view_set)
    split, saved, result = data.store.split(data.test_split_name), results / PROBABILITIES, results / RESULT
    if not saved.is_file() or (split.labeled and not result.is_file()):
        return None
    reader = PredictionFile(saved)
    tests = [reader.test, read_result(result)] if split.labeled else [reader.test]
    file_hash = sha256(Path(cfg.ckpt_path))
    same = all(test.checkpoint.sha256 == file_hash for test in tests)
    same &= all(test.dataset.fingerprint in ("", data.store.fingerprint) for test in tests)
    return results if same and reader.rows == len(split) else None


def earlier_error(results: Path) -> float | None:
    """Top-1 error of an earlier test, in percent; None if the labels are unknown."""
    return read_result(results / RESULT).top1_error if (results / RESULT).is_file() else None


def validate(cfg: DictConfig, folder: Path) -> float | None:
    if cfg.trainer.get("limit_val_batches") == 0:  # of a run that was trained without validation
        raise UserError("trainer.limit_val_batches=0: leaves no images to validate; for all, set it to 1.0")
    trainer, module, data = build(cfg, folder)
    if not is_neutral("limit_val_batches", cfg.trainer.get("limit_val_batches")) and (folder / VALIDATION).is_file():
        images = len(data.store.split("val"))
        refuse_shortened(cfg, "limit_val_batches", data.batch_size, images, folder / VALIDATION)
    trainer.validate(trained_run.load_module(cfg.ckpt_path, module), datamodule=data, verbose=False)
    if trainer.is_global_zero:
        path, dataset = Path(cfg.ckpt_path), describe_dataset(data.store, "val")
        imported = read_import(read_checkpoint(path)["alexnet_pl"])
        tested = TestDescription(dataset=dataset, views="center", imported=imported, **describe_weights(path))
        result = write_result(folder / VALIDATION, last_metrics(module), tested)
        print_test_result(result, folder / VALIDATION)
    return last_metrics(module)["top1_error"]
