"""Provenance of a run: commit, uncommitted changes, versions, hardware, data, command."""

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from alexnet_pl.json_records import Count, JsonObject, read_record, to_json, write_json
from alexnet_pl.locks import lock_when_free
from alexnet_pl.runs.layout import PROVENANCE
from alexnet_pl.runs.records import StoreIdentity

PACKAGES = ("alexnet_pl", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "numpy", "wandb")

GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}
GIT_OPTIONS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "core.pager=cat")
PROGRAM = ("--", "alexnet_pl", "configs")  # other files of the checkout, which may be private, are not recorded


@dataclass(frozen=True, kw_only=True)
class Session:
    """One run of a command: time, commit, arguments, images, machine.

    `processes`: how processes shared a batch. `precision`: the one in use, as `trainer.precision` would set it; older
    runs did not record it, nor the processor's name `cpu`.
    """

    time: str
    command: str
    argv: list[str]
    commit: str | None = None
    changed_files: list[str] = field(default_factory=list)
    store: StoreIdentity = field(default_factory=StoreIdentity)
    packages: dict[str, str | None] = field(default_factory=dict)
    python: str = ""
    platform: str = ""
    host: str = ""
    cpu: str = ""
    cpus: Count | None = None
    gpus: list[str] = field(default_factory=list)
    precision: str = ""
    processes: JsonObject = field(default_factory=dict)

    @property
    def machine(self) -> str:
        return ", ".join(self.gpus) or f"{self.cpus} CPU cores"

    @property
    def arithmetic(self) -> str:
        """Machine and precision, in words."""
        return f"{self.machine}, {self.precision or 'precision not recorded'}"

    def describe(self, speed: str = "") -> str:
        """Images, machine, precision, `speed` if given, and commit, in words."""
        changed = " with uncommitted changes" if self.changed_files else ""
        commit = f"commit {(self.commit or 'none')[:10]}{changed}"
        images = f"{self.store.name} ({self.store.fingerprint[:12]})"
        return ", ".join(filter(None, (images, self.arithmetic, speed, commit)))


@dataclass(frozen=True, kw_only=True)
class ProvenanceRecord:
    """provenance.json: the sessions of a run folder, oldest first."""

    schema: Count = 1
    sessions: list[Session]


def read_sessions(run: Path) -> list[Session]:
    """Sessions of provenance.json, oldest first; [] if there is no such file."""
    path = run / PROVENANCE
    return read_record(path, ProvenanceRecord, "move it away to start a new one").sessions if path.is_file() else []


def append_session(run: Path, session: Session) -> None:
    """Append to provenance.json, which several commands in one run folder may do at once."""
    with lock_when_free(run / ".provenance.lock", f"writes {PROVENANCE}"):
        write_json(run / PROVENANCE, to_json(ProvenanceRecord(sessions=[*read_sessions(run), session])))


def describe_session(command: str, store: StoreIdentity) -> Session:
    """Describe the current session."""
    return Session(
        time=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        command=command,
        argv=typed_words(),
        commit=current_commit(),
        changed_files=[line.strip() for line in (git("status", "--porcelain", *PROGRAM) or "").splitlines()],
        store=store,
        packages={name: installed(name) for name in PACKAGES},
        python=platform.python_version(),
        platform=platform.platform(),
        host=platform.node(),
        cpu=cpu_name(),
        cpus=os.cpu_count(),
        gpus=[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    )


def typed_words() -> list[str]:
    """Words of the command line after the program's name: as typed, or in processes that another program has started,
    such as a sweep's, as Hydra received them."""
    for position, word in enumerate(sys.orig_argv):
        if Path(word).name == "alexnet_pl":
            return sys.orig_argv[position + 1 :]
    return sys.argv[1:]


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "replace"}  # a diff may hold other bytes


def git(*words: str) -> str | None:
    """Output of git in the package's own checkout, unchanged; None if the package is not in a checkout or git fails.

    git sees neither the environment nor the user's configuration, since both can name commands for it to run.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    environment = {"PATH": os.environ.get("PATH", os.defpath), **GIT_ENVIRONMENT}
    command = ["git", "-C", str(root), "-c", f"safe.directory={root}", *GIT_OPTIONS, *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, env=environment, **TEXT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def current_commit() -> str | None:
    """Commit of the package's checkout; None without one."""
    commit = git("rev-parse", "HEAD")
    return commit and commit.strip()


def read_changes() -> str:
    """Uncommitted changes of the program and its recipes, as `git diff` writes them."""
    return git("diff", "--no-ext-diff", "--no-textconv", "HEAD", *PROGRAM) or ""


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
