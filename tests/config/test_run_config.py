"""Untrusted configs: a run folder can neither run commands nor write files outside the run."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from alexnet_pl.config.checks import check_nested_overrides
from alexnet_pl.config.isolated_config import isolated_config
from alexnet_pl.config.run_config import read_own_keys
from alexnet_pl.data.store.remote import Mirror
from alexnet_pl.errors import UserError
from alexnet_pl.runs import provenance

OWN = {"command": "fit", "seed": 3, "data": {"name": "demo", "root": "nowhere"}, "model": {"num_classes": 10}}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALEXNET_PL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run/.hydra").mkdir(parents=True)
    return tmp_path / "run"


def save(run: Path, config: dict[str, Any]) -> Path:
    path = run / ".hydra/config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "alexnet_pl", *words], cwd=cwd, capture_output=True, text=True)


def file_logger(path: Path) -> dict[str, Any]:
    handler = {"class": "logging.FileHandler", "filename": str(path), "mode": "w"}
    return {"version": 1, "handlers": {"file": handler}, "root": {"handlers": ["file"]}}


def shadow_logging(run: Path, canary: Path) -> None:
    (run / ".hydra/hydra/job_logging").mkdir(parents=True)
    (run / ".hydra/hydra/job_logging/none.yaml").write_text(yaml.safe_dump(file_logger(canary)))


def test_hydra_settings_of_a_run_folder_are_dropped_with_a_message(run: Path, tmp_path: Path) -> None:
    canary = tmp_path / "precious.txt"
    canary.write_text("kept")
    env = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": f"rm {canary}"}
    save(run, OWN | {"hydra": {"job": {"env_set": env}, "job_logging": file_logger(canary)}, "defaults": ["_base"]})
    shadow_logging(run, canary)
    done = command("fit", "-c", str(run), "ckpt_path=null", f"hydra.run.dir={tmp_path}/out", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "ignored unknown keys: " in done.stderr
    assert "hydra" in done.stderr
    assert canary.read_text() == "kept"


def test_isolated_copy_has_only_the_packages_keys(run: Path) -> None:
    save(run, OWN | {"hydra": {"job": {"name": "x"}}, "defaults": [], "unknown": 1})
    copy = isolated_config(run)
    assert yaml.safe_load(copy.read_text()) == OWN
    assert [path.name for path in copy.parent.iterdir()] == ["config.yaml"]
    assert isolated_config(run) == copy  # other processes of the run must find the same copy


@pytest.mark.parametrize(
    ("node", "named"),
    [
        ({"optim": {"_target_": "os.system"}}, "optim._target_"),
        ({"wandb": {"project": "${oc.env:HOME}"}}, "wandb.project"),
        ({"data": {"root": "x/${ oc.env :HOME}"}}, "data.root"),
        ({"codes": {"layer": "env"}, "wandb": {"project": "${oc.${codes.layer}:HOME}"}}, "wandb.project"),
        ({"wandb": {"project": "${${codes.layer}:HOME}"}}, "wandb.project"),
        ({"wandb": {"project": "${" * 1000 + "a" + "}" * 1000}}, "wandb.project"),
        ({"schedule": {"steps": [{"()": "os.system"}]}}, "schedule.steps.0.()"),
    ],
)
def test_code_and_resolvers_in_a_run_are_refused(run: Path, node: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=r"config.yaml: ") as error:
        read_own_keys(save(run, OWN | node))
    assert f": {named}: " in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: *a\n",
        "- 1\n",
        "a: !!python/object/apply:os.system [ls]\n",
        "a: [\n",
        "\tb: 1\n",
        "[" * 2**20,
        "- " * 2**19,
        "{a: " * 2**18,
    ],
)
def test_run_config_that_is_not_a_plain_mapping_is_refused(run: Path, text: str) -> None:
    path = run / ".hydra/config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config.yaml: "):
        read_own_keys(path)


def test_link_out_of_the_run_folder_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("kept")
    (run / "metrics.csv").symlink_to(tmp_path / "precious.txt")
    save(run, OWN)
    with pytest.raises(UserError, match=r"metrics.csv: links to"):
        isolated_config(run)


def test_interpolations_of_other_keys_are_kept(run: Path) -> None:
    """Figure 1's recipe has nested interpolations."""
    optim = {"lr": "${schedule.lr_by_activation.${model.activation}}"}
    assert read_own_keys(save(run, OWN | {"optim": optim}))["optim"] == optim


def test_wandb_folder_that_links_outside_is_refused(run: Path, tmp_path: Path) -> None:
    (run / "wandb").mkdir()
    (run / "wandb/artifacts").symlink_to(tmp_path)
    save(run, OWN)
    with pytest.raises(UserError, match=r"artifacts: links to"):
        isolated_config(run)


def test_links_within_the_run_folder_and_of_wandb_are_allowed(run: Path, tmp_path: Path) -> None:
    (run / "latest").symlink_to("metrics.csv")
    (run / "wandb/offline-run/logs").mkdir(parents=True)
    (run / "wandb/offline-run/logs/debug-core.log").symlink_to(tmp_path / "debug-core.log")
    save(run, OWN)
    assert isolated_config(run).is_file()


def test_cache_folder_with_files_of_others_is_not_given_to_hydra(run: Path, tmp_path: Path) -> None:
    save(run, OWN)
    copy = isolated_config(run)
    for folder in (copy.parent, copy.parent.parent):
        folder.chmod(0o777)
    assert isolated_config(run) == copy
    assert [folder.stat().st_mode & 0o777 for folder in (copy.parent, copy.parent.parent)] == [0o700, 0o700]
    (copy.parent / "hydra").mkdir()
    with pytest.raises(UserError, match=rf"^{copy.parent}: holds hydra, which alexnet_pl did not write"):
        isolated_config(run)
    copy.parent.rename(tmp_path / "elsewhere")
    copy.parent.symlink_to(tmp_path / "elsewhere")
    other = isolated_config(run)
    assert other.resolve() != copy.resolve()
    assert yaml.safe_load(other.read_text()) == OWN


@pytest.mark.parametrize(
    "word",
    [
        "hydra.job_logging.x=1", "++hydra.run.dir=/x", "--config-dir=/x", "hydra/callbacks=x", "x", "command=dashboard",
        "ckpt_path=runs/good/last.ckpt", "+report.output=/x", "prepare.repair=true", "bench.output=/x", "bench={a: 1}",
        "transfer.pretrain_recipe=stranger/evil.yaml", "variant=../../evil", "logger=wandb", "optim.lr",
    ],
)  # fmt: skip
def test_overrides_in_a_config_must_be_recipe_keys(word: str) -> None:
    allowed = ["optim.lr=0.1", "++trainer.max_epochs=3", "variant=as_printed", "transfer.pretrain_recipe=ilsvrc2010"]
    check_nested_overrides(allowed, "transfer.overrides")
    for words in ([word], word, True, {"a": 1}):
        with pytest.raises(UserError, match=r"transfer.overrides"):
            check_nested_overrides(words, "transfer.overrides")


def test_git_ignores_environment_and_user_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "ran"
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\ntouch {canary}\n")
    hook.chmod(0o755)
    root = tmp_path / "checkout"
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "config", "core.fsmonitor", str(hook)], check=True)
    (root / "alexnet_pl/runs").mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(root / "alexnet_pl/runs/provenance.py"))
    names = {"COUNT": "1", "KEY_0": "core.fsmonitor", "VALUE_0": str(hook)}
    for name, value in names.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    subprocess.run(["git", "-C", str(root), "status"], check=True, capture_output=True)
    assert canary.exists()  # unprotected git does run the command
    canary.unlink()
    assert provenance.git("status", "--porcelain") == ""
    assert not canary.exists()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary folder of a user whose cache cannot be made."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("ALEXNET_PL_CACHE", str(tmp_path / "file/cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


def test_without_a_cache_all_copies_lie_in_one_folder_of_the_user(run: Path, temporary: Path) -> None:
    save(run, OWN)
    copy = isolated_config(run)
    assert isolated_config(run) == copy
    (folder,) = temporary.iterdir()
    assert copy.parents[1] == folder
    assert folder.stat().st_mode & 0o777 == copy.parent.stat().st_mode & 0o777 == 0o700


def test_folder_that_another_user_made_is_not_used(
    run: Path, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(run, OWN)
    user = os.getuid()
    (tmp_path / "elsewhere").mkdir()
    (temporary / f"alexnet_pl-{user}").symlink_to(tmp_path / "elsewhere")
    assert isolated_config(run).parent.parent == temporary
    (temporary / f"alexnet_pl-{user + 1}").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert isolated_config(run).parent.parent == temporary
    assert not list((temporary / f"alexnet_pl-{user + 1}").iterdir()) + list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "url", ["reference://x.json", "simplecache::s3://x", "github://a:b@main", "tar://x::file:///y"]
)
def test_store_urls_allow_only_plain_protocols(url: str) -> None:
    with pytest.raises(UserError, match=r"data.root: "):
        Mirror(url)


def test_store_at_a_relative_path_is_found_from_another_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notebooks run in notebooks/, fits where their run folders begin."""
    run, elsewhere = tmp_path / "work/runs/demo/x", tmp_path / "work/notebooks"
    for folder in (run / ".hydra", elsewhere, tmp_path / "work/data/demo80"):
        folder.mkdir(parents=True)
    path = save(run, {**OWN, "data": {"root": "data/demo80"}})
    monkeypatch.chdir(elsewhere)
    assert read_own_keys(path)["data"]["root"] == "data/demo80", "no store there"
    (tmp_path / "work/data/demo80/store.json").touch()
    assert read_own_keys(path)["data"]["root"] == str(tmp_path / "work/data/demo80")
    (elsewhere / "data/demo80").mkdir(parents=True)
    assert read_own_keys(path)["data"]["root"] == "data/demo80", "below the working folder"
