"""Command line: arguments are translated for Hydra; errors are reported in one line with exit code 2."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import fields
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from alexnet_pl.cli import main
from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.cli.folder_names import folder_name, job_folder
from alexnet_pl.commands import options, registry
from alexnet_pl.commands.help import command_help
from alexnet_pl.commands.process_state import pin_argv_for_ddp_ranks
from alexnet_pl.config.identity import HARDWARE
from alexnet_pl.config.recipes import SHIPPED, allow_new_key, compose, find_recipe, recipe_names
from alexnet_pl.config.run_config import KNOWN, isolated_config
from alexnet_pl.errors import UserError
from alexnet_pl.runs.layout import latest_checkpoint, link_latest


def alexnet_pl(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a user types it."""
    return subprocess.run([sys.executable, "-m", "alexnet_pl", *words], cwd=cwd, capture_output=True, text=True)


def checkpoint(run: Path, name: str, age: float) -> Path:
    path = run / "checkpoints" / f"{name}.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time.time() - age, time.time() - age))
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
    with pytest.raises(UserError, match=r"-c runs/folder: not a run folder .*; the newest run in it: runs/folder/new$"):
        find_recipe("runs/folder")
    with pytest.raises(UserError, match=r"-c foldr: no such file or shipped recipe; did you mean folder\?"):
        find_recipe("foldr")


def test_moved_and_mistyped_run_folders_are_called_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"-c runs/folder/latest: no such run folder$"):
        find_recipe("runs/folder/latest")
    (tmp_path / "runs/folder").mkdir(parents=True)
    (tmp_path / "runs/folder/latest").symlink_to("2026-01-01")
    with pytest.raises(
        UserError, match=r"latest: a link to .*/runs/folder/2026-01-01, which is not there; was the run"
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
    checkpoint(tmp_path / "runs/demo/old", "last", age=100)
    newest = checkpoint(tmp_path / "runs/demo/sweep/0-seed-1", "last", age=10)
    checkpoint(tmp_path / "runs/imagenette/newer", "last", age=1)
    words = to_hydra(["fit", "-c", "demo", "ckpt_path=last"])
    assert f"ckpt_path='{newest}'" in words
    assert f"hydra.run.dir='{tmp_path / 'runs/demo/sweep/0-seed-1'}'" in words


def test_test_uses_the_last_checkpoint_by_default(tmp_path: Path) -> None:
    last = checkpoint(tmp_path / "runs/demo/a", "last", age=1)
    best = checkpoint(tmp_path / "runs/demo/a", "best", age=9)
    assert f"ckpt_path='{last}'" in to_hydra(["test", "-c", "demo"])
    assert f"ckpt_path='{best}'" in to_hydra(["test", "-c", "demo", "ckpt_path=best"])
    assert not any(word.startswith("ckpt_path") for word in to_hydra(["fit", "-c", "demo"]))


def test_run_folder_as_recipe_continues_in_that_folder(tmp_path: Path) -> None:
    run = tmp_path / "moved"
    last = checkpoint(run, "last", age=1)
    (run / ".hydra").mkdir()
    (run / ".hydra/config.yaml").write_text("seed: 1\n")
    words = to_hydra(["fit", "-c", "moved"])
    assert words[:2] == [f"--config-path={isolated_config(run).parent}", "--config-name=config"]
    assert f"ckpt_path='{last}'" in words
    assert f"hydra.run.dir='{run}'" in words


def test_run_folder_uses_its_own_checkpoint_not_that_of_a_run_within_it(tmp_path: Path) -> None:
    """Its pre-training was interrupted, so the newest last.ckpt is that of another network."""
    run = make_run(tmp_path / "runs/mine/a")
    make_run(run / "pretrained")
    checkpoint(run / "pretrained", "last", age=1)
    for words in (["fit", "runs/mine/a"], ["predict", "runs/mine/a"]):
        with pytest.raises(
            UserError,
            match=r"/a has no checkpoints/last.ckpt; `python -m alexnet_pl fit .*/a ckpt_path=auto` trains it",
        ):
            to_hydra(words)
    with pytest.raises(UserError, match=r"ckpt_path=last: no run in runs/mine has a last.ckpt"):
        latest_checkpoint(Path("runs/mine"), "last")
    own = checkpoint(run, "last", age=9)
    assert latest_checkpoint(Path("runs/mine/a"), "last") == own
    assert latest_checkpoint(Path("runs/mine"), "last") == own
    checkpoint(make_run(tmp_path / "runs/mine/b/members/cnns/seed1"), "last", age=0)
    make_run(tmp_path / "runs/mine/b")
    assert latest_checkpoint(Path("runs/mine"), "last") == own, "a member of an ensemble"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fti", "-c", "demo"], r"fti: no such command; did you mean fit\?"),
        (["draw"], "draw: no such command; --help lists them"),
        (["fit", "demo", "-c", "imagenette"], "only one recipe or run folder allowed; demo is already given"),
        (["fit"], "no recipe given"),
        (["fit", "-c"], "no recipe given"),
        (["fit", "-c", "nowhere.yaml"], "-c nowhere.yaml"),
        (["fit", "-c", "demo", "ckpt_path=last"], "ckpt_path=last: no run in runs/demo"),
        (["test", "-c", "demo"], "ckpt_path=last: no run in runs/demo"),
        (["predict"], "predict: no run folder given; for example predict runs/demo/latest predict.images=holiday.jpg"),
        (
            ["fit", "store"],
            "-c store: a prepared store, not a run folder; give a recipe or a run, and the store as data.root=store",
        ),
        (["fit", "demo", "seed"], "^seed: settings are written key=value"),
        (["bench", "-c", "demo", "store"], "^store: settings are written key=value$"),
        (["predict", "store/run", "store"], r"^store: settings are written key=value; predict.images=store\?$"),
        (["fit", "demo", "-x"], "^unrecognized arguments: -x; --help"),
        (["fit", "demo", "--cfg", "all_of_it"], "invalid choice: 'all_of_it'"),
        (["fit", "-c", "demo", "ckpt_path=away.ckpt"], "ckpt_path=away.ckpt: no such file"),
    ],
)
def test_mistake_is_reported_before_hydra_starts(words: list[str], says: str) -> None:
    Path("store").mkdir()
    Path("store/store.json").touch()
    make_run(Path("store/run"))
    with pytest.raises(UserError, match=says):
        to_hydra(words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fit", "-c", "demo", "optim.lrr=1"], "optim.lrr: unknown key; did you mean optim.lr?"),
        (["fit", "-c", "demo", "optin.lr=1"], "optin.lr: unknown key; did you mean optim.lr?"),
        (["fit", "-c", "demo", "transfer.weight=x"], "transfer.weight: unknown key; did you mean transfer.weights?"),
        (["fit", "-c", "demo", "boxes.windows=3"], "boxes.windows: unknown key; this recipe has no section boxes"),
        (["fit", "-c", "demo", "model.units=3"], "model.units: unknown key; did you mean boxes.units?"),
        (["fit", "-c", "demo", "hydra/sweeper=optuna"], "optuna: hydra-optuna-sweeper is not installed; pip install"),
        (["fit", "-c", "demo", "hydra/launcher=jobs"], "hydra/launcher=jobs: one of basic"),
        (["fit", "-c", "demo", "variant=spoken"], "variant=spoken: one of as_printed, as_run"),
        (["fit", "-c", "demo", "seed=1,2"], "seed=1,2: several values; add -m"),
        (["fit", "-c", "demo", "seed=[1"], "seed=[1: "),
        (["fit", "-c", "mine.yaml"], "missing.yaml"),
        (["fit", "-c", "demo", "seed=${seed}"], "seed: Recursive interpolation detected"),
    ],
)
def test_hydra_error_is_reported_in_one_line_with_exit_code_2(words: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [missing.yaml]\n")
    done = alexnet_pl(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("alexnet_pl: ")
    assert says in done.stderr


def test_slurm_sweep_is_refused_where_there_is_no_slurm(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher (extra `sweep`)")
    done = alexnet_pl("fit", "-m", "-c", "demo", "seed=1,2", "hydra/launcher=submitit_slurm", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("alexnet_pl: hydra/launcher=submitit_slurm: no srun on this machine")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_help_and_composed_config_do_not_import_torch(tmp_path: Path) -> None:
    """The imports take seconds, but help must be instant."""
    code = "import sys; sys.argv[1:] = {}; from alexnet_pl.cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print('torch' in sys.modules, 'lightning' in sys.modules, file=sys.stderr)"
    composing = (["fit", "-c", "demo", "--cfg", "job"], ["fit", "demo", "--help"])
    for words in (["--help"], ["fit", "--help"], ["page", "-h"], ["completion", "bash"], *composing):
        done = subprocess.run([sys.executable, "-c", code.format(words)], capture_output=True, text=True, cwd=tmp_path)
        assert done.stderr.strip().endswith("False False"), done.stderr
        assert "lr: 0.003" in done.stdout or "alexnet_pl" in done.stdout.split("\n")[0]


def test_cli_config_and_paper_do_not_import_torch() -> None:
    code = "import sys, alexnet_pl.cli.main, alexnet_pl.config.recipes, alexnet_pl.commands.registry\n"
    code += "import alexnet_pl.paper.claims\n"
    code += "print('torch' in sys.modules, 'lightning' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False False\n", done.stderr


def test_closed_pipe_gives_no_traceback(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    for words in (["--help"], ["fit", "--help"]):
        done = subprocess.run([sys.executable, "-m", "alexnet_pl", *words], stdout=write, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (141, b"")
    os.close(write)


@pytest.mark.parametrize("name", registry.COMMANDS)
def test_every_command_exists_and_its_help_lists_its_keys(name: str) -> None:
    """Each target is a function of its module; each key is a section of a config with a comment."""
    command = registry.find(name)
    for target in (command.function, *command.targets_by_kind.values()):
        module, function = target.split(":")
        source = (Path(registry.__file__).parent / f"{module}.py").read_text()
        assert f"\ndef {function}(" in source
    assert set(command.keys) <= set(KNOWN)
    text = command_help(command)
    assert all(f"\n  {key}:" in text for key in command.keys)
    if command.options:
        assert all(f"\n  {options.option_key(one)}=" in text for one in fields(getattr(options, command.options)))
    assert all(example.split()[0] == name for example in command.examples)


@pytest.mark.parametrize("name", [name for name, one in registry.COMMANDS.items() if one.takes == "recipe"])
def test_help_lists_each_key_once_with_the_value_of_the_shipped_config(name: str) -> None:
    """A section may be spread over several files of configs/. OmegaConf refuses YAML with a key twice."""
    text = command_help(registry.find(name)).partition("Config keys:\n")[2].partition("\n\n")[0]
    listed = OmegaConf.create(textwrap.dedent(text))
    assert isinstance(listed, DictConfig)
    if name == "fit":
        assert listed.schedule == compose("ilsvrc2012").schedule
        assert listed.model == compose("ilsvrc2012").model


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_offers_commands_recipes_and_keys(shell: str, tmp_path: Path) -> None:
    script = alexnet_pl("completion", shell, cwd=tmp_path).stdout
    for word in (*registry.COMMANDS, *recipe_names(), "optim.lr"):
        assert re.search(rf"[ \"]{re.escape(word)}[ =\"]", script), word
    if not (found := shutil.which(shell)):
        pytest.skip(f"this machine has no {shell}, which must accept the script")
    assert subprocess.run([found, "-n"], input=script, text=True, capture_output=True).stderr == ""


def test_bash_completion_works_in_bash(tmp_path: Path) -> None:
    script = alexnet_pl("completion", "bash", cwd=tmp_path).stdout
    ask = 'COMP_WORDS=({}); COMP_CWORD={}; _alexnet_pl 2>/dev/null; echo "${{COMPREPLY[@]}}"'
    typed = {"alexnet_pl rep": "reproduce report", "alexnet_pl fit -c imagen": "imagenette"}
    typed["alexnet_pl fit optim.momen"] = "optim.momentum="
    for words, wanted in typed.items():
        line = ask.format(words, len(words.split()) - 1)
        done = subprocess.run(["bash", "-c", f"{script}\n{line}"], capture_output=True, text=True)
        assert done.stdout.strip() == wanted, done.stderr


def test_completion_refuses_an_unknown_shell(tmp_path: Path) -> None:
    done = alexnet_pl("completion", "csh", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "alexnet_pl: completion: choose a shell: bash, zsh, fish\n")


def test_run_folder_or_recipe_may_follow_the_command(tmp_path: Path) -> None:
    make_run(tmp_path / "runs/demo/a=1")
    for name in ("demo", "runs/demo/a=1"):
        checkpoint(tmp_path / "runs/demo/a=1", "last", age=1)
        assert to_hydra(["test", name, "seed=1"]) == to_hydra(["test", "-c", name, "seed=1"])
    assert to_hydra(["fit", "-m", "demo", "seed=1,2"]) == to_hydra(["fit", "-m", "-c", "demo", "seed=1,2"])
    assert "bench.suite=prepare" in to_hydra(["bench", "prepare"])


def make_run(folder: Path, config: str = "seed: 1\n") -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/config.yaml").write_text(config)
    return folder


def test_latest_is_a_relative_link_to_the_newest_top_level_run(tmp_path: Path) -> None:
    """A run within a run, such as a member of an ensemble, does not count."""
    for name in ("runs/demo/a", "runs/demo/sweep/0-seed-1"):
        link_latest(make_run(tmp_path / name))
        latest = tmp_path / "runs/demo/latest"
        assert (os.readlink(latest), latest.resolve()) == (name.removeprefix("runs/demo/"), tmp_path / name)
    last = checkpoint(tmp_path / "runs/demo/sweep/0-seed-1", "last", age=1)
    assert latest_checkpoint(tmp_path / "runs/demo", "last") == last
    assert [path for path in tmp_path.glob("runs/**/checkpoints/last.ckpt")] == [last]
    assert f"hydra.run.dir='{last.parent.parent}'" in to_hydra(["test", "runs/demo/latest"])
    for other in ("runs/demo/a/pretrained", "elsewhere/demo/b", "runs/alone"):
        link_latest(make_run(tmp_path / other))
        assert latest.resolve() == tmp_path / "runs/demo/sweep/0-seed-1"
    assert not list(tmp_path.glob("runs/latest")) + list(tmp_path.glob("elsewhere/**/latest"))


def test_user_folder_named_latest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "runs/demo/latest").mkdir(parents=True)
    link_latest(make_run(tmp_path / "runs/demo/a"))
    assert not (tmp_path / "runs/demo/latest").is_symlink()


def test_ddp_ranks_are_started_with_the_same_job(monkeypatch: pytest.MonkeyPatch) -> None:
    where = ["alexnet_pl", "--config-path=/a", "--config-name=x"]
    monkeypatch.setattr(sys, "argv", [*where, "++command=fit", "ckpt_path='old'", "seed=1"])
    pin_argv_for_ddp_ranks(["ckpt_path='new'", "transfer.weights=null"])
    assert sys.argv == [*where, "++command=fit", "seed=1", "ckpt_path='new'", "transfer.weights=null"]
    pin_argv_for_ddp_ranks(["++command=test"], Path("/b/config.yaml"))
    fresh = ["--config-path=/b", "--config-name=config", "hydra/job_logging=none"]
    assert sys.argv == ["alexnet_pl", *fresh, "++command=test"]
    monkeypatch.setattr(sys, "argv", ["ipykernel"])
    pin_argv_for_ddp_ranks(["ckpt_path=null"])
    assert sys.argv == ["ipykernel"]


def test_signal_sets_the_exit_code_despite_a_failing_cleanup(monkeypatch: pytest.MonkeyPatch) -> None:
    """OmegaConf restores flags in `finally`, which fails on the incomplete value that the signal left."""

    def start(argv: list[str]) -> None:
        try:
            main.exit_on_signal(signal.SIGTERM, None)
        finally:
            raise AttributeError("half made")

    monkeypatch.setattr(main, "start", start)
    monkeypatch.setattr(main, "stopped_by", [])
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as end:
            main.respond(["fit"])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert end.value.code == 143


def test_signal_within_a_finalizer_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python ignores exceptions in finalizers and would continue."""

    class Finalized:
        def __del__(self) -> None:
            main.exit_on_signal(signal.SIGTERM, None)

    monkeypatch.setattr(main, "stopped_by", [])
    monkeypatch.setattr(sys, "unraisablehook", main.repeat_signal)
    before = signal.signal(signal.SIGTERM, main.exit_on_signal)
    try:
        with pytest.raises(SystemExit) as end:  # noqa: PT012
            held = Finalized()
            del held
            time.sleep(30)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert end.value.code == 143


def test_empty_command_line_prints_usage_and_exits_with_2(tmp_path: Path) -> None:
    done = alexnet_pl(cwd=tmp_path)
    assert (done.returncode, done.stdout.split(" ")[0]) == (2, "usage:")


def test_full_disk_is_reported_in_one_line_and_other_errors_with_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, kind, code in (
        (errno.ENOSPC, SystemExit, 2), (errno.EACCES, SystemExit, 2), (errno.EIO, SystemExit, 2),
        (errno.EBADF, OSError, None),
    ):  # fmt: skip

        def run(number: int = number) -> None:
            raise OSError(number, os.strerror(number), "runs/x/last.ckpt")

        monkeypatch.setattr(main, "run", run)
        monkeypatch.setattr(sys, "argv", ["alexnet_pl", "fit", "-c", "demo"])
        monkeypatch.setattr(main.signal, "signal", lambda *_: None)
        with pytest.raises(kind) as end:
            main.main()
        assert getattr(end.value, "code", None) == code
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("alexnet_pl: runs/x/last.ckpt: No space left on device; free some space")
    assert said[1].endswith("Permission denied; choose another folder or change its permissions, then try again")
    assert said[2].endswith("Input/output error; check the disk, or the server of the file system, then try again")


def test_every_key_of_a_path_takes_a_home_folder_and_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    monkeypatch.setenv("HOME", "/home/me")
    for key in ("test.data", "test.labels", "report.runs", "prepare.boxes", "detect.blacklist", "data.root"):
        words = to_hydra(["fit", "-c", "demo", f"{key}=~/a (b), c"])
        (parsed,) = OverridesParser.create().parse_overrides([next(word for word in words if key in word)])
        assert parsed.value() == "/home/me/a (b), c"


@pytest.mark.parametrize("path", ["a b", "a=b", "a,b", "a'b", "a{b", "(a)", r"a\b", "a:b", "ü"])
def test_paths_may_contain_hydra_syntax(path: str, tmp_path: Path) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    words = to_hydra(["prepare", "-c", "demo", f"data.root={path}", f"prepare.source={path}/x"])
    parsed = OverridesParser.create().parse_overrides(words[5:])
    assert [override.value() for override in parsed] == [path, f"{path}/x"]
    run = tmp_path / "runs" / path
    checkpoint(run, "last", age=1)
    parsed = OverridesParser.create().parse_overrides(
        to_hydra(["test", "-c", "demo", f"ckpt_path=runs/{path}/checkpoints/last.ckpt"])[5:]
    )
    assert parsed[0].value() == str(run / "checkpoints/last.ckpt")
    assert parsed[1].value() == str(run)


def folder_of(words: list[str]) -> list[str]:
    return [word for word in to_hydra(words) if word.startswith(("hydra.run.dir", "hydra.sweep"))]


def test_reproduce_uses_a_stable_folder_per_network() -> None:
    """Its name depends on the settings that decide the network, not on the location of images or the test options."""
    words = ["reproduce", "-c", "ilsvrc2010", "model.norm=false", "seed=3"]
    wanted = ["hydra.run.dir='runs/ilsvrc2010/reproduce/model.norm-false_seed-3'"]
    assert folder_of(words) == folder_of([*words[:3], "seed=3", "model.norm=false"]) == wanted
    assert (
        folder_of([*words, "data.root=/a", "test.views=center", "transfer.data_roots.fall2011=/b", "logger=csv"])
        == wanted
    )
    assert folder_of(["ensemble", "-c", "ensemble_5cnns", "data.root=/a"]) == [
        "hydra.run.dir='runs/ensemble_5cnns/ensemble/as-shipped'"
    ]
    assert folder_of([*words, "hydra.run.dir=mine"]) == ["hydra.run.dir='mine'"]
    on_gpus = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=5", "trainer.devices=[${hydra:job.num}]"]
    assert folder_of(["ensemble", "-c", "ensemble_5cnns", *on_gpus]) == [
        "hydra.run.dir='runs/ensemble_5cnns/ensemble/as-shipped'"
    ]
    assert folder_of([*words, *(f"trainer.{key}=1" for key in HARDWARE), "+trainer.benchmark=true"]) == wanted
    assert folder_of(["reproduce", "-m", "-c", "demo", "seed=1,2", "hydra.sweep.subdir=x"]) == ["hydra.sweep.subdir=x"]
    assert folder_of(["reproduce", "-m", "-c", "demo", "seed=1,2"]) == ["hydra.sweep.dir='runs/demo/reproduce'"]
    long = folder_of([*words, *(f"augment.noise={i}" for i in range(40))])
    assert len(long[0]) < 160
    assert long != folder_of([*words, *(f"augment.noise={i}" for i in range(41))])


def job_folders(*words: str) -> list[str]:
    """Folders of the jobs into which Hydra's sweeper splits a command."""
    path, name, _, *overrides = (word for word in to_hydra(list(words)) if word != "-m")
    with initialize_config_dir(path.partition("=")[2], version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        name = name.partition("=")[2]
        master = loader.load_configuration(name, overrides, run_mode=RunMode.MULTIRUN)
        parsed = OverridesParser.create().parse_overrides(list(master.hydra.overrides.task))
        (jobs,) = BasicSweeper.split_arguments(parsed, None)
        configs = [loader.load_sweep_config(master, job) for job in jobs]
    for number, config in enumerate(configs):
        OmegaConf.update(config, "hydra.job.num", number)
    return [OmegaConf.select(config, "hydra.sweep.subdir") for config in configs]


def test_folders_of_jobs_are_named_by_swept_keys() -> None:
    fixed = ("optim.lr=0.02", "model.dropout=0.1", "trainer.max_steps=5", "data.root=/a/b")
    assert job_folders("fit", "-m", "-c", "demo", *fixed, "seed=1,2") == ["0-seed-1", "1-seed-2"]
    swept = ("model.width=0.1,0.2", "variant=as_run,as_printed", "test.scales=[1,2],[1]")
    assert job_folders("fit", "-m", "-c", "demo", *fixed, *swept)[:3] == [
        "0-model.width-0.1_test.scales-_1_2__variant-as_run",
        "1-model.width-0.1_test.scales-_1__variant-as_run",
        "2-model.width-0.1_test.scales-_1_2__variant-as_printed",
    ]
    assert job_folders("fit", "-m", "-c", "demo", *fixed) == ["0"]


def test_reproduced_jobs_have_the_folders_of_single_runs() -> None:
    fixed = ("model.width=0.5", "trainer.max_steps=5", "trainer.devices=1", "data.root=/a/b", "wandb.project=x")
    singles = [folder_of(["reproduce", "-c", "demo", *fixed, f"seed={seed}"])[0] for seed in (1, 2)]
    jobs = job_folders("reproduce", "-m", "-c", "demo", *fixed, "seed=1,2")
    assert singles == [f"hydra.run.dir='runs/demo/reproduce/{job}'" for job in jobs]
    assert jobs == [f"model.width-0.5_seed-{seed}_trainer.max_steps-5" for seed in (1, 2)]


@pytest.mark.parametrize(
    "swept",
    [
        "performance.optimized=true,false", "trainer.precision=32-true,bf16-mixed", "data.root=/a,/b",
        "test.views=center,ten",
    ],
)  # fmt: skip
def test_reproduced_jobs_never_share_a_folder(swept: str) -> None:
    """The second job would resume the first, or find it tested already."""
    fixed = ("trainer.devices=1", "wandb.project=x", "prepare.workers=1")
    key, _, values = swept.partition("=")
    names = [f"{key}-{value.replace('/', '_')}" for value in values.split(",")]
    assert job_folders("reproduce", "-m", "-c", "demo", *fixed, swept) == names


@pytest.mark.parametrize(
    ("swept", "folders"),
    [
        ("data.root=/a/b,/a_b,/c", ["data.root-_a_b-{}", "data.root-_a_b-{}", "data.root-_c"]),
        ("transfer.weights=/a/b,/a@b,/a c", ["transfer.weights-_a_b-{}"] * 2 + ["transfer.weights-_a_c"]),
        ("transfer.weights='/a=b','/a-b'", ["transfer.weights-__a-b_-{}"] * 2),
        ("transfer.layers=[conv1],[conv2]", ["transfer.layers-_conv1_", "transfer.layers-_conv2_"]),
        (f"transfer.weights=/{'x' * 120}/b,/{'x' * 120}_b", [f"transfer.weights-_{'x' * 72}-{{}}-{{}}"] * 2),
        ("seed=range(1,3)", ["seed-1", "seed-2"]),
    ],
)
def test_jobs_whose_values_look_alike_in_a_name_get_a_digest(swept: str, folders: list[str]) -> None:
    """Names that were distinct stay, so that a sweep which was interrupted is resumed."""
    names = job_folders("reproduce", "-m", "-c", "demo", "trainer.devices=1", swept)
    for name, folder in zip(names, folders, strict=True):
        assert re.fullmatch(re.escape(folder).replace(r"\{\}", "[0-9a-f]{8}"), name)
    assert len(set(names)) == len(names)
    assert names == job_folders("reproduce", "-m", "-c", "demo", "trainer.devices=1", swept)


@pytest.mark.parametrize(
    "word",
    [
        "optim.lr=1e-2", "optim.lr=0.010", "schedule.steps.drops=[36, 42]", "model.norm=False",
        "+model.note={a: 1, b: x}", "~optim.lr=0.01",
        "transfer.weights=/a/b c", "transfer.weights='/a,b'", "model.note=a\\,b", "~monitor", "~optim.lr",
        "variant=as_run", "model.note=${seed}", "model.note=", "++model.note=007",
    ],
)  # fmt: skip
def test_reproduced_jobs_have_the_folders_of_single_runs_with_the_words_as_typed(word: str) -> None:
    """Hydra's sweeper writes every value anew: 1e-2 becomes 0.01."""
    to_jobs = [name for word in (word, "seed=1,2") for name in [allow_new_key(word, sweep=True)]]
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(to_jobs), None)
    names = [job_folder("reproduce", 0, job, [word.lstrip("+~").partition("=")[0]]) for job in jobs]
    assert names == [folder_name([word, f"seed={seed}"]) for seed in (1, 2)]


def test_folders_of_single_runs_keep_their_names() -> None:
    for word, name in {
        "optim.lr=0.02": "optim.lr-0.02",
        "model.norm=false": "model.norm-false",
        "transfer.weights=/a,b": "transfer.weights-_a_b",
        "transfer.weights=hf://a/b c": "transfer.weights-hf___a_b_c",
        "transfer.weights=/a=b(": "transfer.weights-_a-b_",
        "transfer.layers=conv1,conv2": "transfer.layers-conv1_conv2",
        "schedule.steps.drops=[36,42]": "schedule.steps.drops-_36_42_",
    }.items():
        assert folder_name([word]) == name


def test_report_needs_no_recipe_and_leaves_no_hydra_folder() -> None:
    translated = to_hydra(["report"])
    assert "--config-name=_base" in translated
    assert {"hydra.run.dir='runs/report'", "hydra.output_subdir=null"} <= set(translated)


def test_resumable_fit_keeps_its_folder() -> None:
    assert "ckpt_path='auto'" in to_hydra(["fit", "-c", "demo", "ckpt_path=auto"])


def test_folders_that_hold_only_hydras_files_are_removed_with_empty_parents(tmp_path: Path) -> None:
    for name in ("runs/a/1/.hydra", "runs/b/1/.hydra", "runs/b/2"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "runs/b/2/metrics.csv").touch()
    main.remove_if_empty(tmp_path / "runs/b/1")
    main.remove_if_empty(tmp_path / "runs/b/2")
    main.remove_if_empty(tmp_path / "runs/a/1")
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == {
        "runs", "runs/b", "runs/b/2", "runs/b/2/metrics.csv",
    }  # fmt: skip


def test_fit_that_starts_or_continues_a_run_folder_stays_in_it_without_a_log(tmp_path: Path) -> None:
    make_run(tmp_path / "runs/demo/x")
    for typed in ([], ["hydra.run.dir=runs/y"]):
        words = to_hydra(["fit", "runs/demo/x", "ckpt_path=auto", *typed])
        folders = [word for word in words if word.startswith("hydra.run.dir=")]
        assert folders == (["hydra.run.dir='runs/y'"] if typed else [f"hydra.run.dir='{tmp_path}/runs/demo/x'"])
        assert "hydra/job_logging=none" in words


@pytest.mark.parametrize("command", ["verify", "prepare"])
def test_store_of_a_run_is_checked_without_a_log_in_outputs(command: str, tmp_path: Path) -> None:
    """A run's config has no settings for Hydra, whose own are a folder outputs/ with a log."""
    make_run(tmp_path / "runs/demo/x")
    words = to_hydra([command, "runs/demo/x"])
    assert f"hydra.run.dir='runs/{command}/${{now:%Y-%m-%d_%H-%M-%S}}'" in words
    assert "hydra/job_logging=none" in words
