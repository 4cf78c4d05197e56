"""Short codes (§7.1): configs/codes.yaml from features to a table, resumed bit for bit; other features are refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_files import WIDTH, make_features, sparse
from omegaconf import DictConfig
from run_folders import check_fit_killed_after_saving, table, whole_and_cut
from running import Compose, check_words, last, run
from typed_words import type_words

from alexnet_pl.commands.network_of_weights import architecture_of_run
from alexnet_pl.detection.box_weights import open_network_checkpoint
from alexnet_pl.errors import UserError
from alexnet_pl.figures.code_curves import STYLES, Curves, collect_curves, draw_code_curves, picture_codes
from alexnet_pl.figures.style import THEMES
from alexnet_pl.inference.earlier_network import open_earlier_network
from alexnet_pl.inference.weights import read_weights
from alexnet_pl.json_records import JsonObject
from alexnet_pl.reporting.code_tables import HEADER, code_report, code_table, codes_page, collect_codes
from alexnet_pl.retrieval.code_evaluation import METHOD_ORDER
from alexnet_pl.retrieval.codebook import CodeBook, open_codes
from alexnet_pl.retrieval.features import Features
from alexnet_pl.retrieval.search import search_exactly
from alexnet_pl.table import to_markdown

KEPT = Path(__file__).parents[2] / "docs/data/evidence/codes"
TRAIN, VAL = 160, 40
METHODS = ("PCA of fc7, signs", "random projections of fc7, signs")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Run folder with well separated features of three classes, and pixels without information."""
    chance = np.random.default_rng(5)
    centers = 3 * chance.standard_normal((3, WIDTH))
    for split, count, seed in (("train", TRAIN, 1), ("val", VAL, 2)):
        labels = np.arange(count) % 3
        make_features(tmp_path / f"net/features/{split}-fc7", centers[labels] + sparse(count, seed), labels)
        none = {"file": "none", "sha256": "none", "step": 0}
        make_features(tmp_path / f"net/features/{split}-pixels", sparse(count, seed + 2), labels, checkpoint=none)
    return tmp_path / "net"


@pytest.fixture
def cfg(config: Compose, network: Path) -> DictConfig:
    keys = ("codes.bits=12", "codes.hidden=[16]", "data.batch_size=16", "trainer.max_epochs=3", "logger=csv")
    return config("codes", f"codes.features={network}", "trainer.precision=32-true", *keys)


def weights(folder: Path) -> dict[str, Any]:
    return torch.load(last(folder), weights_only=True)["state_dict"]


@pytest.mark.parametrize("key", ["schedule.name", "model.width", "augment.noise", "transfer.weights"])
def test_typed_settings_of_classifiers_are_refused(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    type_words(monkeypatch, "seed=1", f"{key}=1")
    with pytest.raises(UserError, match=f"^{key}: not for codes"):
        run(cfg, "fit", tmp_path / "run")


def test_interval_longer_than_an_epoch_is_refused(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer = {**cfg.trainer, "val_check_interval": 11}
    with pytest.raises(UserError, match=r"^trainer.val_check_interval=11: an epoch has fewer batches \(10\)"):
        run(cfg, "fit", tmp_path / "codes")


@pytest.mark.parametrize("binary", ["straight_through", "noise"])
@pytest.mark.parametrize("step", [4, 20])
def test_interrupted_and_resumed_fit_is_bit_identical(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, binary: str
) -> None:
    """Interrupted within an epoch and at its end."""
    cfg.codes.binary = binary
    whole, cut = (saved["state_dict"] for saved in whole_and_cut(cfg, tmp_path, monkeypatch, step))
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


@pytest.mark.parametrize("step", [4, 15])
def test_killed_fit_continues_to_the_bit(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed within an epoch of ten steps, after a step with a row of metrics.csv."""
    cfg.trainer.log_every_n_steps = 1
    check_fit_killed_after_saving(cfg, tmp_path, monkeypatch, step)
    losses = [row["step"] for row in table(tmp_path / "cut/metrics.csv") if row["train/loss"]]
    assert losses == [str(step) for step in range(1, 31)]


def test_reproduce_trains_tests_and_resumes(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer.max_epochs = 30
    run(cfg, "reproduce", tmp_path / "codes")
    rows = {row["method"]: row for row in result(tmp_path / "codes")["rows"]}
    assert rows["float vectors of fc7, exact"]["recall_6"]["mean"] == 100
    learned, by_chance = rows["auto-encoder on fc7"], 100 * 6 / TRAIN
    assert learned["recall_6"]["mean"] > 3 * by_chance
    assert learned["precision_6"]["mean"] > 80
    assert (learned["bytes"], learned["bits"]) == (2, 12)
    assert set(rows) == {*METHODS, "float vectors of fc7, exact", "auto-encoder on fc7"}
    said = json.loads((tmp_path / "codes/fit.json").read_text())
    run(cfg, "reproduce", tmp_path / "codes")
    assert json.loads((tmp_path / "codes/fit.json").read_text()) == said


def test_fit_that_ends_before_a_validation_is_saved(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.trainer = {**cfg.trainer, "max_steps": 1}
    assert run(cfg, "fit", tmp_path / "codes") is None
    assert torch.load(last(tmp_path / "codes"), weights_only=True)["global_step"] == 1


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results/val-codes/codes.json").read_text())


def test_recall_matches_brute_force_on_the_checkpoints_codes(cfg: DictConfig, network: Path, tmp_path: Path) -> None:
    """Recall is computed with sets, from the network's own bits and brute force."""
    run(cfg, "fit", tmp_path / "codes")
    run(cfg, "test", tmp_path / "codes", last(tmp_path / "codes"))
    train, val = (Features(network / f"features/{split}-fc7") for split in ("train", "val"))
    book = open_codes(tmp_path / "codes", train)
    codes, queries = (book.net.encode(features.values) for features in (train, val))
    distances = (codes[None] != queries[:, None]).sum(2)
    found = book.nearest(val.values, 100)
    assert np.array_equal(found.distances, np.sort(distances, 1)[:, :100])
    true = search_exactly(train, val.rows(slice(None)), 100).numbers
    shared = [len({*a} & {*b}) for a, b in zip(found.numbers.tolist(), true.tolist(), strict=True)]
    row = next(row for row in result(tmp_path / "codes")["rows"] if row["method"] == "auto-encoder on fc7")
    assert row["recall_100"]["mean"] == pytest.approx(np.mean(shared))


def test_pixel_distances_are_compared_with_fc7_neighbors(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.codes.layer = "pixels"
    run(cfg, "reproduce", tmp_path / "codes")
    rows = {row["method"]: row for row in result(tmp_path / "codes")["rows"]}
    assert set(rows) == {"float vectors of fc7, exact", "auto-encoder on raw pixels", "float raw pixels, exact"}
    assert rows["float raw pixels, exact"]["recall_6"]["mean"] < 15  # chance level: 6 of 160 are 3.75 %
    assert rows["float raw pixels, exact"]["precision_100"]["mean"] == pytest.approx(100 / 3, abs=4)


def test_table_has_a_row_per_method_and_number_of_bits(cfg: DictConfig, tmp_path: Path) -> None:
    for name, keys in {"a": {"bits": 12}, "b": {"bits": 20}, "c": {"layer": "pixels"}}.items():
        given = cfg.copy()
        given.codes.update(keys)
        run(given, "reproduce", tmp_path / f"runs-{name}")
    (table,) = map(code_table, collect_codes([tmp_path]))
    assert table.header == HEADER
    assert [row[:2] for row in table.rows] == [
        ["float vectors of fc7, exact", ""],
        ["float raw pixels, exact", ""],
        ["auto-encoder on fc7", "12"],
        ["PCA of fc7, signs", "12"],
        ["random projections of fc7, signs", "12"],
        ["auto-encoder on raw pixels", "12"],
        ["auto-encoder on fc7", "20"],
        *([method, "20"] for method in METHODS),
    ]
    row = next(row for row in result(tmp_path / "runs-a")["rows"] if row["method"] == "auto-encoder on fc7")
    value = row["precision_6"]
    assert f"{value['mean']:.1f} ± {(value['high'] - value['low']) / 2:.1f}" in table.rows[2]
    assert "tiny, 40 of 40 val images as queries against 160" in to_markdown([table])


def test_several_seeds_give_an_interval_over_runs(cfg: DictConfig, tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        run(cfg, "reproduce", tmp_path / f"runs-{seed}", seed=seed)
    (table,) = map(code_table, collect_codes([tmp_path]))
    cells = {row[0]: row[2] for row in table.rows}
    means = [
        next(row["recall_6"]["mean"] for row in result(tmp_path / f"runs-{seed}")["rows"] if "auto" in row["method"])
        for seed in (0, 1, 2)
    ]
    assert cells["auto-encoder on fc7"].startswith(f"{np.mean(means):.1f} ± ")
    assert cells["auto-encoder on fc7"].endswith("3 seeds")
    assert "seeds" not in cells["PCA of fc7, signs"]


@pytest.mark.parametrize("epochs", [-1, None])
def test_number_of_epochs_is_required(cfg: DictConfig, tmp_path: Path, epochs: int | None) -> None:
    with pytest.raises(UserError, match=r"^trainer\.max_epochs=(-1|null): at least 1"):
        run(cfg, "fit", tmp_path / "codes", **{"trainer.max_epochs": epochs})


def test_codes_are_no_network(cfg: DictConfig, tmp_path: Path) -> None:
    run(cfg, "fit", tmp_path / "codes", **{"trainer.max_epochs": 1})
    path = last(tmp_path / "codes")
    with pytest.raises(UserError, match=rf"^ckpt_path: {path} holds short codes, not a network"):
        read_weights(path)
    with pytest.raises(UserError, match=rf"^transfer.weights: {path} holds short codes, not a network"):
        open_earlier_network(str(tmp_path / "codes"))
    with pytest.raises(UserError, match=rf"^transfer.weights: {path} holds short codes, not a network"):
        open_network_checkpoint(str(tmp_path / "codes"))
    with pytest.raises(UserError, match=rf"^ckpt_path: {path} holds short codes, not a network"):
        architecture_of_run(path)


def test_codes_for_other_features_are_refused(cfg: DictConfig, network: Path, tmp_path: Path) -> None:
    run(cfg, "fit", tmp_path / "codes")
    for split in ("train", "val"):
        path = network / f"features/{split}-fc7/about.json"
        about = json.loads(path.read_text())
        about["checkpoint"]["sha256"] = "b" * 64
        path.write_text(json.dumps(about))
    with pytest.raises(UserError, match=r"train-fc7: of another checkpoint \(bbbb.*\) than what the codes of "):
        run(cfg, "test", tmp_path / "codes", last(tmp_path / "codes"))
    with pytest.raises(UserError, match="of another checkpoint"):
        run(cfg, "fit", tmp_path / "codes", last(tmp_path / "codes"))
    with pytest.raises(UserError, match=r"codes.checkpoint: the run in .* was started with other values"):
        run(cfg, "reproduce", tmp_path / "codes")


def test_code_book_is_cached_and_rebuilt_after_more_training(cfg: DictConfig, network: Path, tmp_path: Path) -> None:
    run(cfg, "fit", tmp_path / "codes")
    features = Features(network / "features/train-fc7")
    first = CodeBook(last(tmp_path / "codes"), features)
    written = first.path.stat().st_mtime_ns
    assert CodeBook(last(tmp_path / "codes"), features).path.stat().st_mtime_ns == written
    np.save(first.path, 255 - first.codes)  # not what codes/train.json describes
    assert np.array_equal(CodeBook(last(tmp_path / "codes"), features).codes, first.codes)
    cfg.trainer.max_epochs = 4
    run(cfg, "fit", tmp_path / "codes", last(tmp_path / "codes"))
    second = CodeBook(last(tmp_path / "codes"), features)
    assert np.array_equal(np.unpackbits(second.codes, axis=1, count=12), second.net.encode(features.values))
    assert second.path.stat().st_mtime_ns > written


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"features": "away"}, "codes.features: away does not exist"),
        ({"bits": 0}, "codes.bits=0: from 1"),
        ({"neighbors": -1}, "codes.neighbors=-1"),
        ({"layer": "fc6"}, "train-fc6: does not exist; make it with"),
        ({"bits": 64}, "codes.bits=64: more than the 24 components"),
        ({"deep": True}, "codes.deep: unknown key"),
    ],
)
def test_mistakes_are_named(cfg: DictConfig, tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    cfg.codes = {**cfg.codes, **keys}
    with pytest.raises(UserError, match=f"^(.*/)?{said}"):
        run(cfg, "reproduce", tmp_path / "codes")


def test_classifier_run_is_refused_as_auto_encoder(cfg: DictConfig, network: Path, tmp_path: Path) -> None:
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    torch.save({"alexnet_pl": {"switches": {}}, "state_dict": {}, "global_step": 1}, last(tmp_path / "run"))
    features = Features(network / "features/train-fc7")
    with pytest.raises(UserError, match=r"last.ckpt: checkpoint of a network, not of codes"):
        open_codes(tmp_path / "run", features)
    with pytest.raises(UserError, match=r"has no checkpoints/last.ckpt; fit codes first"):
        open_codes(tmp_path, features)
    with pytest.raises(UserError, match=r"^validate: not for codes, only fit, test, reproduce"):
        run(cfg, "validate", tmp_path / "codes")


def test_neighbor_loss_has_its_own_row_and_curve(cfg: DictConfig, tmp_path: Path) -> None:
    run(cfg, "reproduce", tmp_path / "without")
    given = cfg.copy()
    given.codes.neighbors = 1.0
    run(given, "reproduce", tmp_path / "with")
    (tests,) = collect_codes([tmp_path])
    methods = [row[0] for row in code_table(tests).rows]
    assert methods[1:3] == ["auto-encoder on fc7, neighbor loss", "auto-encoder on fc7"]
    curves = collect_curves(tests)
    assert {method for method, _ in curves} == set(methods)
    nearest = curves["float vectors of fc7, exact", None]["nearest"]
    assert nearest["precision"][nearest["ranks"].index(100)] == 100
    assert nearest["recall"][-1] == 100
    for theme in THEMES:
        check_words(draw_code_curves(curves, theme))
    for axes in draw_code_curves({**curves, **other_bits(curves, 20)}, THEMES[0]).axes:
        assert axes.get_ylim()[1] >= max(max(np.asarray(line.get_ydata())) for line in axes.get_lines())
    with pytest.raises(UserError, match=r"codes.neighbors: the run in .* was started with other values"):
        run(given, "reproduce", tmp_path / "without")


def other_bits(curves: Curves, bits: int) -> Curves:
    """The same curves for another number of bits, with twice the precision."""
    return {
        (method, bits): {
            kind: {**one, "precision": [2 * value for value in one["precision"]]} for kind, one in kinds.items()
        }
        for (method, size), kinds in curves.items()
        if size
    }


def test_tests_without_curves_have_a_table_and_no_picture(cfg: DictConfig, tmp_path: Path) -> None:
    run(cfg, "reproduce", tmp_path / "codes")
    path = tmp_path / "codes/results/val-codes/codes.json"
    old = json.loads(path.read_text())
    del old["codes"]["neighbors"]
    path.write_text(
        json.dumps(old | {"rows": [{k: v for k, v in row.items() if k != "curves"} for row in old["rows"]]})
    )
    groups = collect_codes([tmp_path])
    assert picture_codes(groups) == [""]
    page = codes_page(groups, picture_codes(groups))
    assert "auto-encoder on fc7" in page
    assert "Precision and recall" not in page


def test_page_says_which_queries_the_curves_are_of(cfg: DictConfig, tmp_path: Path) -> None:
    run(cfg, "reproduce", tmp_path / "codes")
    path = tmp_path / "codes/results/val-codes/codes.json"
    queries = json.loads(path.read_text())["queries"]
    assert f"over {queries} queries, drawn at random, if" in codes_page(collect_codes([tmp_path]), ["picture"])
    older = json.loads(path.read_text())
    del older["curve_queries"]
    path.write_text(json.dumps(older))
    said = codes_page(collect_codes([tmp_path]), ["picture"])
    assert f"over the first {queries} queries, images of a few classes, if" in said


def test_curves_of_random_queries_alone_are_drawn(cfg: DictConfig, tmp_path: Path) -> None:
    """Those of older tests are of other images."""
    run(cfg, "reproduce", tmp_path / "codes")
    ((test,),) = collect_codes([tmp_path])
    older, new = (
        replace(test, seed=seed, curve_queries=queries, rows=[{**row, "curves": {"class": seed}} for row in test.rows])
        for seed, queries in ((0, 0), (1, test.curve_queries))
    )
    assert collect_curves([older, new]) == collect_curves([new]) != collect_curves([older])


def test_weight_of_the_neighbor_loss_is_that_of_training(cfg: DictConfig, tmp_path: Path) -> None:
    """Not that of the test's config: a checkpoint may be tested with another."""
    given = cfg.copy()
    given.codes.neighbors = 0.5
    run(given, "fit", tmp_path / "codes")
    run(cfg, "test", tmp_path / "codes", last(tmp_path / "codes"))
    assert result(tmp_path / "codes")["codes"]["neighbors"] == 0.5
    assert result(tmp_path / "codes")["rows"][1]["method"] == "auto-encoder on fc7, neighbor loss × 0.5"
    (tests,) = collect_codes([tmp_path])
    assert code_table(tests).rows[1][0] == "auto-encoder on fc7, neighbor loss × 0.5"


def test_older_spelling_of_a_method_is_read(cfg: DictConfig, tmp_path: Path) -> None:
    cfg.codes.neighbors = 0.5
    run(cfg, "reproduce", tmp_path / "codes")
    (tests,) = collect_codes([tmp_path])
    path = tmp_path / "codes/results/val-codes/codes.json"
    text = path.read_text().replace(", neighbor loss", ", neighbour loss")  # codespell:ignore neighbour
    path.write_text(text)
    (older,) = collect_codes([tmp_path])
    assert code_table(older).rows == code_table(tests).rows
    assert draw_code_curves(collect_curves(older), THEMES[0]).axes


def copy_test(run: Path) -> Path:
    """Copy a kept codes.json into a run folder."""
    path = run / "results/val-codes/codes.json"
    path.parent.mkdir(parents=True)
    shutil.copy(next(KEPT.glob("*/results/*/codes.json")), path)
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"curves": 5}, "corrupt (curves of float vectors"),
        ({"curves": {"nearest": {}}}, "corrupt (curves of float vectors"),
        ({"curves": {"nearest": {"ranks": [1], "precision": [1], "recall": []}}}, "corrupt (curves of float vectors"),
        ({"method": None}, "corrupt (rows.0.method"),
        ({"method": "magic"}, "method 'magic' is unknown to this version"),
        ({"method": "PCA of fc7, signs × much"}, "is unknown to this version"),
        ({"bits": "64"}, "corrupt (rows.0.bits"),
        ({"recall_6": {"mean": 3}}, "corrupt (rows.0.recall_6.low: missing"),
    ],
)
def test_damaged_rows_are_named_and_other_runs_kept(
    tmp_path: Path, change: JsonObject, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_test(tmp_path / "whole")
    path = copy_test(tmp_path / "damaged")
    record = json.loads(path.read_text())
    record["rows"][0] |= change
    path.write_text(json.dumps(record))
    (tests,) = collect_codes([tmp_path])
    assert len(tests) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"skipped: {path}: ")
    assert says in line


def test_tags_in_a_dataset_name_are_text_in_a_notebook(tmp_path: Path) -> None:
    path = copy_test(tmp_path / "codes")
    record = json.loads(path.read_text())
    record["dataset"]["name"] = "<img src=x onerror=alert(1)>"
    path.write_text(json.dumps(record))
    assert "&lt;img src=x onerror=alert(1)&gt;, 5,000 of" in (page := code_report(tmp_path))
    assert "<" not in page


def test_auto_encoders_of_other_shapes_have_their_own_table(cfg: DictConfig, tmp_path: Path) -> None:
    run(cfg, "reproduce", tmp_path / "a")
    cfg.codes.hidden = [8, 8]
    run(cfg, "reproduce", tmp_path / "b")
    groups = collect_codes([tmp_path])
    assert ["hidden layers of 16 units" in str(code_table(tests).notes) for tests in groups] == [True, False]
    assert picture_codes(groups)[1].count("codes-2") == 2


def test_older_record_without_training_is_averaged_with_newer_ones(cfg: DictConfig, tmp_path: Path) -> None:
    for seed in (0, 1):
        cfg.seed = seed
        run(cfg, "reproduce", tmp_path / f"{seed}")
    path = tmp_path / "0/results/val-codes/codes.json"
    older = json.loads(path.read_text())
    del older["training"]
    path.write_text(json.dumps(older))
    assert [len(tests) for tests in collect_codes([tmp_path])] == [2]


def test_fits_of_other_length_are_not_averaged_and_other_checkpoints_are_not_finished(
    cfg: DictConfig, tmp_path: Path
) -> None:
    run(cfg, "reproduce", tmp_path / "a")
    cfg.seed = 7  # of a command that tests the network of seed 0
    cfg.ckpt_path = str(last(tmp_path / "a"))
    run(cfg, "test", tmp_path / "a", last(tmp_path / "a"))
    (tested,) = collect_codes([tmp_path])[0]
    assert tested.seed == 0
    cfg.trainer.max_epochs = 4
    run(cfg, "reproduce", tmp_path / "b")
    assert [len(tests) for tests in collect_codes([tmp_path])] == [1, 1]


def test_other_weights_of_the_neighbor_loss_have_a_line_beside_weight_1() -> None:
    methods = ["auto-encoder on fc7, neighbor loss × 4", "auto-encoder on fc7, neighbor loss"]
    curve = {"nearest": {"ranks": [1, 100], "precision": [50, 20], "recall": [1, 30]}}
    figure = draw_code_curves({(method, 8): curve for method in methods}, THEMES[0])
    lines = {line.get_label(): line for line in figure.axes[0].get_lines() if line.get_label() != "_"}
    assert list(lines) == methods[::-1], "sorted by weight"
    assert [lines[method].is_dashed() for method in methods] == [True, False]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == methods[::-1]


def test_legend_says_why_float_vectors_are_not_in_the_upper_row() -> None:
    curve = {"ranks": [1, 100], "precision": [50, 20], "recall": [1, 30]}
    methods = {"float vectors of fc7, exact": None, "auto-encoder on fc7": 8}
    both = {(method, bits): {"nearest": curve, "class": curve} for method, bits in methods.items()}
    figure = draw_code_curves(both, THEMES[0], "tiny: val images")
    check_words(figure)
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["float vectors of fc7, exact (upper row: always 100 %)", "auto-encoder on fc7"]
    assert figure.get_suptitle() == "tiny: val images"
    lower = {key: {"class": curve} for key in both}
    (text, _) = draw_code_curves(lower, THEMES[0]).legends[0].get_texts()
    assert text.get_text() == "float vectors of fc7, exact"


def test_every_method_has_a_line_style() -> None:
    assert {*STYLES} == {*METHOD_ORDER}
