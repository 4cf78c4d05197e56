"""Checkpoints are replaced atomically, and the one before the last is kept."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_checkpoint import save_small_checkpoint

from alexnet_pl.errors import UserError
from alexnet_pl.locks import machine
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.training.checkpointing import AtomicCheckpointIO


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_small_checkpoint(tmp_path / "last.ckpt")


def test_failed_write_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new/last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": torch.ones(2)}, path)

    def half(checkpoint: dict[str, torch.Tensor], file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(
        UserError, match=r"last.ckpt: not written \(No space left on device\); .* still holds the previous checkpoint"
    ):
        AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(2)}, path)
    assert torch.load(path, weights_only=True)["a"].sum() == 2
    assert [found.name for found in path.parent.iterdir()] == ["last.ckpt"]


def test_full_disk_is_reported_in_one_line(tmp_path: Path) -> None:
    """Uses the kernel's limit on file sizes; torch.save itself raises RuntimeError."""
    code = f"""
import resource, signal, torch
from alexnet_pl.errors import UserError
from alexnet_pl.training.checkpointing import AtomicCheckpointIO
path = {str(tmp_path / "last.ckpt")!r}
AtomicCheckpointIO().save_checkpoint({{"a": torch.ones(2)}}, path)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    AtomicCheckpointIO().save_checkpoint({{"a": torch.zeros(1_000_000)}}, path)
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "last.ckpt: not written (File too large)" in done.stdout
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["a"].sum() == 2
    assert [found.name for found in tmp_path.iterdir()] == ["last.ckpt"]


def test_previous_checkpoint_is_of_an_earlier_step(saved: Path) -> None:
    """Two callbacks may save after the same step."""
    writer, last = AtomicCheckpointIO(), saved.parent / "last.ckpt"
    for step in (7, 8, 8):
        writer.save_checkpoint({"state_dict": {}, "global_step": step, "alexnet_pl": {"switches": {}}}, last)
    assert [read_checkpoint(last.with_name(name))["global_step"] for name in ("previous.ckpt", "last.ckpt")] == [7, 8]


def test_kill_between_rotation_and_write_leaves_no_extra_file(
    saved: Path,
) -> None:
    """last.ckpt and previous.ckpt are then two names of one file; renaming one to the other does nothing (POSIX)."""
    os.link(saved, saved.with_name("previous.ckpt"))
    left = saved.with_name(f"previous.ckpt.{machine()}-{2**22 + 1}.tmp")  # a number above Linux's last
    left.write_bytes(b"of a kill just before")
    before = saved.read_bytes()
    AtomicCheckpointIO().save_checkpoint({"state_dict": {}, "global_step": 8, "alexnet_pl": {"switches": {}}}, saved)
    assert sorted(path.name for path in saved.parent.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert saved.with_name("previous.ckpt").read_bytes() == before
    assert read_checkpoint(saved)["global_step"] == 8
