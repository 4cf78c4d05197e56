"""Command line: arguments are translated for Hydra, and mistakes are reported before it starts."""

import os
import re
from pathlib import Path

import pytest
from bare_runs import make_checkpoint_file, make_run_folder
from hydra.core.override_parser.overrides_parser import OverridesParser

from alexnet_pl.cli import run_folder
from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.commands.run_options import FigureOptions, read_options
from alexnet_pl.config.isolated_config import isolated_config
from alexnet_pl.config.recipes import SHIPPED, find_recipe
from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import latest_checkpoint


def test_shipped_recipe_is_found_by_name_file_name_and_path() -> None:
    here = SHIPPED / "demo.yaml"
    assert [find_recipe(name) for name in ("demo", "demo.yaml", "configs/demo.yaml", str(here))] == [here] * 4


def test_local_recipe_takes_precedence_over_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text("defaults: [_base]\n")
    assert find_recipe("demo.yaml") == tmp_path / "demo.yaml"


def test_folder_of_runs_and_mistyped_recipe_name_what_is_near(tmp_path: Path) -> None:
    for name in ("runs/folder/old", "runs/folder/new"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra/config.yaml").write_text("seed: 0\n")
    os.utime(tmp_path / "runs/folder/old/.hydra/config.yaml", (0, 0))
    os.utime(tmp_path / "runs/folder/old", (0, 0))
    with pytest.raises(UserError, match=r"^runs/folder: not a run folder .*; the newest run in it: runs/folder/new$"):
        find_recipe("runs/folder")
    with pytest.raises(UserError, match=r"^foldr: no such file or shipped recipe; did you mean folder\?"):
        find_recipe("foldr")


@pytest.mark.parametrize(
    ("file", "typed", "advice"),
    [("mine.yaml", "mine", "did you mean mine.yaml?"), ("mine.yml", "mine.yml", "rename it to mine.yaml")],
)
def test_recipe_of_the_users_that_lacks_its_ending_is_named(tmp_path: Path, file: str, typed: str, advice: str) -> None:
    (tmp_path / file).write_text("defaults: [demo, _self_]\n")
    with pytest.raises(UserError, match=rf"^{typed}: .*; {re.escape(advice)}$"):
        find_recipe(typed)


def test_moved_and_mistyped_run_folders_are_called_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^runs/folder/latest: no such run folder$"):
        find_recipe("runs/folder/latest")
    (tmp_path / "runs/folder").mkdir(parents=True)
    (tmp_path / "runs/folder/latest").symlink_to("2026-01-01")
    with pytest.raises(
        UserError, match=r"latest: a link to .*/runs/folder/2026-01-01, which does not exist; if the run was"
    ):
        find_recipe("runs/folder/latest")


def test_width_is_accepted_by_recipes_that_do_not_set_it() -> None:
    assert "++model.width=0.1" in to_hydra(["fit", "-c", "folder", "model.width=0.1"])


@pytest.mark.parametrize("word", ["=5", "command=foo", "+seed=1", "~seed", "-c", "--cfg"])
def test_command_must_come_first(word: str) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(word)}: a command comes first: prepare, verify, fit"):
        to_hydra([word, "demo"])


def test_flags_are_moved_before_overrides() -> None:
    words = to_hydra(["fit", "seed=1,2", "-m", "-c", "demo", "hydra/launcher=joblib", "--cfg", "job"])
    assert words == [
        f"--config-path={SHIPPED}",
        "--config-name=demo",
        f"--config-dir={SHIPPED}",
        *("-m", "--cfg", "job"),
        *("hydra.output_subdir=.hydra/started", "++command=fit", "seed=1,2", "hydra/launcher=joblib"),
        "hydra.job.config.override_dirname.exclude_keys=['command']",
    ]


def test_translating_twice_changes_nothing() -> None:
    """Lightning starts DDP's other ranks with `sys.argv`, which is already translated."""
    once = to_hydra(["fit", "-c", "demo", "seed=1"])
    assert to_hydra(once) == once


def test_any_trainer_option_is_accepted() -> None:
    assert "++trainer.limit_val_batches=2" in to_hydra(["fit", "-c", "demo", "trainer.limit_val_batches=2"])


def test_ckpt_path_last_is_the_newest_checkpoint_and_reuses_its_run_folder(tmp_path: Path) -> None:
    make_checkpoint_file(tmp_path / "runs/demo/old", "last", age=100)
    newest = make_checkpoint_file(tmp_path / "runs/demo/sweep/0-seed-1", "last", age=10)
    make_checkpoint_file(tmp_path / "runs/imagenette/newer", "last", age=1)
    words = to_hydra(["fit", "-c", "demo", "ckpt_path=last"])
    assert f"ckpt_path='{newest}'" in words
    assert f"hydra.run.dir='{tmp_path / 'runs/demo/sweep/0-seed-1'}'" in words


def test_test_uses_the_last_checkpoint_by_default(tmp_path: Path) -> None:
    last = make_checkpoint_file(tmp_path / "runs/demo/a", "last", age=1)
    best = make_checkpoint_file(tmp_path / "runs/demo/a", "best", age=9)
    assert f"ckpt_path='{last}'" in to_hydra(["test", "-c", "demo"])
    assert f"ckpt_path='{best}'" in to_hydra(["test", "-c", "demo", "ckpt_path=best"])
    assert not any(word.startswith("ckpt_path") for word in to_hydra(["fit", "-c", "demo"]))


def test_run_folder_as_recipe_continues_in_that_folder(tmp_path: Path) -> None:
    run = tmp_path / "moved"
    last = make_checkpoint_file(run, "last", age=1)
    (run / ".hydra").mkdir()
    (run / ".hydra/config.yaml").write_text("seed: 1\n")
    words = to_hydra(["fit", "-c", "moved"])
    assert words[:2] == [f"--config-path={isolated_config(run).parent}", "--config-name=config"]
    assert f"ckpt_path='{last}'" in words
    assert f"hydra.run.dir='{run}'" in words


def test_run_folder_uses_its_own_checkpoint_not_that_of_a_run_within_it(tmp_path: Path) -> None:
    """Its pre-training was interrupted, so the newest last.ckpt is that of another network."""
    run = make_run_folder(tmp_path / "runs/mine/a")
    make_run_folder(run / "pretrained")
    make_checkpoint_file(run / "pretrained", "last", age=1)
    for words in (["fit", "runs/mine/a"], ["predict", "runs/mine/a"]):
        with pytest.raises(
            UserError,
            match=r"/a has no checkpoints/last.ckpt; `python -m alexnet_pl fit .*/a ckpt_path=auto` trains it",
        ):
            to_hydra(words)
    with pytest.raises(UserError, match=r"ckpt_path=last: no run in runs/mine has a last.ckpt"):
        latest_checkpoint(Path("runs/mine"), "last")
    own = make_checkpoint_file(run, "last", age=9)
    assert latest_checkpoint(Path("runs/mine/a"), "last") == own
    assert latest_checkpoint(Path("runs/mine"), "last") == own
    make_checkpoint_file(make_run_folder(tmp_path / "runs/mine/b/members/cnns/seed1"), "last", age=0)
    make_run_folder(tmp_path / "runs/mine/b")
    assert latest_checkpoint(Path("runs/mine"), "last") == own, "a member of an ensemble"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fti", "-c", "demo"], r"fti: no such command; did you mean fit\?"),
        (["draw"], "draw: no such command; --help lists them"),
        (["train", "-c", "demo"], r"train: no such command; did you mean fit\?"),
        (["fit", "demo", "-c", "imagenette"], "only one recipe or run folder allowed; demo is already given"),
        (["fit"], "no recipe given"),
        (["fit", "-c"], "no recipe given"),
        (["fit", "-c", "nowhere.yaml"], "^nowhere.yaml: no such file"),
        (["fit", "-c", "demo", "ckpt_path=last"], "ckpt_path=last: no run in runs/demo"),
        (["test", "-c", "demo"], "ckpt_path=last: no run in runs/demo"),
        (["predict"], "predict: no run folder given; for example predict runs/demo/latest predict.images=holiday.jpg"),
        (
            ["fit", "store"],
            "^store: a prepared store, not a run folder; give a recipe or a run, and the store as data.root=store",
        ),
        (
            ["test", "store/last.ckpt"],
            "^store/last.ckpt: a checkpoint; give its run folder, and ckpt_path=store/last.ckpt",
        ),
        (["fit", "demo", "seed"], "^seed: settings are written key=value"),
        (["bench", "-c", "demo", "store"], "^store: settings are written key=value$"),
        (["predict", "store/run", "store"], r"^store: settings are written key=value; predict.images=store\?$"),
        (["fit", "demo", "-x"], "^unrecognized arguments: -x; --help"),
        (["fit", "demo", "--cfg", "all_of_it"], "invalid choice: 'all_of_it'"),
        (["fit", "-c", "demo", "+command=test"], r"^\+command=test: the command is the first word: alexnet_pl fit$"),
        (["fit", "-c", "demo", "ckpt_path=away.ckpt"], "ckpt_path=away.ckpt: no such file"),
        (
            ["test", "store/run", "ckpt_path=null"],
            "^ckpt_path=null: test needs a checkpoint; give last, best or a file",
        ),
        (["test", "store/run", "++ckpt_path=null"], "^ckpt_path=null: test needs a checkpoint"),
        (["test", "store/run", "ckpt_path="], "^ckpt_path= is empty; give last, best, null or a file$"),  # $UNSET
        (["fit", "-c", "demo", "ckpt_path="], "^ckpt_path= is empty; "),
        (["predict", "demo", "ckpt_path=auto"], "^ckpt_path=auto: predict needs a checkpoint; give last, best or "),
    ],
)
def test_mistake_is_reported_before_hydra_starts(words: list[str], says: str) -> None:
    Path("store").mkdir()
    Path("store/store.json").touch()
    Path("store/last.ckpt").touch()
    make_run_folder(Path("store/run"))
    with pytest.raises(UserError, match=says):
        to_hydra(words)


def test_run_folder_or_recipe_may_follow_the_command(tmp_path: Path) -> None:
    make_run_folder(tmp_path / "runs/demo/a=1")
    for name in ("demo", "runs/demo/a=1"):
        make_checkpoint_file(tmp_path / "runs/demo/a=1", "last", age=1)
        assert to_hydra(["test", name, "seed=1"]) == to_hydra(["test", "-c", name, "seed=1"])
    assert to_hydra(["fit", "-m", "demo", "seed=1,2"]) == to_hydra(["fit", "-m", "-c", "demo", "seed=1,2"])
    assert "bench.suite=prepare" in to_hydra(["bench", "prepare"])


def test_every_key_of_a_path_takes_a_home_folder_and_spaces(monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setenv("HOME", "/home/me")
    for key in ("test.data", "test.labels", "report.runs", "prepare.boxes", "detect.blacklist", "data.root"):
        words = to_hydra(["fit", "-c", "demo", f"{key}=~/a (b), c"])
        (parsed,) = OverridesParser.create().parse_overrides([next(word for word in words if key in word)])
        assert parsed.value() == "/home/me/a (b), c"


def test_checkpoint_in_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = make_checkpoint_file(tmp_path / "mine", "last", age=1)
    assert f"ckpt_path='{path}'" in to_hydra(["test", "-c", "demo", "ckpt_path=~/mine/checkpoints/last.ckpt"])


def test_paths_of_commands_on_run_folders_may_lie_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = read_options({"data.root": "~/store", "out": "~/a=b", "pictures": "null"}, FigureOptions)
    assert (found.root, found.out, found.pictures) == ("/home/me/store", "/home/me/a=b", None)


@pytest.mark.parametrize("path", ["a b", "a=b", "a,b", "a'b", "a{b", "(a)", r"a\b", "a:b", "ü"])
def test_paths_may_contain_hydra_syntax(path: str, tmp_path: Path) -> None:

    words = to_hydra(["prepare", "-c", "demo", f"data.root={path}", f"prepare.source={path}/x"])
    parsed = OverridesParser.create().parse_overrides(words[5:])
    assert [override.value() for override in parsed] == [path, f"{path}/x"]
    run = tmp_path / "runs" / path
    make_checkpoint_file(run, "last", age=1)
    parsed = OverridesParser.create().parse_overrides(
        to_hydra(["test", "-c", "demo", f"ckpt_path=runs/{path}/checkpoints/last.ckpt"])[5:]
    )
    assert parsed[0].value() == str(run / "checkpoints/last.ckpt")
    assert parsed[1].value() == str(run)


def test_report_needs_no_recipe_and_leaves_no_hydra_folder() -> None:
    translated = to_hydra(["report"])
    assert "--config-name=_base" in translated
    assert {"hydra.run.dir='runs/report'", "hydra.output_subdir=null"} <= set(translated)


def test_resumable_fit_keeps_its_folder() -> None:
    assert "ckpt_path='auto'" in to_hydra(["fit", "-c", "demo", "ckpt_path=auto"])


def test_fit_that_starts_or_continues_a_run_folder_stays_in_it_without_a_log(tmp_path: Path) -> None:
    make_run_folder(tmp_path / "runs/demo/x")
    for typed in ([], ["hydra.run.dir=runs/y"]):
        words = to_hydra(["fit", "runs/demo/x", "ckpt_path=auto", *typed])
        folders = [word for word in words if word.startswith("hydra.run.dir=")]
        assert folders == (["hydra.run.dir='runs/y'"] if typed else [f"hydra.run.dir='{tmp_path}/runs/demo/x'"])
        assert "hydra/job_logging=none" in words


def test_fit_that_starts_anew_with_the_config_of_a_run_lies_beside_it(tmp_path: Path) -> None:
    """Hydra's own folders are outputs/ and multirun/, where `report` and `test -c` find no run."""
    make_run_folder(tmp_path / "runs/demo/x")
    make_checkpoint_file(tmp_path / "runs/demo/x", "last", age=1)
    beside = f"'{tmp_path}/runs/demo/${{now:%Y-%m-%d_%H-%M-%S-%f}}'"
    run_dir, sweep_dir = f"hydra.run.dir={beside}", f"hydra.sweep.dir={beside}"
    fit = ["fit", "runs/demo/x", "ckpt_path=null"]
    for words, folders in (
        (fit, [run_dir]),
        ([*fit, "hydra.run.dir=y"], ["hydra.run.dir='y'"]),
        ([*fit, "-m", "seed=1,2"], [run_dir, sweep_dir]),
        ([*fit, "-m", "seed=1,2", "hydra.sweep.dir=y"], ["hydra.sweep.dir=y"]),
        (["probe", "runs/demo/x", "-m", "probe.layer=fc6,fc7"], [f"hydra.run.dir='{tmp_path}/runs/demo/x'", sweep_dir]),
    ):
        assert [word for word in to_hydra(words) if ".dir=" in word] == folders


def test_new_network_of_a_part_of_a_run_lies_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run within another is not looked for; another user's folder cannot be written to."""
    make_run_folder(tmp_path / "runs/demo/x")
    make_run_folder(tmp_path / "runs/demo/x/pretrained")
    words = to_hydra(["fit", "runs/demo/x/pretrained", "ckpt_path=null"])
    assert f"hydra.run.dir='{tmp_path}/runs/pretrained/${{now:%Y-%m-%d_%H-%M-%S-%f}}'" in words
    make_run_folder(tmp_path)  # of `hydra.run.dir=.`
    words = to_hydra(["fit", "runs/demo/x", "ckpt_path=null"])
    assert f"hydra.run.dir='{tmp_path}/runs/demo/${{now:%Y-%m-%d_%H-%M-%S-%f}}'" in words
    monkeypatch.setattr(run_folder.os, "access", lambda path, mode: False)
    words = to_hydra(["fit", "runs/demo/x", "ckpt_path=null"])
    assert "hydra.run.dir='runs/demo/${now:%Y-%m-%d_%H-%M-%S-%f}'" in words


@pytest.mark.parametrize("command", ["verify", "prepare"])
def test_store_of_a_run_is_checked_without_a_log_in_outputs(command: str, tmp_path: Path) -> None:
    """A run's config has no settings for Hydra, whose own are a folder outputs/ with a log."""
    make_run_folder(tmp_path / "runs/demo/x")
    words = to_hydra([command, "runs/demo/x"])
    assert f"hydra.run.dir='runs/{command}/${{now:%Y-%m-%d_%H-%M-%S}}'" in words
    assert "hydra/job_logging=none" in words


@pytest.mark.parametrize(
    "flags", [["--config-dir=/x"], ["-cd", "/x"], ["--config-n=x"], ["-cp", "/x"], ["--experimental-rerun", "x.pickle"]]
)
def test_flags_that_would_replace_the_checked_files_are_refused(flags: list[str]) -> None:
    with pytest.raises(UserError, match=r"^--[a-z-]+: not used here; give a recipe as -c FILE$"):
        to_hydra(["fit", "-c", "demo", *flags])
