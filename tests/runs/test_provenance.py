"""provenance.json: commit, uncommitted changes and one entry per session."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from processes import run_processes
from running import Compose, run

from alexnet_pl.runs import provenance
from alexnet_pl.runs.records import StoreIdentity


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, in place of the package's own."""
    root = tmp_path / "checkout"
    (root / "alexnet_pl/runs").mkdir(parents=True)
    (root / "alexnet_pl/runs/provenance.py").write_text("first\n")
    git(root, "init", "-q")
    commit_all(root)
    monkeypatch.setattr(provenance, "__file__", str(root / "alexnet_pl/runs/provenance.py"))
    return root


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=root, check=True)


def commit_all(root: Path) -> None:
    git(root, "add", ".")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "all files")


def head(root: Path) -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()


def test_commit_and_uncommitted_changes_are_recorded(checkout: Path) -> None:
    clean = provenance.describe_session("fit", StoreIdentity(name="x", fingerprint="y"))
    assert (clean.commit, clean.changed_files) == (head(checkout), [])
    (checkout / "alexnet_pl/runs/provenance.py").write_text("second\n")
    changed = provenance.describe_session("fit", StoreIdentity(name="x", fingerprint="y"))
    assert changed.changed_files == ["M alexnet_pl/runs/provenance.py"]


def test_recorded_changes_can_be_applied(checkout: Path) -> None:
    """The last line of the change is a blank line of the context, which belongs to the patch."""
    path = checkout / "alexnet_pl/runs/provenance.py"
    path.write_text("first\n\n")
    commit_all(checkout)
    path.write_text("second\n\n")
    changes = provenance.read_changes()
    git(checkout, "checkout", "-q", ".")
    subprocess.run(["git", "apply"], cwd=checkout, input=changes.encode(), check=True)
    assert path.read_text() == "second\n\n"


def test_every_changed_file_is_listed_alike(checkout: Path) -> None:
    for name in ("a.py", "b.py"):
        (checkout / f"alexnet_pl/{name}").touch()
    commit_all(checkout)
    for name in ("a.py", "b.py"):
        (checkout / f"alexnet_pl/{name}").write_text("changed\n")
    session = provenance.describe_session("fit", StoreIdentity())
    assert session.changed_files == ["M alexnet_pl/a.py", "M alexnet_pl/b.py"]


def test_changes_that_are_not_utf8_are_recorded(checkout: Path) -> None:
    (checkout / "alexnet_pl/runs/provenance.py").write_bytes(b"caf\xe9\n")
    assert "+caf\ufffd" in provenance.read_changes()


def test_changes_of_other_files_in_the_checkout_are_not_recorded(checkout: Path) -> None:
    (checkout / "private.txt").write_text("secret\n")
    git(checkout, "add", "private.txt")
    assert provenance.read_changes() == ""
    (checkout / "alexnet_pl/runs/provenance.py").write_text("second\n")
    changes = provenance.read_changes()
    assert "+second" in changes
    assert "private" not in changes


def append_one(folder: Path) -> None:
    number = torch.distributed.get_rank()
    for _ in range(20):
        session = provenance.describe_session(f"test {number}", StoreIdentity(name="x", fingerprint="y"))
        provenance.append_session(folder, session)


def test_commands_that_end_at_once_all_keep_their_session(tmp_path: Path) -> None:
    run_processes(2, append_one, tmp_path)
    sessions = provenance.read_sessions(tmp_path)
    assert sorted(session.command for session in sessions) == ["test 0"] * 20 + ["test 1"] * 20


def test_installed_package_has_no_commit(checkout: Path) -> None:
    for path in sorted((checkout / ".git").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (checkout / ".git").rmdir()
    session = provenance.describe_session("fit", StoreIdentity(name="x", fingerprint="y"))
    assert (session.commit, session.changed_files) == (None, [])


@pytest.mark.parametrize("wanted", ["32-true", "bf16-mixed"])
def test_precision_in_use_is_recorded(config: Compose, tiny: list[str], tmp_path: Path, wanted: str) -> None:
    cfg = config("imagenette", *tiny, "logger=csv", f"trainer.precision={wanted}", "trainer.max_epochs=1")
    run(cfg, "fit", tmp_path)
    (session,) = provenance.read_sessions(tmp_path)
    assert session.precision == wanted
    assert session.arithmetic == f"{session.machine}, {wanted}"


def test_older_record_has_no_precision(tmp_path: Path) -> None:
    record = {"sessions": [{"time": "now", "command": "fit", "argv": [], "cpus": 2}]}
    (tmp_path / "provenance.json").write_text(json.dumps(record))
    (session,) = provenance.read_sessions(tmp_path)
    assert session.arithmetic == "2 CPU cores, precision not recorded"


@pytest.mark.parametrize(
    ("started", "words"),
    [
        (["python", "-m", "alexnet_pl", "fit", "-c", "demo"], ["fit", "-c", "demo"]),
        (["python", "/usr/bin/alexnet_pl", "test", "runs/alexnet_pl"], ["test", "runs/alexnet_pl"]),
        (["python", "-m", "submitit.core._submit", "jobs"], ["--config-name=demo"]),
    ],
)
def test_command_line_is_recorded_as_typed(
    monkeypatch: pytest.MonkeyPatch, started: list[str], words: list[str]
) -> None:
    monkeypatch.setattr("sys.orig_argv", started)
    monkeypatch.setattr("sys.argv", ["alexnet_pl", "--config-name=demo"])
    assert provenance.typed_words() == words


def test_sessions_are_appended_in_order(tmp_path: Path) -> None:
    for command in ("fit", "fit", "test"):
        provenance.append_session(tmp_path, provenance.Session(time="now", command=command, argv=[]))
    found = json.loads((tmp_path / "provenance.json").read_text())["sessions"]
    assert [session["command"] for session in found] == ["fit", "fit", "test"]
