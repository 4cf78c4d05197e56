"""A user's recipe cannot make Hydra write files or call code, by itself or by files beside it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.errors import ConfigCompositionException

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.config.recipe_files import check_recipe
from alexnet_pl.errors import UserError

LOGGING = {
    "version": 1,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": "precious.txt", "mode": "w"}},
    "root": {"handlers": ["file"]},
}
CALL = {"x": {"_target_": "os.system", "command": "echo"}}


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"mine": {"hydra": {"job_logging": LOGGING}}}, "job_logging"),
        ({"mine": {"hydra": {"callbacks": CALL}}}, "callbacks"),
        ({"mine": {"hydra": {"job": {"env_set": {"A": "b"}}}}}, "job.env_set"),
        ({"mine": {"defaults": ["beside"]}, "beside": {"hydra": {"hydra_logging": LOGGING}}}, "hydra_logging"),
        ({"mine": {"defaults": [{"x@hydra.job_logging": "y"}]}, "x/y": LOGGING}, "job_logging"),
        ({"mine": {"defaults": ["beside"]}, "beside": LOGGING}, "job_logging"),
        ({"mine": {"defaults": [{"x": "y"}]}, "x/y": {"defaults": ["/beside"]}, "beside": LOGGING}, "job_logging"),
        ({"mine": {"defaults": [{"hydra/job": "y"}]}, "hydra/job/y": {"env_set": {"A": "b"}}}, "job.env_set"),
        ({"mine": {"defaults": [{"override hydra/job_logging": "y"}]}, "hydra/job_logging/y": LOGGING}, "job_logging"),
        ({"mine": {"hydra": {"searchpath": ["file:///x"]}}}, "searchpath"),
        ({"mine": {"hydra": {"mode": "MULTIRUN"}}}, "mode"),
        ({"mine": {"hydra": {"sweeper": {"params": {"+x": CALL}}}}}, "sweeper.params.+x.x._target_"),
        ({"mine": {"defaults": [{"override hydra/sweeper": "y"}]}, "hydra/sweeper/y": CALL}, "x._target_"),
        (
            {
                "mine": {"defaults": [{"a": "y"}, {"override hydra/sweeper": "${a}"}]},
                "hydra/sweeper/y": CALL,
                "a/y": {},
            },
            "sweeper.x._target_",
        ),
    ],
)
def test_recipe_cannot_make_hydra_write_files_or_call_code(tmp_path: Path, files: dict[str, Any], named: str) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        header = "#@package  hydra.job_logging\n" if name == "beside" and content is LOGGING else ""
        above = {"defaults": ["_base", *content.get("defaults", []), "_self_"]} if name == "mine" else {}
        (tmp_path / f"{name}.yaml").write_text(header + yaml.safe_dump(content | above))
    words = ["-m", "seed=1,2"] if named == "callbacks" else ["seed=1"]
    with pytest.raises(UserError, match=rf"mine\.yaml: .*hydra\.{named}|y\.yaml: {named}|/hydra: not allowed"):
        to_hydra(["fit", "-c", str(tmp_path / "mine.yaml"), *words])


def test_launcher_beside_a_recipe_is_not_found_by_a_typed_name(tmp_path: Path) -> None:
    """Hydra would prefer it to the launcher that is installed, and call what it names."""
    (tmp_path / "hydra/launcher").mkdir(parents=True)
    (tmp_path / "hydra/launcher/basic.yaml").write_text(yaml.safe_dump(CALL))
    (tmp_path / "mine.yaml").write_text("defaults: [demo, _self_]\n")
    with pytest.raises(UserError, match="/hydra: not allowed beside a recipe"):
        to_hydra(["fit", "-m", "-c", str(tmp_path / "mine.yaml"), "seed=1,2", "hydra/launcher=basic"])


@pytest.mark.parametrize(
    ("group", "named"),
    [("variant=as_run,mine", "job_logging"), ("+x=as_run,mine", "job_logging"), ("+x=glob(*)", "names")],
)
def test_files_that_a_sweep_chooses_beside_a_recipe_are_checked(tmp_path: Path, group: str, named: str) -> None:
    folder = tmp_path / group.strip("+").partition("=")[0]
    folder.mkdir()
    (tmp_path / "mine.yaml").write_text("defaults: [demo, _self_]\n")
    (folder / "as_run.yaml").write_text("# @package _global_\nseed: 3\n")
    (folder / "mine.yaml").write_text("# @package _global_\n" + yaml.safe_dump({"hydra": {"job_logging": LOGGING}}))
    words = ["fit", "-m", "-c", str(tmp_path / "mine.yaml"), "optim.lr=0.1,0.2"]
    with pytest.raises(UserError, match=named):
        to_hydra([*words, group])
    params = dict([group.split("=")])
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump({"defaults": ["demo", "_self_"], "hydra": {"sweeper": {"params": params}}})
    )
    with pytest.raises(UserError, match=named):
        to_hydra(words)
    (tmp_path / "mine.yaml").write_text("defaults: [demo, _self_]\n")
    if "glob" not in group:
        assert to_hydra([*words, group.replace("mine", "as_run")])


def test_recipe_cannot_name_code_and_typed_words_are_allowed(tmp_path: Path) -> None:
    mine, beside = tmp_path / "mine.yaml", tmp_path / "beside.yaml"
    mine.write_text("defaults: [_base, beside, _self_]\n")
    beside.write_text("optim: {_target_: os.system}\n")
    with pytest.raises(UserError, match=r"beside\.yaml: optim\._target_"):
        check_recipe(mine)
    beside.write_text("optim: {lr: 0.1}\n")
    for words in (["hydra/job_logging=disabled"], ["-m", "optim.lr=0.1,0.2"]):
        assert words[-1] in to_hydra(["fit", "-c", str(mine), *words])


def test_recipe_whose_group_a_sweep_chooses_is_checked_and_one_that_does_not_compose_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a.yaml").write_text("{}\n")
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump(
            {
                "defaults": ["demo", {"x": "???"}, "_self_"],
                "hydra": {"job": {"env_set": {"A": "b"}}, "sweeper": {"params": {"x": "a"}}},
            }
        )
    )
    with pytest.raises(UserError, match=r"hydra\.job\.env_set"):
        to_hydra(["fit", "-m", "-c", str(tmp_path / "mine.yaml")])
    with pytest.raises(ConfigCompositionException, match=r"optim\.nothing"):
        to_hydra(["fit", "-c", str(tmp_path / "mine.yaml"), "x=a", "optim.nothing=3"])


@pytest.mark.parametrize("text", ["data: {batch_size: 40}\n", "defaults: [_self_]\nhydra: {job: {env_set: {A: b}}}\n"])
def test_recipe_that_extends_no_shipped_one_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(
        UserError, match=r"mine\.yaml: it extends no shipped recipe; add .* defaults: \[demo, _self_\]$"
    ):
        to_hydra(["fit", "-c", str(tmp_path / "mine.yaml")])


def test_files_that_only_a_combination_of_choices_includes_are_checked(tmp_path: Path) -> None:
    """Also if one of the groups is a shipped one."""
    hostile = "# @package _global_\n" + yaml.safe_dump({"hydra": {"job": {"env_set": {"A": "b"}}}})
    for name, content in {
        "v/a": "{}\n", "v/b": "# @package _global_\ndefaults: [{/x: '${o}'}]\n", "o/c": "{}\n", "o/d": "{}\n",
        "x/c": "{}\n", "x/d": hostile, "y/as_run": "{}\n", "y/as_printed": hostile,
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(content)
    for defaults, params in (
        ([{"v": "a"}, {"o": "c"}], {"v": "a,b", "o": "c,d"}),
        ([{"y": "${variant}"}], {"variant": "as_run,as_printed"}),
    ):
        text = {"defaults": ["demo", *defaults, "_self_"], "hydra": {"sweeper": {"params": params}}}
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(text))
        with pytest.raises(UserError, match=r"hydra\.job\.env_set"):
            to_hydra(["fit", "-m", "-c", str(tmp_path / "mine.yaml")])


def test_sections_of_hydra_are_not_computed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [demo, _self_]\nhydra: {sweeper: {params: '${oc.create:{a: 1}}'}}\n")
    with pytest.raises(ConfigCompositionException, match=r"Unsupported interpolation type oc\.create"):
        to_hydra(["fit", "-m", "-c", str(tmp_path / "mine.yaml")])


@pytest.mark.parametrize("chosen", ["${oc.env:LOCAL_RANK,'0'}", "${now:0}"])
def test_files_chosen_by_environment_or_time_are_refused(tmp_path: Path, chosen: str) -> None:
    """The processes of one fit, or a later second, would choose others."""
    (tmp_path / "x").mkdir()
    (tmp_path / "x/0.yaml").write_text("# @package _global_\nseed: 3\n")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"defaults": ["demo", {"x": chosen}, "_self_"]}))
    with pytest.raises(ConfigCompositionException, match="Error resolving interpolation"):
        to_hydra(["fit", "-c", str(tmp_path / "mine.yaml")])


def test_launchers_of_a_recipe_run_no_commands(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher (extra `sweep`)")
    (tmp_path / "mine.yaml").write_text(
        "defaults: [demo, {override hydra/launcher: submitit_slurm}, _self_]\nhydra: {launcher: {setup: [date]}}\n"
    )
    with pytest.raises(UserError, match=r"it sets hydra\.launcher\.setup\.0=date, which is not allowed"):
        to_hydra(["fit", "-m", "-c", str(tmp_path / "mine.yaml"), "seed=1,2"])


def test_recipe_is_checked_with_the_files_of_a_typed_folder(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    (other / "x").mkdir(parents=True)
    (other / "x/a.yaml").write_text("# @package _global_\nseed: 3\n")
    own.mkdir()
    words = ["fit", "-c", str(own / "mine.yaml"), f"hydra.searchpath=['file://{other}','file://{tmp_path}']"]
    (own / "mine.yaml").write_text("defaults: [demo, {x: a}, _self_]\n")
    assert words[-1] in to_hydra(words)
    assert words[-1] in to_hydra([*words, "-m", "seed=1,2"])
    (own / "mine.yaml").write_text("defaults: [demo, {x: a}, _self_]\nhydra: {job: {env_set: {A: b}}}\n")
    for more in ([], ["-m", "seed=1,2"]):
        with pytest.raises(UserError, match=r"hydra\.job\.env_set"):
            to_hydra([*words, *more])
