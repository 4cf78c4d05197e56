"""Entry point of the command line: exit codes, imports, the folder of a command that failed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import alexnet_pl
from running import Compose

from alexnet_pl import desktop_files
from alexnet_pl.cli import run_folder
from alexnet_pl.cli.processes import check_rank
from alexnet_pl.cli.run_folder import remove_if_empty
from alexnet_pl.errors import UserError


def test_slurm_sweep_is_refused_where_there_is_no_slurm(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher (extra `sweep`)")
    words = ["fit", "-m", "-c", "demo", "seed=1,2", "hydra/launcher=submitit_slurm"]
    done = alexnet_pl(*words, cwd=tmp_path, PATH="")  # on a cluster, srun would be there, and the jobs be queued
    assert done.returncode == 2
    assert done.stderr.startswith("alexnet_pl: hydra/launcher=submitit_slurm: no srun on this machine")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_recipe_without_self_in_its_defaults_keeps_its_values_and_prints_no_warning(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [demo]\ndata: {batch_size: 40}\n")
    done = alexnet_pl("fit", "-c", "mine.yaml", "--cfg", "job", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "batch_size: 40" in done.stdout


def test_rank_that_another_command_left_over_is_refused(tmp_path: Path) -> None:
    """It made the command another process than the first, which neither writes a config nor locks its folder."""
    where = {"MASTER_ADDR": "localhost", "NODE_RANK": "1", "GROUP_RANK": "2"}
    done = alexnet_pl("fit", "demo", cwd=tmp_path, **where)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "alexnet_pl: NODE_RANK=1 is set, but trainer.num_nodes=1: unset NODE_RANK\n"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_rank_without_a_launcher_is_refused(name: str, config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit had neither config nor fit.json nor metrics, and `predict` ended with code 0 without a prediction."""
    clear_ranks(monkeypatch)
    monkeypatch.setenv(name, "2")
    said = f"{name}=2 is set, but no launcher has started this process: unset {name}"
    for words in ([], ["trainer.devices=[0]"]):
        with pytest.raises(UserError, match=f"^{said}$"):
            check_rank(config("demo", *words))
    check_rank(config("demo", "trainer.devices=4"))  # Lightning's own process
    check_rank(config("demo", "++trainer.num_nodes=2"))


def clear_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    launchers = ("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "TORCHELASTIC_RUN_ID", "NODE_RANK", "GROUP_RANK")
    for name in (*launchers, "RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


def test_deleted_working_folder_is_one_line(tmp_path: Path) -> None:
    command = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} -m alexnet_pl fit demo"
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    said = "alexnet_pl: the working folder has been deleted; change to another one (cd), then try again"
    assert done.stderr.splitlines()[-1] == said
    assert "Traceback" not in done.stderr


def test_machine_with_slurm_needs_no_srun(tmp_path: Path) -> None:
    """Lightning warns of each command that srun has not started, by a line of its own internals."""
    srun = tmp_path / "bin/srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    done = alexnet_pl("fit", "demo", cwd=tmp_path, PATH=f"{srun.parent}:{os.environ['PATH']}", NODE_RANK="1")
    assert done.stderr == "alexnet_pl: NODE_RANK=1 is set, but trainer.num_nodes=1: unset NODE_RANK\n"


def test_ranks_of_launchers_and_of_several_nodes_are_accepted(config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NODE_RANK", "GROUP_RANK", "SLURM_NTASKS", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    check_rank(config("demo"))
    monkeypatch.setenv("GROUP_RANK", "1")
    check_rank(config("demo", "++trainer.num_nodes=2"))
    with pytest.raises(UserError, match=r"^GROUP_RANK=1 is set, but trainer.num_nodes=1: unset GROUP_RANK$"):
        check_rank(config("demo", "++trainer.num_nodes=1"))
    monkeypatch.setenv("NODE_RANK", "0")  # Lightning's choice if both are set
    check_rank(config("demo"))
    monkeypatch.delenv("NODE_RANK")
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    check_rank(config("demo"))


def test_sweep_on_several_nodes_without_a_launcher_is_refused(tmp_path: Path) -> None:
    """On the second node, the processes that the first one starts would have started the sweep again."""
    words = ["fit", "-m", "demo", "seed=1,2", "trainer.num_nodes=2", "trainer.devices=2", "trainer.accelerator=cpu"]
    done = alexnet_pl(*words, cwd=tmp_path, MASTER_ADDR="localhost", NODE_RANK="1")
    assert done.returncode == 2
    said = "alexnet_pl: -m: trainer.num_nodes=2: a sweep runs on one node; give each job a command of its own"
    assert done.stderr.splitlines()[-1] == said


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


def test_system_without_file_locks_is_refused_in_one_line() -> None:
    program = "import sys; sys.modules['fcntl'] = None; from alexnet_pl.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    said = "alexnet_pl: Windows is not supported (no POSIX file locks); use WSL2\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_closed_standard_streams_lead_nowhere(tmp_path: Path) -> None:
    """Also in processes that the program starts. A file opened later must not get their descriptors."""
    program = (
        "import os, subprocess, sys; from alexnet_pl.__main__ import main; sys.argv = ['alexnet_pl', '--version']\n"
        "try: main()\n"
        "finally:\n"
        "    child = [sys.executable, '-c', 'import sys; sys.exit(None in (sys.stdin, sys.stdout, sys.stderr))']\n"
        "    opened = open('opened', 'w')\n"
        "    code = subprocess.run(child, close_fds=False).returncode\n"
        "    opened.write(f'{opened.fileno()} {code}')"
    )
    closed = ["bash", "-c", '"$@" <&- >&- 2>&-', "bash", sys.executable, "-c", program]
    assert subprocess.run(closed, cwd=tmp_path).returncode == 0
    descriptor, child = (tmp_path / "opened").read_text().split()
    assert int(descriptor) > 2
    assert child == "0"


def test_closed_pipe_gives_no_traceback(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    for words in (["--help"], ["fit", "--help"]):
        done = subprocess.run([sys.executable, "-m", "alexnet_pl", *words], stdout=write, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (141, b"")
    os.close(write)


def test_empty_command_line_prints_usage_and_exits_with_2(tmp_path: Path) -> None:
    done = alexnet_pl(cwd=tmp_path)
    assert (done.returncode, done.stdout.split(" ")[0]) == (2, "usage:")


def test_folders_that_hold_only_hydras_files_are_removed_with_empty_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("runs/a/1/.hydra", "runs/b/1/.hydra", "runs/b/2"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("runs/a/.DS_Store", "runs/b/1/.DS_Store", "runs/b/2/metrics.csv"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    remove_if_empty(tmp_path / "runs/b/1")
    remove_if_empty(tmp_path / "runs/b/2")
    remove_if_empty(tmp_path / "runs/a/1")
    (tmp_path / "runs/b/3").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "is_first_process", lambda: False)
        remove_if_empty(tmp_path / "runs/b/2")
        remove_if_empty(tmp_path / "runs/b/3")
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")} == {
        "runs", "runs/b", "runs/b/2", "runs/b/2/metrics.csv",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "shown"), [("latin-1", "\\u2192 caf\xe9\\udce9\n"), ("utf-8:strict", "→ caf\xe9\\udce9\n")]
)
def test_characters_that_the_terminal_lacks_are_printed_as_escapes(encoding: str, shown: str) -> None:
    """The last one is a byte that is no text. PYTHONIOENCODING stands for the locale, since only UTF-8 may be there."""
    code = "from alexnet_pl.cli import main; main.text_for = lambda _: '\\u2192 caf\\xe9\\udce9'; main.main()"
    variables = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=variables)
    assert done.stdout.decode(encoding.partition(":")[0]) == shown, done.stderr


def test_run_folder_whose_path_is_no_text_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    folder = tmp_path / "caf\udce9"  # a byte of another encoding
    done = alexnet_pl("fit", "-c", "demo", f"hydra.run.dir={folder}", cwd=tmp_path)
    assert done.returncode == 2
    said = "caf\\udce9: torch reads no files in a folder whose path is not UTF-8; rename it"
    assert done.stderr.splitlines()[-1] == f"alexnet_pl: hydra.run.dir: {tmp_path}/{said}"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["out", "runs/out", "."])
def test_working_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Also a new one, with only the files that a desktop makes."""
    here = tmp_path / "fresh/project"
    (here / name / ".hydra").mkdir(parents=True)
    (here / ".DS_Store").touch()
    monkeypatch.chdir(here)
    remove_if_empty(here / name)
    assert {path.name for path in here.iterdir()} <= {".DS_Store"}


def test_settings_of_a_folder_and_files_written_meanwhile_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("desktop.ini", ".directory"):
        (tmp_path / "runs" / name / ".hydra").mkdir(parents=True)
        (tmp_path / "runs" / name / name).touch()
        monkeypatch.chdir(tmp_path)
        remove_if_empty(tmp_path / "runs" / name)
        assert (tmp_path / "runs" / name / name).is_file()

    def is_empty(folder: Path) -> bool:
        (folder / "thesis.txt").touch()
        return True

    monkeypatch.setattr(desktop_files, "is_empty", is_empty)
    with pytest.raises(OSError, match="not empty"):
        desktop_files.remove_empty(tmp_path)
    assert (tmp_path / "thesis.txt").is_file()
