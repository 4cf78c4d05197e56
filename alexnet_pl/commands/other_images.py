"""`test test.data=STORE` tests on other images, such as ImageNet-A; `test test.labels=real.json` uses other labels.

Results are written to their own folders below results/; result.json of the run folder remains the run's own test.
"""

import math
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl.commands.classifier_test import last_metrics, print_test_result, run_test
from alexnet_pl.config.options import make_test_section
from alexnet_pl.data.loading.datamodule import ImageStore
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.confusions import write_confusions
from alexnet_pl.evaluation.real_labels import image_index, read_real, real_errors
from alexnet_pl.evaluation.result import TestDescription, make_result, write_result
from alexnet_pl.experiment import trained_run
from alexnet_pl.experiment.build import build
from alexnet_pl.experiment.class_subset import class_rows, restrict_outputs
from alexnet_pl.json_records import to_json, write_json
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.layout import PROBABILITIES, RESULT, results_dir


def test_other_images(cfg: DictConfig, folder: Path) -> float:
    """Test among the classes of the store at `test.data`. Raises UserError if the network lacks one of them."""
    section, other = make_test_section(cfg), cfg.copy()
    assert section.data
    store = open_other_store(section.data, cfg.data.size)
    classes = read_checkpoint(cfg.ckpt_path)["alexnet_pl"]["classes"]
    rows = class_rows(classes, store.classes, store.name)
    other.data.root, other.data.name, other.model.num_classes = section.data, store.name, len(classes)
    trainer, module, data = build(other, folder, other_classes=True)
    module = trained_run.load_module(other.ckpt_path, module)
    restrict_outputs(module, rows)
    data.store.classes = module.classes  # class names of the network, not of the store
    results = results_dir(folder, results_name(store.name), section.view_set)
    tested = run_test(other, trainer, module, data, results)
    errors = last_metrics(module)
    if trainer.is_global_zero:
        (results / RESULT).unlink(missing_ok=True)  # of an earlier test, whose tables are replaced
        result = make_result(errors, tested)
        print_test_result(result, results)  # first, so that nothing that fails afterwards loses the errors
        write_confusions(results, data.store, tested.dataset.split)
        write_json(results / RESULT, to_json(result))  # marks the test as complete
    return errors["top1_error"]


def open_other_store(root: str, size: int) -> Store:
    """The store at `test.data`. Raises UserError if there is none or its images are not of `size`, the network's."""
    try:
        store = Store(root)
    except UserError as error:
        raise UserError(f"test.data={root}: {error}") from error
    if store.size != size:
        raise UserError(
            f"test.data={root}: images of {store.size} pixels, but the network was trained on {size}; "
            f"prepare them with data.size={size}"
        )
    return store


def results_name(store: str) -> str:
    """Folder name of a store's results; with a prefix if it would equal that of one of the run's own splits."""
    return f"data_{store}" if store.removesuffix("_real") in ("train", "val", "test") else store


def check_real(cfg: DictConfig, data: ImageStore) -> list[set[int]]:
    """Labels at `test.labels`, checked before the test; [] if none are given."""
    path = make_test_section(cfg).labels
    if not path:
        return []
    labels = read_real(Path(path), len(data.store.classes))
    image_index(data.store.split(data.test_split_name).names_of([0])[0], len(labels))
    return labels


def write_real_result(folder: Path, results: Path, tested: TestDescription, labels: list[set[int]]) -> None:
    """Score the answers in `results` by ReaL's labels. The result matches no row of the paper."""
    errors = real_errors(results / PROBABILITIES, labels)
    split = f"{tested.dataset.split}_real"
    real = replace(tested, claim=None, dataset=replace(tested.dataset, split=split))
    where = results_dir(folder, split, tested.views)
    where.mkdir(parents=True, exist_ok=True)
    print_test_result(write_result(where / RESULT, {**errors, "nll": math.nan}, real), where)
