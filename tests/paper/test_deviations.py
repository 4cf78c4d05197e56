"""Deviations from the authors' program: their list, and their effects measured from run folders."""

from pathlib import Path
from typing import Any

import pytest
from made_results import claim_test, proxy_test, write_test
from omegaconf import OmegaConf
from scipy import stats

from alexnet_pl.config import recipes
from alexnet_pl.config.identity import training_signature
from alexnet_pl.paper import matching
from alexnet_pl.paper.deviations import AS_PRINTED, DeviationEffect, deviations, measure_deviations
from alexnet_pl.paper.proxies import group_proxies
from alexnet_pl.paper.results import collect_tests
from alexnet_pl.reporting.deviation_tables import deviation_tables
from alexnet_pl.reporting.proxy_tables import proxy_tables

PROGRAM_ALONE = ("augment.images_per_crop", "data.shuffle")  # the program's, though not our defaults
SCHEDULES = ("plateau", "steps", "logged", "constant")
PROGRAM = [30.0, 31.5, 30.4]


def changed(**changes: Any) -> dict[str, Any]:
    """Test of the main network on other images with some settings changed, such as model__norm=False."""
    about = proxy_test("table2.cnn")
    for name, value in changes.items():
        section, key = name.split("__")
        about["training"][section] = {**about["training"][section], key: value}
    return about


def make_runs(root: Path, name: str, about: dict[str, Any], errors: list[float]) -> None:
    for seed, error in enumerate(errors):
        write_test(root, f"{name}{seed}", about, error)


def effects(root: Path) -> dict[str, DeviationEffect]:
    return {effect.deviation.key: effect for effect in measure_deviations(collect_tests([root]))}


def test_each_deviation_sets_a_key_as_the_printed_recipe_does() -> None:
    printed = recipes.compose("ilsvrc2012_printed")
    for schedule in SCHEDULES:
        *alone, whole = deviations(schedule)
        for one in alone:
            (value,) = one.changes.values()
            if one.key not in PROGRAM_ALONE:
                assert OmegaConf.select(printed, one.key) == value
        assert whole.key == AS_PRINTED
        changes = {key: value for one in alone if one.key not in PROGRAM_ALONE for key, value in one.changes.items()}
        assert changes == whole.changes


@pytest.mark.parametrize(
    ("schedule", "rules"),
    [
        ("plateau", ["schedule.plateau.freeze_conv1=false"]),
        ("steps", ["schedule.steps.biases=true"]),
        ("logged", ["schedule.logged.biases=true", "schedule.logged.freeze_conv1=false"]),
        ("constant", []),
    ],
)
def test_rules_of_learning_rates_are_those_of_the_schedule(schedule: str, rules: list[str]) -> None:
    assert [one.override for one in deviations(schedule) if one.key.startswith("schedule.")] == rules


def test_deviation_is_compared_with_the_program_paired_by_seed(tmp_path: Path) -> None:
    make_runs(tmp_path, "cnn", proxy_test("table2.cnn"), PROGRAM)
    worse, same = [33.0, 34.0, 33.5], [30.2, 31.2, 30.7]
    make_runs(tmp_path, "order", changed(model__relu_after_pool1=False), worse)
    make_runs(tmp_path, "decay", changed(optim__decay_biases=True), same)
    make_runs(tmp_path, "two", changed(optim__decay_biases=True, model__spatial_norm=False), worse)
    found = effects(tmp_path)
    assert list(found) == ["model.relu_after_pool1", "optim.decay_biases"], (
        "two changes at once are no single deviation"
    )
    order = found["model.relu_after_pool1"]
    expected = stats.ttest_rel(worse, PROGRAM)
    assert order.ours["top1_error"].mean == pytest.approx(sum(worse) / 3 - sum(PROGRAM) / 3)
    assert order.p == pytest.approx(2 * expected.pvalue), "Holm: the lower of two"
    assert order.verdict == "higher error than the program's"
    assert found["optim.decay_biases"].verdict == "no significant difference"


def test_order_drawn_once_is_compared_with_the_default_which_records_lack(tmp_path: Path) -> None:
    make_runs(tmp_path, "cnn", proxy_test("table2.cnn"), PROGRAM)
    make_runs(tmp_path, "once", changed(data__shuffle="once"), [33.0, 34.0, 33.5])
    make_runs(tmp_path, "zero", changed(model__unit_biases=[]), PROGRAM)
    found = effects(tmp_path)
    assert list(found) == ["data.shuffle"]
    assert found["data.shuffle"].deviation.override == "data.shuffle=once"
    (results,) = group_proxies(collect_tests([tmp_path]))
    assert {one.label for one in results.errors} == {
        "CNN",
        "the same minibatches in every epoch (the program's)",
        "all biases 0 at the start",
    }


def on_ilsvrc(*words: str) -> dict[str, Any]:
    """Test of a network on the paper's own images, as `-c ilsvrc2012 WORDS` trains it."""
    about = claim_test("table2.cnn")
    about["training"] = training_signature(recipes.compose("ilsvrc2012", words))
    return about


@pytest.mark.parametrize("word", ["model.relu_after_pool1=false", "variant=as_printed", "data.shuffle=once"])
def test_deviation_on_the_papers_images_is_compared_with_the_network_of_its_row(word: str, tmp_path: Path) -> None:
    """The first example of docs/deviations.md."""
    make_runs(tmp_path, "cnn", on_ilsvrc(), PROGRAM)
    make_runs(tmp_path, "changed", on_ilsvrc(word), [33.0, 34.0, 33.5])
    tests = collect_tests([tmp_path])
    assert {test.claim for test in tests} == {"table2.cnn", None}
    (effect,) = measure_deviations(tests)
    assert (effect.deviation.override, effect.dataset) == (word, "ilsvrc2012")
    assert effect.ours["top1_error"].mean == pytest.approx(33.5 - sum(PROGRAM) / 3)
    (results,) = group_proxies(tests)
    assert [one.label for one in results.errors] == ["CNN", effect.deviation.label]
    assert (results.kind, results.comparisons) == ("The paper's images", [])


def test_networks_on_the_papers_images_are_compared_unless_all_have_a_row(tmp_path: Path) -> None:
    make_runs(tmp_path, "cnn", on_ilsvrc(), PROGRAM)
    make_runs(tmp_path, "norm", on_ilsvrc("model.norm=false"), [31.0, 32.0, 31.5])
    tests = collect_tests([tmp_path])
    assert {test.claim for test in tests} == {"table2.cnn", "norm"}
    assert not group_proxies(tests)
    make_runs(tmp_path, "dropout", on_ilsvrc("model.dropout=0"), [33.0, 34.0, 33.5])
    (results,) = group_proxies(collect_tests([tmp_path]))
    assert [one.full_label for one in results.comparisons] == ["no dropout against CNN"]
    assert proxy_tables(results)[0].title == "Networks and tests without a row of the paper, on its images: ilsvrc2012"


def test_network_worse_than_half_of_guessing_has_no_verdict(tmp_path: Path) -> None:
    """Of ten classes, guessing misses 90 %."""
    make_runs(tmp_path, "cnn", proxy_test("table2.cnn"), PROGRAM)
    make_runs(tmp_path, "weights", changed(model__wide_init=False), [46.0, 45.5, 47.0])
    (effect,) = effects(tmp_path).values()
    assert effect.p < 0.01
    assert effect.verdict == "did not train"


def test_network_whose_baseline_has_not_trained_has_no_verdict(tmp_path: Path) -> None:
    make_runs(tmp_path, "cnn", proxy_test("table2.cnn"), [46.0, 45.5, 47.0])
    make_runs(tmp_path, "weights", changed(model__wide_init=False), PROGRAM)
    (effect,) = effects(tmp_path).values()
    assert effect.p < 0.01
    assert effect.verdict == "did not train"


def test_small_but_certain_difference_has_its_direction(tmp_path: Path) -> None:
    """Half a point in each of three seeds, of which one number differs by one image."""
    make_runs(tmp_path, "cnn", proxy_test("table2.cnn"), PROGRAM)
    make_runs(tmp_path, "decay", changed(optim__decay_biases=True), [29.5, 31.0, 29.92])
    make_runs(tmp_path, "order", changed(model__relu_after_pool1=False), [30.5, 32.0, 30.88])
    verdicts = {key: effect.verdict for key, effect in effects(tmp_path).items()}
    assert verdicts["optim.decay_biases"] == "lower error than the program's"
    assert verdicts["model.relu_after_pool1"] == "higher error than the program's"


def test_all_printed_settings_together_are_one_deviation(tmp_path: Path) -> None:
    make_runs(tmp_path, "cnn", proxy_test("table2.cnn"), PROGRAM)
    whole = {key.replace(".", "__"): value for key, value in deviations("plateau")[-1].changes.items()}
    make_runs(tmp_path, "printed", changed(**whole), [36.1, 37.4, 36.4])
    ((key, effect),) = effects(tmp_path).items()
    assert key == AS_PRINTED
    assert effect.ours["top1_error"][:3] == pytest.approx((6.0, 6.0 - 0.2484, 6.0 + 0.2484), abs=1e-3)


@pytest.mark.parametrize(
    "words", [(), ("schedule.name=steps", "schedule.steps.drops=[8,9]"), ("schedule.name=logged",)]
)
def test_networks_of_both_variants_are_compared_with_each_schedule(words: tuple[str, ...], tmp_path: Path) -> None:
    """By the settings that the recipe composes; and in one table of errors."""
    for variant, errors in {"as_run": PROGRAM, "as_printed": [36.1, 37.4, 36.4]}.items():
        about = proxy_test("table2.cnn")
        about["training"] = training_signature(recipes.compose("imagenette", [f"variant={variant}", *words]))
        make_runs(tmp_path, variant, about, errors)
    assert list(effects(tmp_path)) == [AS_PRINTED]
    (results,) = group_proxies(collect_tests([tmp_path]))
    assert [one.label for one in results.errors] == ["CNN", "all of the text's values at once"]


@pytest.mark.parametrize(
    ("schedule", "rule"),
    [("plateau", {"freeze_conv1": False}), ("steps", {"biases": True}), ("logged", {"freeze_conv1": False})],
)
def test_rule_of_the_schedule_is_measured_alone(schedule: str, rule: dict[str, bool], tmp_path: Path) -> None:
    for name, more in {"cnn": {}, "rule": rule}.items():
        about = changed()
        about["training"]["schedule"] = {"name": schedule, **more}
        make_runs(tmp_path, name, about, PROGRAM if name == "cnn" else [33.0, 34.0, 33.5])
    assert list(effects(tmp_path)) == [f"schedule.{schedule}.{key}" for key in rule]
    (results,) = group_proxies(collect_tests([tmp_path]))
    program, other = (one.label for one in results.errors)
    assert program == "CNN"
    assert other in {one.label for one in deviations(schedule)}


def test_text_with_biases_that_keep_their_rates_is_not_the_text(tmp_path: Path) -> None:
    """As trained before `schedule.steps.biases` was part of the variant."""
    for name, more in {"cnn": (), "printed": ("variant=as_printed", "schedule.steps.biases=false")}.items():
        about = proxy_test("table2.cnn")
        about["training"] = training_signature(recipes.compose("imagenette", ["schedule.name=steps", *more]))
        make_runs(tmp_path, name, about, PROGRAM)
    assert not effects(tmp_path)


@pytest.mark.parametrize("section", ["schedule", "data"])
def test_runs_with_other_differing_settings_are_not_compared(tmp_path: Path, section: str) -> None:
    make_runs(tmp_path, "cnn", proxy_test("table2.cnn"), PROGRAM)
    other = changed(model__relu_after_pool1=False)
    other["training"][section] = {**other["training"][section], "batch_size": 17}
    make_runs(tmp_path, "order", other, PROGRAM)
    assert not effects(tmp_path)


def test_network_with_printed_settings_is_no_baseline(tmp_path: Path) -> None:
    """Compares two networks with printed settings: neither is the authors' program."""
    make_runs(tmp_path, "printed", changed(model__relu_after_pool1=False), PROGRAM)
    make_runs(tmp_path, "printed_decay", changed(model__relu_after_pool1=False, optim__decay_biases=True), PROGRAM)
    assert not effects(tmp_path)


def test_verdict_of_a_single_run_mentions_it(tmp_path: Path) -> None:
    make_runs(tmp_path, "cnn", proxy_test("table2.cnn"), PROGRAM[:1])
    make_runs(tmp_path, "order", changed(model__relu_after_pool1=False), [40.0])
    (effect,) = effects(tmp_path).values()
    assert effect.verdict == "higher error than the program's, by one run", "Fisher's test, without predictions"
    ((row,),) = [table.rows for table in deviation_tables([effect])]
    assert row[:3] == [
        "order in layer 1: ReLU, norm, pool",
        "model.relu_after_pool1=false",
        f"+10.00 ({effect.ours['top1_error'].low:+.2f} to {effect.ours['top1_error'].high:+.2f})",
    ]


def test_error_table_names_the_deviation(tmp_path: Path) -> None:
    make_runs(tmp_path, "cnn", proxy_test("table2.cnn"), PROGRAM)
    make_runs(tmp_path, "order", changed(model__relu_after_pool1=False), PROGRAM)
    (results,) = group_proxies(collect_tests([tmp_path]))
    assert [one.label for one in results.errors] == ["CNN", "order in layer 1: ReLU, norm, pool"]


def test_views_without_a_row_are_named(tmp_path: Path) -> None:
    for views in ("ten", "center", "nine"):
        make_runs(tmp_path, f"cnn-{views}", {**proxy_test("table2.cnn"), "views": views}, PROGRAM)
    make_runs(tmp_path, "tower", {**proxy_test("towers"), "views": "nine"}, PROGRAM)
    (results,) = group_proxies(collect_tests([tmp_path]))
    labels = {one.label for one in results.errors}
    assert labels == {"CNN", "CNN, center view", "CNN, nine views", "one GPU, half the kernels, nine views"}


@pytest.mark.parametrize("recipe", ["demo", "overfeat_demo"])
def test_network_of_a_demo_is_named_by_its_recipe(recipe: str, tmp_path: Path) -> None:
    (network,) = matching.recipe_networks(recipe)
    own = {**proxy_test("table2.cnn", name=recipe), "training": network.training}
    other = {**own, "training": {**network.training, "model": {**network.training["model"], "dropout": 0.7}}}
    views = matching.default_views(recipe)
    for name, about in {"own": {**own, "views": views}, "center": {**own, "views": "center"}, "other": other}.items():
        write_test(tmp_path, name, about, 20.0)
    (results,) = group_proxies(collect_tests([tmp_path]))
    labels = {one.label for one in results.errors}
    assert {f"as the recipe {recipe}", f"as the recipe {recipe}, center view"} < labels
    assert len(labels) == 3


def test_other_settings_are_named_by_their_overrides(tmp_path: Path) -> None:
    make_runs(tmp_path, "cnn", proxy_test("table2.cnn"), PROGRAM)
    make_runs(tmp_path, "tanh", changed(model__activation="tanh"), PROGRAM)
    make_runs(tmp_path, "two", changed(model__activation="tanh", model__dropout=0.25), PROGRAM)
    many = changed(model__activation="tanh", model__conv6=True, model__dropout=0.25)
    make_runs(tmp_path, "many", many, PROGRAM)
    (results,) = group_proxies(collect_tests([tmp_path]))
    labels = {one.label for one in results.errors}
    assert labels == {
        "CNN",
        "tanh neurons",
        "tanh neurons, model.dropout=0.25",
        "other settings (many0)",
    }


def test_fits_of_another_length_have_effects_of_their_own(tmp_path: Path) -> None:
    """The settings with most deviations come first; longer fits have a longer schedule."""
    longer = {"schedule": {"name": "steps", "steps": {"drops": [40]}}, "trainer": {"max_epochs": 50}}
    for name, about in {"cnn": changed(), "order": changed(model__relu_after_pool1=False)}.items():
        make_runs(tmp_path, f"{name}-long", {**about, "training": {**about["training"], **longer}}, [50.0])
        make_runs(tmp_path, name, about, [60.0])
    make_runs(tmp_path, "decay", changed(optim__decay_biases=True), [61.0])
    found = measure_deviations(collect_tests([tmp_path]))
    assert [(one.deviation.key, one.dataset) for one in found] == [
        ("model.relu_after_pool1", "imagenette, 5 epochs"),
        ("optim.decay_biases", "imagenette, 5 epochs"),
        ("model.relu_after_pool1", "imagenette, 50 epochs"),
    ]
