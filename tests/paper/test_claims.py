"""Claims of the paper: every row composes and builds; numbers match the paper and the authors' logs."""

import math
import re
from pathlib import Path

import pytest
import torch
from running import Compose

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.config import checks, options
from alexnet_pl.config.overrides import allow_new_key, is_override
from alexnet_pl.config.recipes import compose, recipe_names
from alexnet_pl.experiment import build
from alexnet_pl.paper.claim import ALEXNET, DATASETS, ERRORS, Claim
from alexnet_pl.paper.claims import ABLATIONS, BY_KEY, CLAIMS, TABLE1, TABLE2
from alexnet_pl.paper.rows import reproduce_command

PRINTED = Path(__file__).parents[3] / "shared/paper/cacm2017_alexnet.txt"
MADE = [claim for claim in CLAIMS if claim.recipe]


@pytest.mark.parametrize("claim", MADE, ids=lambda claim: claim.key)
def test_every_row_composes_and_its_networks_build(claim: Claim, config: Compose) -> None:
    for name, overrides in [(str(claim.recipe), claim.overrides), *claim.alternatives]:
        cfg = config(name, *overrides)
        checks.check_config(cfg)
        groups = options.make_ensemble_options(cfg).groups.values() or [None]
        for group in groups:
            member = config(group.recipe, *group.overrides) if group else cfg
            member.model.num_classes = member.model.num_classes or 21_841
            with torch.device("meta"):
                net = build.make_module(member).net
                side = member.augment.crop
                assert net(torch.empty(2, 3, side, side)).shape == (2, member.model.num_classes)
            build.make_schedule(member)
            options.make_transfer_options(member)


def test_every_row_has_its_recipe() -> None:
    assert {claim.recipe for claim in MADE} <= set(recipe_names())


def test_keys_are_unique_and_baselines_exist() -> None:
    assert len(BY_KEY) == len(CLAIMS)
    assert {claim.baseline for claim in CLAIMS if claim.baseline} <= set(BY_KEY)
    assert {claim.data for claim in CLAIMS if claim.data} <= set(DATASETS)
    assert all("\n" not in claim.quote and len(claim.quote) <= 120 for claim in CLAIMS)


def test_rows_with_errors_have_distinct_settings() -> None:
    """Except the center view, and numbers measured in the same run as a row's errors."""
    seen: dict[tuple[object, ...], str] = {}
    for claim in MADE:
        if "top1_error" in claim.values:
            what = (claim.recipe, claim.overrides, claim.data, claim.views)
            assert what not in seen, (claim.key, seen.get(what))
            seen[what] = claim.key


def test_differences_match_the_authors_logs() -> None:
    """Ten-view errors recorded in layer-params-145-2010, 145-half, 145, 148 and 147, to the printed digits."""
    logged = {
        "towers": ((0.391680, 0.182287), (0.374727, 0.169987)),
        "norm": ((0.420340, 0.193620), (0.406640, 0.182100)),
        "overlap": ((0.410580, 0.185100), (0.406640, 0.182100)),
    }
    for key, (without, full) in logged.items():
        differences = [round(100 * (a - b), 1) for a, b in zip(without, full, strict=True)]
        assert list(BY_KEY[key].values.values()) == differences
        assert [round(100 * x, 1) for x in full] == list(BY_KEY[str(BY_KEY[key].baseline)].values.values())
    center, finetuned = (0.390247, 0.182953), (0.389900, 0.166220)
    for key, errors in {"footnote_e.center": center, "table2.cnn*": finetuned}.items():
        assert [round(100 * x, 1) for x in errors] == list(BY_KEY[key].values.values())


def test_ablations_use_their_own_data_sets() -> None:
    years = {key: BY_KEY[key].data for key in ("towers", "norm", "overlap")}
    assert years == {"towers": "ILSVRC-2010 test", "norm": "ILSVRC-2012 val", "overlap": "ILSVRC-2012 val"}


def squeezed(text: str) -> str:
    """Text without spaces, hyphens at line ends and kinds of quotation marks."""
    return re.sub(r"[\s\-–“”\"‘’']", "", text)


@pytest.mark.skipif(not PRINTED.is_file(), reason="the paper's text lies in ../shared, which is not here")
@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.paper == ALEXNET], ids=lambda claim: claim.key)
def test_quotes_and_numbers_are_in_the_paper(claim: Claim) -> None:
    text = squeezed(PRINTED.read_text())
    for part in claim.quote.split("…"):
        assert squeezed(part) in text, part
    words = {
        "parameters": "60million",
        "neurons": "650,000",
        "days": "5and6days",
        "steps": "doubles",
        "epochs_to_25": "sixtimes",
    }
    for metric, value in claim.values.items():
        if not math.isnan(value):
            assert words.get(metric, f"{value:g}") in text


def test_every_command_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for claim in MADE:
        words = reproduce_command(claim).split()
        assert words[:3] == ["python", "-m", "alexnet_pl"]
        translated = to_hydra(words[3:])
        assert [word for word in translated if word.startswith("hydra.run.dir=")]
        keys = [word for word in translated if is_override(word) and not word.startswith(("hydra.", "--"))]
        checks.check_config(compose(str(claim.recipe), keys))


@pytest.mark.parametrize(
    "claim",
    [claim for claim in MADE if claim.data and DATASETS[claim.data].labeled],
    ids=lambda claim: claim.key,
)
def test_commands_test_the_views_of_their_row(claim: Claim) -> None:
    keys = [allow_new_key(word) for word in reproduce_command(claim).split()[3:] if is_override(word)]
    assert options.make_test_section(compose(str(claim.recipe), keys)).view_set == claim.views


TABLES = {  # transcribed from Tables 1 and 2 and footnote e of the CACM printing: top-1, top-5; None for a dash
    "table1.sparse": (47.1, 28.2),
    "table1.fv": (45.7, 25.7),
    "table1.cnn": (37.5, 17.0),
    "footnote_e.center": (39.0, 18.3),
    "table2.fv": (None, 26.2),
    "table2.cnn": (40.7, 18.2),
    "table2.5cnns": (38.1, 16.4),
    "table2.5cnns.test": (None, 16.4),
    "table2.cnn*": (39.0, 16.6),
    "table2.7cnns*": (36.7, 15.4),
    "table2.7cnns*.test": (None, 15.3),
    "fall2009.best": (78.1, 60.9),
    "fall2009.cnn": (67.4, 40.9),
}


@pytest.mark.parametrize("key", TABLES)
def test_tables_have_the_printed_numbers(key: str) -> None:
    printed = {name: value for name, value in zip(ERRORS, TABLES[key], strict=True) if value is not None}
    assert dict(BY_KEY[key].values) == printed


def test_every_row_of_tables_1_and_2_is_in_this_file() -> None:
    assert {claim.key for claim in CLAIMS if claim.group in (TABLE1, TABLE2)} <= TABLES.keys()


TEXT = {  # transcribed from the text of the CACM printing: value, metric, and the words before it ("" for none)
    "noise": (1.0, "top1_error", "over"),
    "without.conv2": (2.0, "top1_error", "about"),
    "without.conv3": (2.0, "top1_error", "about"),
    "without.conv4": (2.0, "top1_error", "about"),
    "parameters": (60_000_000, "parameters", "about"),
    "neurons": (650_000, "neurons", "about"),
    "conv3_share": (1.0, "conv3_share", "at most"),
    "conv4_share": (1.0, "conv4_share", "at most"),
    "epochs": (90, "epochs", "about"),
    "days": (5.5, "days", "about"),  # between 5 and 6
    "dropout.iterations": (2.0, "steps", "about"),
    "cifar.13pct": (13.0, "top1_error", ""),
    "cifar.11pct": (11.0, "top1_error", ""),
    "figure1": (6.0, "epochs_to_25", ""),
}
RATIOS = {"dropout.iterations", "figure1"}
UNPRINTED = {"crops", "dropout", "without.conv5", "figure1.relu"}


@pytest.mark.parametrize("key", TEXT)
def test_text_has_the_printed_numbers(key: str) -> None:
    value, metric, bound = TEXT[key]
    claim = BY_KEY[key]
    assert (dict(claim.values), claim.bound, claim.ratio) == ({metric: value}, bound, key in RATIOS)


def test_every_number_of_the_text_is_in_this_file() -> None:
    differences = {"towers", "norm", "overlap"}  # compared with the authors' logs above
    alexnet = {claim.key for claim in CLAIMS if claim.paper == ALEXNET}
    assert alexnet == TABLES.keys() | TEXT.keys() | differences | UNPRINTED
    assert all(math.isnan(value) for key in UNPRINTED for value in BY_KEY[key].values.values())


def test_differences_and_ratios_are_relative_to_another_row() -> None:
    relative = {claim.key for claim in CLAIMS if claim.relative}
    ablations = {claim.key for claim in CLAIMS if claim.group == ABLATIONS}
    assert relative == ablations | RATIOS | {"overfeat.connections.ratio"}
    assert all(BY_KEY[key].baseline for key in relative)
