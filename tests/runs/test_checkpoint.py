"""Checkpoints: round trip, corrupt and foreign files, and no code in a foreign file is executed."""

import io
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_checkpoint import SWITCHES, save_small_checkpoint

from alexnet_pl.errors import UserError
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.training.checkpointing import AtomicCheckpointIO


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_small_checkpoint(tmp_path / "last.ckpt")


def test_checkpoint_round_trips(saved: Path) -> None:
    found = read_checkpoint(saved)
    assert torch.equal(found["state_dict"]["weight"], torch.arange(5000.0))
    assert found["global_step"] == 7
    assert found["alexnet_pl"]["switches"] == SWITCHES


def torch_file(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


FOREIGN = {
    "empty": b"",
    "text": b"optim:\n  lr: 0.01\n",
    "zeros": bytes(1000),
    "zip that is no checkpoint": b"PK\x03\x04" + bytes(100),
    "weights of another program": torch_file({"state_dict": {"weight": torch.zeros(3)}}),
    "bare weights": torch_file({"weight": torch.zeros(3)}),
    "tensor": torch_file(torch.zeros(3)),
    "list": torch_file([1, 2]),
    "nothing": torch_file(None),
    "number": torch_file(3),
    "our key without our content": torch_file({"alexnet_pl": None}),
    "our key without switches": torch_file({"alexnet_pl": {}}),
    "plain pickle": pickle.dumps({"alexnet_pl": {"switches": {}}}, 2),
    "module": torch_file(torch.nn.Linear(2, 2)),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_other_file_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "given.ckpt"
    path.write_bytes(FOREIGN[what])
    with pytest.raises(UserError, match=r"^ckpt_path: .*given\.ckpt") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_truncated_checkpoint_is_refused(saved: Path, tmp_path: Path) -> None:
    """As after a full disk or an interrupted copy."""
    whole, path = saved.read_bytes(), tmp_path / "cut.ckpt"
    for length in (10, 1000, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.ckpt"):
            read_checkpoint(path)


class Bomb:
    """A pickle that creates a folder if a reader executes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    """In both of torch's formats and as a plain pickle, beside otherwise valid content."""
    flag = tmp_path / "executed"
    content = {"alexnet_pl": {"switches": SWITCHES}, "state_dict": {}, "bomb": Bomb(flag)}
    torch.save(content, tmp_path / "new.ckpt")
    torch.save(content, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(content, 2))
    for name in ("new", "old", "plain"):
        with pytest.raises(UserError, match=name):
            read_checkpoint(tmp_path / f"{name}.ckpt")
    assert not flag.exists()
    pickle.loads(pickle.dumps(Bomb(flag)))
    assert flag.exists(), "the bomb is no bomb"


@pytest.mark.parametrize("seed", range(20))
def test_flipped_byte_is_detected_or_harmless(saved: Path, tmp_path: Path, seed: int) -> None:
    """Padding between entries may change without harm, but no tensor or setting may."""
    content = bytearray(saved.read_bytes())
    place = random.Random(seed).randrange(len(content))
    content[place] ^= 0xFF
    path = tmp_path / "flipped.ckpt"
    path.write_bytes(content)
    try:
        found = read_checkpoint(path)
    except UserError:
        return
    wanted = read_checkpoint(saved)
    assert found["alexnet_pl"] == wanted["alexnet_pl"]
    assert all(torch.equal(value, wanted["state_dict"][name]) for name, value in found["state_dict"].items())


def test_corrupt_tensor_is_named_with_the_previous_checkpoint(saved: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(saved, weights_only=True)
    marked = torch.full((1000,), 1234.5)
    for step in (7, 8):
        whole = {**checkpoint, "global_step": step, "state_dict": {"w": marked}}
        AtomicCheckpointIO().save_checkpoint(whole, tmp_path / "last.ckpt")
    content = bytearray((tmp_path / "last.ckpt").read_bytes())
    content[content.index(marked[:8].numpy().tobytes()) + 2] ^= 1
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(UserError, match=r"last.ckpt is corrupt \(.*data/0: its checksum differs\)") as error:
        read_checkpoint(tmp_path / "last.ckpt")
    assert f"ckpt_path={tmp_path / 'previous.ckpt'}" in str(error.value)
    assert read_checkpoint(tmp_path / "previous.ckpt")["global_step"] == 7


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("state_dict",), {"weight": 3}),
        (("global_step",), "7"),
        (("global_step",), -1),
        (("metrics_rows",), "x"),
        (("alexnet_pl", "classes"), [3]),
        (("alexnet_pl", "classes"), [["n1"], ["n2", "two"]]),
        (("alexnet_pl", "classes"), None),
        (("alexnet_pl", "store"), []),
        (("alexnet_pl", "lineage"), ["x"]),
        (("alexnet_pl", "switches"), {"model": None}),
        (("alexnet_pl", "course"), 3),
        (("loops",), {"fit_loop": 3}),
    ],
)
def test_entry_of_a_wrong_type_is_named(saved: Path, keys: tuple[str, ...], value: Any) -> None:
    checkpoint = torch.load(saved, weights_only=True)
    node = checkpoint
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    torch.save(checkpoint, saved)
    with pytest.raises(UserError, match=rf"last\.ckpt is not a checkpoint of alexnet_pl \({'.'.join(keys)}"):
        read_checkpoint(saved)


NOT_DENSE: dict[str, Callable[[], torch.Tensor]] = {
    "meta": lambda: torch.zeros(3, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "complex": lambda: torch.zeros(3, dtype=torch.complex64),
    "quantized": lambda: torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8),
}


@pytest.mark.filterwarnings("ignore")  # torch's, of sparse and quantized tensors
@pytest.mark.parametrize("kind", NOT_DENSE)
def test_tensor_that_is_not_dense_and_real_is_refused(saved: Path, kind: str) -> None:
    """A network would compute on uninitialized memory in place of a meta tensor."""
    checkpoint = torch.load(saved, weights_only=True)
    checkpoint["state_dict"]["weight"] = NOT_DENSE[kind]()
    torch.save(checkpoint, saved)
    with pytest.raises(UserError, match=r"last\.ckpt is not a .* \(state_dict\.weight: not a dense tensor of real"):
        read_checkpoint(saved)


@pytest.mark.parametrize("skip", ["0", "1"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_pickle_that_unpacks_to_much_is_refused(
    saved: Path, method: int, skip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.load would unpack 10 MB to 2.5 GB before it sees that they are no checkpoint."""
    monkeypatch.setenv("ALEXNET_PL_SKIP_CHECKSUM", skip)
    with zipfile.ZipFile(saved, "w", method) as file:
        file.writestr("last/data.pkl", bytes(2**24 + 1))
    with pytest.raises(UserError, match=r"last\.ckpt is corrupt \(last/data\.pkl: (compressed|16,777,217 bytes)\)"):
        read_checkpoint(saved)


def test_checksum_can_be_skipped(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(saved.read_bytes())
    content[content.index(torch.arange(5000.0).numpy().tobytes()) + 400] ^= 1
    saved.write_bytes(content)
    for value in ("", "0"):
        monkeypatch.setenv("ALEXNET_PL_SKIP_CHECKSUM", value)
        with pytest.raises(UserError, match="its checksum differs"):
            read_checkpoint(saved)
    monkeypatch.setenv("ALEXNET_PL_SKIP_CHECKSUM", "1")
    assert (read_checkpoint(saved)["state_dict"]["weight"] != torch.arange(5000.0)).sum() == 1
