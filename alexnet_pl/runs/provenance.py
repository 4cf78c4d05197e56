"""Provenance of a run: commit, uncommitted changes, versions, hardware, data, command."""

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from alexnet_pl.files import Count, read_record, write_json
from alexnet_pl.runs.layout import PROVENANCE

PACKAGES = ("alexnet_pl", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "numpy", "wandb")

GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}
GIT_OPTIONS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "core.pager=cat")


@dataclass
class Session:
    """One run of a command: when, from which commit, with which arguments."""

    time: str
    command: str
    argv: list[str]
    commit: str | None = None
    changed_files: list[str] | None = None
    packages: dict[str, str | None] | None = None


@dataclass
class ProvenanceRecord:
    """provenance.json: the sessions of a run folder, oldest first."""

    sessions: list[Session]
    schema: Count = 1


def append_session(run: Path, facts: dict[str, Any]) -> None:
    path = run / PROVENANCE
    advice = "move it away to start a new one"
    sessions = read_record(path, ProvenanceRecord, advice)["sessions"] if path.exists() else []
    write_json(path, {"schema": 1, "sessions": [*sessions, facts]})


def describe_session(command: str, store: dict[str, Any]) -> dict[str, Any]:
    """One session's facts; `store`: the data set's name and fingerprint."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": command,
        "argv": sys.argv[1:],
        "commit": git("rev-parse", "HEAD"),
        "changed_files": (git("status", "--porcelain", "--", "alexnet_pl", "configs") or "").splitlines(),
        "store": store,
        "packages": {name: installed(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "cpus": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def git(*words: str) -> str | None:
    """Output of git in the package's own checkout; None where the package is installed without one.

    Neither the environment nor the user's configuration reaches git: both can name commands for it to run.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    environment = {"PATH": os.environ.get("PATH", os.defpath), **GIT_ENVIRONMENT}
    command = ["git", "-C", str(root), "-c", f"safe.directory={root}", *GIT_OPTIONS, *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
